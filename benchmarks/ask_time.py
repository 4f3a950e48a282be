"""How long `auto` takes to choose, by the size of the space and the number of trials.

    python benchmarks/ask_time.py [--sizes 1000 10000 1000000] [--trials 20 100] [--json]

Trials of a made-up surface of six parameters are told, then the next configuration is asked for
several times, each time by a searcher that knows one trial more; one thread, as in a controller.
"""

import argparse
import json
import math
import random
import time
from datetime import UTC, datetime
from statistics import median

from tuner.model import Measurement, Trial, TrialState
from tuner.search import make_searcher
from tuner.space import Choice, Int, Params, Space
from tuner.spec import Budget, JobSpec, Objective, Search, Workload

ASKS = 5
KINDS = ("data_parallel", "table_wise", "row_wise", "column_wise")


def space_of(size: int) -> Space:
    """Four kinds, and five scales of equal length, with `size` members or a few more."""
    length = math.ceil((size / len(KINDS)) ** 0.2)
    scales = {f"scale_{i}": Int(low=1, high=length) for i in range(5)}
    return Space(params={"kind": Choice(options=KINDS), **scales})


def rate(params: Params) -> float:
    """A ridge that turns with the kind."""
    angle = KINDS.index(str(params["kind"]))
    numbers = [float(v) for name, v in params.items() if name != "kind"]
    return 1000 * math.exp(-sum(math.sin(0.7 * x + angle) ** 2 for x in numbers) / 5)


def told(number: int, params: Params) -> Trial:
    value = rate(params)
    return Trial(
        job_id="made-up",
        number=number,
        params=dict(params),
        state=TrialState.COMPLETE,
        reason="made up",
        created_at=datetime.now(UTC),
        measurement=Measurement(
            metrics={"samples_per_s": value},
            intervals={"samples_per_s": (0.98 * value, 1.02 * value)},
            window_s=10,
            warmup_s=1,
            steps=100,
            samples=10 * value,
        ),
    )


def ask_s(size: int, num_trials: int) -> float:
    """Median seconds of an ask, the searcher's making included, as after a restart."""
    space = space_of(size)
    spec = JobSpec(
        name="made-up",
        workload=Workload(command=("none",)),
        space=space,
        objectives=(Objective(metric="samples_per_s", direction="maximize"),),
        budget=Budget(trials=num_trials + ASKS),
        search=Search(method="auto", seed=0),
    )
    rng = random.Random(0)
    drawn = [space.default(), *(space.sample(rng) for _ in range(num_trials - 1))]
    trials = [told(number, params) for number, params in enumerate(drawn) if params is not None]
    took = []
    for _ in range(ASKS):
        start_s = time.perf_counter()
        (suggestion,) = make_searcher(spec, trials).ask(1)
        took.append(time.perf_counter() - start_s)
        trials.append(told(len(trials), suggestion.params))
    return median(took)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 1_000_000])
    parser.add_argument("--trials", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [
        {
            "candidates": space_of(size).raw_size(),
            "trials": trials,
            "seconds_per_ask": round(ask_s(size, trials), 4),
        }
        for size in options.sizes
        for trials in options.trials
    ]
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'candidates':>12}  {'trials':>6}  {'s/ask':>7}")
    for row in rows:
        print(f"{row['candidates']:>12}  {row['trials']:>6}  {row['seconds_per_ask']:>7.3f}")


if __name__ == "__main__":
    main()
