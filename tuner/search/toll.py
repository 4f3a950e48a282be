"""What trying a configuration is expected to cost: a Gaussian process of the logarithm, in which
the price of what it holds is a trend where that is known."""

from collections.abc import Sequence

import numpy as np

from tuner.search.encode import Array, features
from tuner.search.gp import GaussianProcess, Trend
from tuner.search.history import Lesson
from tuner.space import Params, Space

MIN_COSTS = 3
"""Trials without which nothing is said."""


def expected_log_cost(
    space: Space,
    lessons: Sequence[tuple[Params, Lesson]],
    candidates: Sequence[Params],
    known: tuple[Array, Array] | None,
) -> Array:
    """Of [m] candidates, up to a constant; zeros where too little is known.

    `known`: the known part of the log gain of the lessons that have a cost [n], and of the
    candidates [m]: it goes by the price, and how strongly is learned.
    """
    told = [(params, lesson) for params, lesson in lessons if lesson.measured_s > 0]
    if len(told) < MIN_COSTS:
        return np.zeros(len(candidates))
    points = features(space, [params for params, _ in told])
    costs = np.log(_costs([lesson for _, lesson in told]))
    at = features(space, candidates)
    if known is None:
        return GaussianProcess(points, costs, np.zeros(len(costs))).predict(at)[0]
    here, there = (column[:, None] - known[0].mean() for column in known)
    trend = Trend(columns=here, spread=float(here.std()))
    model = GaussianProcess(points, costs, np.zeros(len(costs)), trend=trend)
    return model.predict(at, there)[0]


def _costs(lessons: Sequence[Lesson]) -> list[float]:
    """In USD-seconds per hour where every price is known, else in seconds."""
    prices = [lesson.usd_per_hour for lesson in lessons]
    known = [price for price in prices if price is not None and price > 0]
    if len(known) < len(lessons):
        known = [1.0] * len(lessons)
    return [lesson.measured_s * price for lesson, price in zip(lessons, known, strict=True)]
