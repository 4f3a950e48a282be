"""A training script whose work per step is known: what `benchmarks/promotion.py` plants effects in.

    python benchmarks/planted_train.py --work=100 --seconds=6

Logistic regression by gradient descent. A step learns from `--work` small batches and counts as
`BATCH` samples whatever that number is, so that 95 in place of 100 makes steps about 5 % shorter.
"""

import argparse
import time

import numpy as np

from tuner import report

BATCH = 1000
ROWS, FEATURES, SMALL_BATCH = 20_000, 32, 128


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--arm", type=int, default=0, help="tells two runs apart, and does nothing")
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    data = generator.standard_normal((ROWS, FEATURES))
    label = (data @ generator.standard_normal(FEATURES) > 0).astype(float)
    weights, at = np.zeros(FEATURES), 0
    ends_s = time.monotonic() + options.seconds
    while time.monotonic() < ends_s:
        for _ in range(options.work):
            rows = slice(at, at + SMALL_BATCH)
            guess = 1 / (1 + np.exp(-np.clip(data[rows] @ weights, -30, 30)))
            weights -= 0.1 * data[rows].T @ (guess - label[rows]) / SMALL_BATCH
            at = (at + SMALL_BATCH) % (ROWS - SMALL_BATCH)
        report.step(samples=BATCH)


if __name__ == "__main__":
    main()
