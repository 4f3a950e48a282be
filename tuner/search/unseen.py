"""The members of a space that nobody has tried yet."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tuner.expression import Value
from tuner.search.scale import Vector, filled, identity, position
from tuner.space import Params, Space

LISTABLE = 4096
"""Spaces up to this size are listed once; larger ones are sampled."""
SAMPLES = 256
"""How many members of a larger space are compared."""
TRIES = 200
"""Draws for each of them, so that strict constraints cost milliseconds."""
REPEATS = 8
"""Members that may turn out to be tried before the rest is listed."""


class Member(NamedTuple):
    """A configuration with its place in the space."""

    params: dict[str, Value]
    position: Vector


class Unseen:
    """Members that are not in `taken` (key -> configuration), which may grow meanwhile."""

    def __init__(self, space: Space, taken: Mapping[str, Params]) -> None:
        self._space = space
        self._taken = taken
        size = space.raw_size()
        self._listed: dict[str, Member] | None = None
        if size is not None and size <= LISTABLE:
            self._listed = {identity(space, p): self._member(p) for p in space.members()}
        self._all = space.members() if space.is_finite else iter(())

    def has(self, params: Params) -> bool:
        """Whether it is a member that nobody has tried."""
        return self._is_new(params) and self._space.contains(params)

    def any(self, rng: random.Random) -> dict[str, Value] | None:
        """One at random; None where there is none."""
        for _ in range(REPEATS):
            params = self._space.sample(rng)
            if params is None:
                break
            if self._is_new(params):
                return params
        if self._listed is None:
            return self._first()
        untried = self._untried(rng, None)
        return rng.choice(untried).params if untried else None

    def farthest(self, rng: random.Random) -> dict[str, Value] | None:
        """The one farthest from everything taken, chance deciding between equals."""
        places = [position(self._space, params) for params in self._taken.values()]
        members = self._untried(rng, None)
        rng.shuffle(members)
        distances = [min(math.dist(m.position, place) for place in places) for m in members]
        return members[distances.index(max(distances))].params if members else None

    def nearest(self, wanted: Params, rng: random.Random) -> dict[str, Value] | None:
        """The one nearest to a configuration that may be taken or break a constraint."""
        place = position(self._space, wanted)
        members = self._untried(rng, wanted)
        rng.shuffle(members)
        nearest = min(members, key=lambda m: math.dist(m.position, place), default=None)
        return nearest.params if nearest else None

    def pool(self, rng: random.Random, good: Sequence[Params]) -> list[dict[str, Value]]:
        """Everything untried where the space is listed; else a sample, and what lies between it
        and good configurations."""
        if self._listed is not None:
            return [m.params for m in self._untried(rng, None)]
        found = {}
        for wanted in (None, *good):
            for params in self._sampled(rng, wanted):
                if self._is_new(params):
                    found[identity(self._space, params)] = params
        last = None if found else self.any(rng)
        return [last] if last else list(found.values())

    def _untried(self, rng: random.Random, wanted: Params | None) -> list[Member]:
        """All of them where they are listed, else some, mixed with what is wanted; never none
        while there is one."""
        if self._listed is not None:
            return [member for name, member in self._listed.items() if name not in self._taken]
        found = [self._member(p) for p in self._sampled(rng, wanted) if self._is_new(p)]
        if found:
            return found
        last = self.any(rng)
        return [self._member(last)] if last else []

    def _sampled(self, rng: random.Random, wanted: Params | None) -> Iterator[dict[str, Value]]:
        for _ in range(SAMPLES):
            params = self._space.sample(rng, TRIES)
            if params is None:
                return
            yield params
            if wanted is not None:
                mixed = self._mixed(params, wanted, rng)
                if self._space.contains(mixed):
                    yield mixed

    def _mixed(self, params: Params, wanted: Params, rng: random.Random) -> dict[str, Value]:
        """Mostly what is wanted, a part of it from a member."""
        share = rng.random()
        other = filled(self._space, wanted)
        own = filled(self._space, params)
        return self._space.active({n: (own if rng.random() < share else other)[n] for n in own})

    def _first(self) -> dict[str, Value] | None:
        """The first in the order of the space, which is walked once: whatever comes out of here is
        suggested, hence taken."""
        return next((params for params in self._all if self._is_new(params)), None)

    def _is_new(self, params: Params) -> bool:
        return identity(self._space, params) not in self._taken

    def _member(self, params: dict[str, Value]) -> Member:
        return Member(params, position(self._space, params))
