"""Fits the factors of the estimate to measured runs.

Least squares of log times with normal priors on the logarithms of the factors (ridge towards the
defaults), so that three runs suffice and what they do not tell stays as it was. How much they tell
of a factor is its posterior standard deviation by Laplace's approximation; a factor counts as
calibrated where that is at most half of the prior's. Source: Gelman et al., "Bayesian Data
Analysis", 3rd ed., sections 4.1 and 14.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuner.estimate.error import median_error_pct
from tuner.estimate.factors import NAMES, PRIOR_SD, Factors

NOISE_SD = 0.2
"""Of the logarithm of a measured time: run-to-run variation, and what the formulas leave out."""
TOLD = 0.5

Predict = Callable[[Factors], Sequence[float]]
"""Factors -> predicted times of the measured runs, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Fitted factors, and how far the predictions of these very runs were off."""

    factors: Factors
    runs: int
    error_before_pct: float | None
    error_after_pct: float | None
    """Medians of the absolute percentage errors; None without runs."""


def calibrate(
    predict: Predict, measured: Sequence[float], start: Factors | None = None
) -> Calibration:
    """Factors that fit measured times; without any, the defaults."""
    start = start or Factors()
    if not measured:
        return Calibration(factors=start, runs=0, error_before_pct=None, error_after_pct=None)
    factors = _fit(predict, measured, start)
    return Calibration(
        factors=factors,
        runs=len(measured),
        error_before_pct=median_error_pct(predict(start), measured),
        error_after_pct=median_error_pct(predict(factors), measured),
    )


def _fit(predict: Predict, measured: Sequence[float], start: Factors) -> Factors:
    import numpy as np
    from scipy.optimize import least_squares

    sds = np.array([PRIOR_SD[name] for name in NAMES])

    def residuals(scaled: Sequence[float]) -> list[float]:
        logs = dict(zip(NAMES, (float(x) for x in scaled * sds), strict=True))
        times = predict(start.scaled(logs, frozenset()))
        off = [math.log(t / m) / NOISE_SD for t, m in zip(times, measured, strict=True)]
        return [*map(_softened, off), *scaled]

    found = least_squares(residuals, np.zeros(len(NAMES)), bounds=(-4, 4))
    precision = found.jac.T @ found.jac
    posterior = np.sqrt(np.diag(np.linalg.inv(precision)))
    told = frozenset(name for name, sd in zip(NAMES, posterior, strict=True) if sd <= TOLD)
    logs = {name: float(x * sd) for name, x, sd in zip(NAMES, found.x, sds, strict=True)}
    return start.scaled(logs, told)


def _softened(deviations: float) -> float:
    """A single slow run must not drag all others along: beyond 2 deviations its loss is linear
    (soft L1), while the priors stay normal."""
    square = (deviations / 2) ** 2
    return math.copysign(2 * math.sqrt(2 * (math.sqrt(1 + square) - 1)), deviations)
