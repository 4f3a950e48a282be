"""Where a configuration lies: every parameter as a coordinate, so that nearness can be measured.

A number runs from 0 to 1 along its scale, a list of numbers by their rank. A category has a
coordinate per option, so that two different ones are 1 apart. A parameter that does not apply
stands at its lowest value.
"""

import math

from tuner.expression import Value
from tuner.space import Choice, Float, Int, Params, Space, key

Vector = tuple[float, ...]


def position(space: Space, params: Params) -> Vector:
    """The coordinates of a configuration; `math.dist` between two is how different they are."""
    everything = filled(space, params)
    return tuple(x for n, p in space.params.items() for x in coordinates(p, everything[n]))


def filled(space: Space, params: Params) -> dict[str, Value]:
    """Every parameter of the space, those that do not apply at their lowest value."""
    return {n: params[n] if n in params else _lowest(p) for n, p in space.params.items()}


def identity(space: Space, params: Params) -> str:
    """The key of a configuration, the same however its numbers are written (2 or 2.0)."""
    return key({name: _listed(space.params[name], value) for name, value in params.items()})


def ranked(parameter: Choice) -> tuple[Value, ...]:
    """The options in the order of their scale; as listed where they are not all numbers."""
    return (
        tuple(sorted(parameter.options, key=float)) if parameter.is_numeric else parameter.options
    )


def coordinates(parameter: Int | Float | Choice, value: Value) -> Vector:
    """One for a number, one per option for a category."""
    if not isinstance(parameter, Choice):
        return (_share(parameter, float(value)),)
    options = ranked(parameter)
    if parameter.is_numeric:
        return (options.index(value) / max(len(options) - 1, 1),)
    return tuple(math.sqrt(0.5) if option == value else 0.0 for option in options)


def ends(parameter: Int | Float) -> tuple[float, float]:
    """The lowest and the highest value that it takes."""
    highest = parameter.high if isinstance(parameter, Float) else parameter.values()[-1]
    return float(parameter.low), float(highest)


def _share(parameter: Int | Float, value: float) -> float:
    low, high = ends(parameter)
    if low == high:
        return 0.0
    if parameter.log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _lowest(parameter: Int | Float | Choice) -> Value:
    return ranked(parameter)[0] if isinstance(parameter, Choice) else parameter.low


def _listed(parameter: Int | Float | Choice, value: Value) -> Value:
    if isinstance(parameter, Choice):
        return parameter.options[parameter.options.index(value)]
    return float(value) if isinstance(parameter, Float) else int(value)
