"""Configurations as the numbers that a model of them learns from."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tuner.expression import Value
from tuner.search.scale import ends, filled, ranked
from tuner.space import Choice, Float, Int, Params, Space

Array = NDArray[np.float64]

RATIO = 4.0
"""A positive scale that reaches so much further than it begins is seen by its logarithm: sizes."""


def features(space: Space, points: Sequence[Params]) -> list[Array]:
    """One matrix per parameter, [n, 1] for a number and [n, options] for a category.

    A number runs from 0 to 1, two different categories are 1 apart; a parameter that does not
    apply stands at its lowest value.
    """
    rows = [filled(space, point) for point in points]
    return [_column(p, [row[name] for row in rows]) for name, p in space.params.items()]


def _column(parameter: Int | Float | Choice, values: Sequence[Value]) -> Array:
    if isinstance(parameter, Choice) and not parameter.is_numeric:
        apart = math.sqrt(0.5)
        return np.array([[apart * (v == option) for option in parameter.options] for v in values])
    low, high = _bounds(parameter)
    numbers = np.array([[float(value)] for value in values])
    if low == high:
        return np.zeros_like(numbers)
    if low > 0 and (high / low >= RATIO or (isinstance(parameter, Int | Float) and parameter.log)):
        return np.asarray(np.log(numbers / low) / math.log(high / low))
    return np.asarray((numbers - low) / (high - low))


def _bounds(parameter: Int | Float | Choice) -> tuple[float, float]:
    if isinstance(parameter, Choice):
        options = ranked(parameter)
        return float(options[0]), float(options[-1])
    return ends(parameter)
