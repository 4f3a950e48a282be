"""Whether a series that should be level is: sudden changes and gradual drift. Pure."""

import math
from collections.abc import Sequence
from itertools import accumulate
from statistics import fmean
from typing import NamedTuple

from tuner import stats

MIN_VALUES = 20
SMALLEST = 0.03
"""Changes below this share of the mean are left alone, however sure they are."""
CERTAINTY = 5.0
"""Standard errors that a change must reach: as the best of some 200 places is looked for, chance
alone does so about once in 10,000 level series."""
_SHORTEST_SHARE = 0.1
_MAX_ORDER = 8


class Change(NamedTuple):
    """The level is another one from here on."""

    at: int
    """Index of the first value after it."""
    relative: float
    """The level after over the level before, minus 1."""
    is_gradual: bool
    """A slope explains the series better than a step does."""


def change_in(values: Sequence[float]) -> Change | None:
    """The clearest change of level; None where there is none that matters.

    The split that explains most, by the difference of the means of both sides over its standard
    error; that is taken from the long-run variance of what the change (a step or a slope) leaves
    unexplained, as the values may be correlated, and the change itself must not count as noise.
    """
    shortest = max(_MAX_ORDER, int(_SHORTEST_SHARE * len(values)))
    if len(values) < max(MIN_VALUES, 2 * shortest):
        return None
    at = _best_split(values, shortest)
    before, after = fmean(values[:at]), fmean(values[at:])
    if before <= 0 or abs(after - before) < SMALLEST * fmean(values):
        return None
    stepped = [v - before for v in values[:at]] + [v - after for v in values[at:]]
    residuals = min(stepped, _without_slope(values), key=_sum_of_squares)
    error = math.sqrt(_noise(residuals) * (1 / at + 1 / (len(values) - at)))
    if abs(after - before) < CERTAINTY * error:
        return None
    return Change(at, after / before - 1, is_gradual=residuals is not stepped)


def _best_split(values: Sequence[float], shortest: int) -> int:
    count, total = len(values), sum(values)
    sums = list(accumulate(values))

    def explained(at: int) -> float:
        return abs(sums[at - 1] - total * at / count) / math.sqrt(at * (count - at))

    return max(range(shortest, count - shortest + 1), key=explained)


def _sum_of_squares(values: Sequence[float]) -> float:
    return sum(v * v for v in values)


def _noise(residuals: Sequence[float]) -> float:
    covariances = stats.autocovariances(residuals, _MAX_ORDER)
    if covariances[0] <= 0:
        return 0.0
    return max(covariances[0], stats.long_run_variance(covariances, len(residuals)))


def _without_slope(values: Sequence[float]) -> list[float]:
    """Residuals of the straight line through the values."""
    mean, middle = fmean(values), (len(values) - 1) / 2
    places = [i - middle for i in range(len(values))]
    slope = sum(p * v for p, v in zip(places, values, strict=True)) / sum(p * p for p in places)
    return [v - mean - slope * p for p, v in zip(places, values, strict=True)]
