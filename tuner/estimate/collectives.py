"""Time of collective operations of n ranks over equal links, by latency and bandwidth.

A message of B bytes takes α + B / β seconds (Hockney, "The communication challenge for MPP",
Parallel Computing 20, 1994). Steps and volumes of each algorithm: Thakur, Rabenseifner, Gropp,
"Optimization of collective communication operations in MPICH", 2005.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a message takes from one rank to another."""

    latency_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Time of a collective, apart by what it grows with."""

    latency_s: float = 0.0
    transfer_s: float = 0.0

    @property
    def total_s(self) -> float:
        return self.latency_s + self.transfer_s

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            latency_s=self.latency_s + other.latency_s,
            transfer_s=self.transfer_s + other.transfer_s,
        )


def ring_all_reduce(num_ranks: int, num_bytes: float, link: Link) -> Cost:
    """2(n-1)·α + 2(n-1)/n · B/β: a reduce-scatter, then an all-gather, of a buffer of B bytes."""
    return _steps(2 * (num_ranks - 1), 2 * (num_ranks - 1) / num_ranks, num_bytes, link)


def tree_all_reduce(num_ranks: int, num_bytes: float, link: Link) -> Cost:
    """⌈log2 n⌉·(α + B/β) by recursive doubling, which suits small messages."""
    rounds = (num_ranks - 1).bit_length()
    return _steps(rounds, rounds, num_bytes, link)


def all_reduce(num_ranks: int, num_bytes: float, link: Link) -> Cost:
    """Ring or tree, whichever is faster: libraries choose by the size of the message."""
    ways = (ring_all_reduce, tree_all_reduce)
    return min((way(num_ranks, num_bytes, link) for way in ways), key=lambda cost: cost.total_s)


def one_way(num_ranks: int, num_bytes: float, link: Link) -> Cost:
    """(n-1)·α + (n-1)/n · B/β. B is what all ranks have at the end (all-gather), at the start
    (reduce-scatter), or what one rank sends in all, its own part counted (all-to-all, pairwise)."""
    return _steps(num_ranks - 1, (num_ranks - 1) / num_ranks, num_bytes, link)


def _steps(steps: float, volume: float, num_bytes: float, link: Link) -> Cost:
    return Cost(latency_s=steps * link.latency_s, transfer_s=volume * num_bytes / link.bytes_per_s)


_COSTS: dict[Kind, Callable[[int, float, Link], Cost]] = {
    "all_reduce": all_reduce,
    "all_gather": one_way,
    "reduce_scatter": one_way,
    "all_to_all": one_way,
}


def collective(kind: Kind, num_ranks: int, num_bytes: float, link: Link) -> Cost:
    """One collective; nothing for a single rank."""
    return Cost() if num_ranks <= 1 else _COSTS[kind](num_ranks, num_bytes, link)
