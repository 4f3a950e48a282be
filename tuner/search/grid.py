"""Every member of the space, a real number being tried at a few points.

The order takes golden steps through the list of all members (each step goes about 0.618 of its
length on, round the end), so that a grid cut short has still visited every part of it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tuner.expression import Value
from tuner.model import Suggestion, Trial
from tuner.search.history import OneByOne
from tuner.search.scale import identity
from tuner.space import Choice, Float, Int, Space
from tuner.spec import JobSpec

FLOAT_POINTS = 5


class GridSearcher(OneByOne):
    """Walks the grid once; the seed sets where it starts."""

    def __init__(self, spec: JobSpec, trials: Sequence[Trial]) -> None:
        super().__init__(spec, trials)
        self._walk = _walk(_lattice(spec.space), spec.search.seed)

    def _next(self) -> Suggestion | None:
        for params in self._walk:
            new = identity(self._space, params) not in self._history.taken
            if new and self._space.contains(params):
                return Suggestion(params=params, reason="next point of the grid")
        return None


def _walk(lattice: Space, seed: int) -> Iterator[dict[str, Value]]:
    """Every combination once, without conditions that do not apply, members or not."""
    columns = {n: p.values() for n, p in lattice.params.items() if not isinstance(p, Float)}
    size = math.prod(len(values) for values in columns.values())
    step = _golden_step(size)
    for turn in range(size):
        yield lattice.active(_combination(columns, ((seed + turn) * step) % size))


def _combination(columns: Mapping[str, Sequence[Value]], index: int) -> dict[str, Value]:
    params: dict[str, Value] = {}
    for name, values in columns.items():
        index, digit = divmod(index, len(values))
        params[name] = values[digit]
    return params


def _golden_step(size: int) -> int:
    """Nearest above size / 1.618 without a common divisor, so that every index comes once."""
    step = max(1, round(size * (math.sqrt(5) - 1) / 2))
    while math.gcd(step, size) != 1:
        step += 1
    return step


def _lattice(space: Space) -> Space:
    params = {n: _points(p) if isinstance(p, Float) else p for n, p in space.params.items()}
    return replace(space, params=params)


def _points(parameter: Float) -> Int | Float | Choice:
    low, high = parameter.low, parameter.high
    shares = [i / (FLOAT_POINTS - 1) for i in range(1, FLOAT_POINTS - 1)]
    if parameter.log:
        inner = [low * (high / low) ** share for share in shares]
    else:
        inner = [low + (high - low) * share for share in shares]
    # The ends are taken as they are: computed, they could fall outside by rounding.
    return Choice(options=(float(low), *inner, float(high)), when=parameter.when)
