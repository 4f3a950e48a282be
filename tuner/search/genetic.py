"""A genetic search after NSGA-II (Deb et al. 2002), and NSGA-III (Deb & Jain 2014) for three and
more objectives, for few and costly trials.

It is steady-state (mu + 1): the best trials of all are the population, and every trial is a child
of two of them. More children are bred than tried; the trials nearest to each say which is tried.
"""

import random
from collections.abc import Sequence

from tuner.expression import Value
from tuner.known import Known
from tuner.model import Suggestion, Trial
from tuner.search.history import OneByOne
from tuner.search.population import (
    NICHED,
    START,
    Individual,
    at_share,
    is_ordered,
    listed,
    most_promising,
    start,
    survivors,
)
from tuner.search.scale import coordinates, identity
from tuner.search.unseen import Unseen
from tuner.space import Choice, Float, Int, Params, Space
from tuner.spec import JobSpec

START_KNOWN = 3
"""The same as START where prices are known: the neighbours have less to tell."""
POPULATION = 8
"""Parents: fewer lack variety, and more would not be good ones among 20 to 60 trials."""
BROOD = 8
"""Children of which one is tried."""
TRIES = 100
"""Children bred in search of so many untried ones."""
STEP = 0.15
"""Mean length of a mutation, as a part of the scale."""


class GeneticSearcher(OneByOne):
    """Fills the space, then breeds from the best; every suggestion is an untried member."""

    def __init__(self, spec: JobSpec, trials: Sequence[Trial], known: Known | None = None) -> None:
        self._known = known
        self._name = "NSGA-III" if len(spec.objectives) >= NICHED else "NSGA-II"
        super().__init__(spec, trials)
        self._unseen = Unseen(spec.space, self._history.taken)

    def _next(self) -> Suggestion | None:
        told = [Individual(*pair) for pair in self._history.lessons()]
        place = len(self._history.taken) + 1
        rng = self._history.rng()
        size = START if self._known is None else START_KNOWN
        if place <= size or not told:
            return start(self._unseen, rng, place, self._known, size)
        return self._child(told, rng)

    def _child(self, told: Sequence[Individual], rng: random.Random) -> Suggestion | None:
        parents = [individual.params for individual in survivors(told, POPULATION)]
        children = self._brood(parents, rng)
        if not children:
            return None
        child = most_promising(self._space, told, children, rng, self._known)
        news = _news(parents, child)
        reason = f"child of the best of {len(told)} trials ({self._name}): {news}"
        return Suggestion(params=child, reason=reason)

    def _brood(self, parents: Sequence[Params], rng: random.Random) -> list[dict[str, Value]]:
        """Untried members; where none is born, the nearest to one that was."""
        found: dict[str, dict[str, Value]] = {}
        child: Params = {}
        for _ in range(TRIES):
            child = bred(self._space, tournament(parents, rng), tournament(parents, rng), rng)
            if self._unseen.has(child):
                found[identity(self._space, child)] = child
            if len(found) == BROOD:
                break
        nearest = None if found else self._unseen.nearest(child, rng)
        return list(found.values()) if nearest is None else [nearest]


def tournament(parents: Sequence[Params], rng: random.Random) -> Params:
    """The better of two; they are given best first."""
    return parents[min(rng.randrange(len(parents)), rng.randrange(len(parents)))]


def bred(space: Space, one: Params, other: Params, rng: random.Random) -> dict[str, Value]:
    """Every parameter from either parent, one of them on average mutated; it may be no member."""
    child: dict[str, Value] = {}
    for name, parameter in space.params.items():
        genes = [parent[name] for parent in (one, other) if name in parent]
        child[name] = rng.choice(genes) if genes else drawn(parameter, rng)
        if genes and rng.random() < 1 / len(space.params):
            child[name] = mutated(parameter, child[name], rng)
    return space.active(child)


def drawn(parameter: Int | Float | Choice, rng: random.Random) -> Value:
    """Any value, for a parameter that applied to neither parent."""
    if is_ordered(parameter):
        return at_share(parameter, rng.random())
    assert isinstance(parameter, Choice)
    return rng.choice(parameter.options)


def mutated(parameter: Int | Float | Choice, value: Value, rng: random.Random) -> Value:
    """Another value, if there is one: along a scale a near one more likely than a far one, of
    categories any."""
    if not is_ordered(parameter):
        assert isinstance(parameter, Choice)
        return rng.choice([o for o in parameter.options if o != value] or [value])
    (where,) = coordinates(parameter, value)
    sign = rng.choice((-1, 1))
    step = rng.expovariate(1 / STEP)
    if not 0 <= where + sign * step <= 1:
        sign = -sign
    moved = at_share(parameter, where + sign * step)
    return moved if moved != value else _beside(parameter, value, sign)


def _beside(parameter: Int | Float | Choice, value: Value, sign: int) -> Value:
    """The next value of a scale, on the other side at its end."""
    if isinstance(parameter, Float):
        return value
    values = listed(parameter)
    index = values.index(value)
    if not 0 <= index + sign < len(values):
        sign = -sign
    return values[max(0, min(len(values) - 1, index + sign))]


def _news(parents: Sequence[Params], child: Params) -> str:
    """In what it differs from the parent that it is most like."""
    changes = [
        [f"{name} {value}" for name, value in child.items() if parent.get(name) != value]
        for parent in parents
    ]
    fewest = min(map(len, changes))
    return ", ".join(next(c for c in changes if len(c) == fewest)) or "a parameter fewer"
