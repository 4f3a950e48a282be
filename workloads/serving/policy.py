"""Which replica gets the next request. Pure but for the state of a policy itself."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol


class Policy(Protocol):
    """Chooses by how many requests each replica has not answered yet."""

    def pick(self, outstanding: Sequence[int]) -> int:
        """Index of a replica; `outstanding` has one entry for each and is not empty."""
        ...


class RoundRobin:
    """One after the other, whatever they have to do."""

    def __init__(self) -> None:
        self._next = 0

    def pick(self, outstanding: Sequence[int]) -> int:
        index = self._next % len(outstanding)
        self._next = index + 1
        return index


class LeastOutstanding:
    """Whoever has least to do; in turn among equals."""

    def __init__(self) -> None:
        self._next = 0

    def pick(self, outstanding: Sequence[int]) -> int:
        count = len(outstanding)
        order = [(self._next + i) % count for i in range(count)]
        index = min(order, key=lambda i: outstanding[i])
        self._next = index + 1
        return index


class PowerOfTwo:
    """The better of two drawn by chance (Mitzenmacher 2001): needs no view of the whole fleet."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = random.Random(seed)

    def pick(self, outstanding: Sequence[int]) -> int:
        if len(outstanding) == 1:
            return 0
        first, second = self._rng.sample(range(len(outstanding)), 2)
        return first if outstanding[first] <= outstanding[second] else second


POLICIES: Mapping[str, Callable[[], Policy]] = {
    "round_robin": RoundRobin,
    "least_outstanding": LeastOutstanding,
    "power_of_two": PowerOfTwo,
}
