"""Shares of a batch for ranks of different speed, so that none waits for the slowest.

Gradients stay what they were: every rank divides the sum of its losses by the size of the whole
batch, and gradients are added up, so a sample counts the same in whichever share it is.
"""

import time
from collections.abc import Sequence
from itertools import accumulate

import torch
import torch.distributed as dist

from workloads.common import World

_PROBE_S = 0.6
"""Several periods of a CPU quota, which is given out in tenths of a second."""
_PROBE_SIZE = 192


def shares(total: int, speeds: Sequence[float]) -> list[int]:
    """Whole parts of a total in proportion to the speeds, by largest remainders; where there is
    enough, nobody gets nothing."""
    exact = [total * speed / sum(speeds) for speed in speeds]
    parts = [int(part) for part in exact]
    by_rest = sorted(range(len(parts)), key=lambda rank: (parts[rank] - exact[rank], rank))
    for rank in by_rest[: total - sum(parts)]:
        parts[rank] += 1
    while 0 in parts and max(parts) > 1:
        parts[parts.index(max(parts))] -= 1
        parts[parts.index(0)] += 1
    return parts


def span(start: int, stop: int, speeds: Sequence[float], rank: int) -> tuple[int, int]:
    """The samples of a rank among those of a batch from `start` up to `stop`."""
    ends = [0, *accumulate(shares(stop - start, speeds))]
    return start + ends[rank], start + ends[rank + 1]


def speeds_of(wanted: str, world: World) -> list[float]:
    """`even`, `measured`, or numbers such as `2,1`. Raises ValueError."""
    if wanted == "even" or world.world_size == 1:
        return [1.0] * world.world_size
    if wanted == "measured":
        return measured(world)
    speeds = [float(word) for word in wanted.split(",")]
    if len(speeds) != world.world_size or min(speeds) <= 0:
        raise ValueError(
            f"batch shares {wanted!r}: give even, measured, or {world.world_size} numbers above 0"
        )
    return speeds


def measured(world: World) -> list[float]:
    """How fast each rank multiplies matrices now, all of them at once; the same list on every
    rank, so that all agree on the shares."""
    matrix = torch.rand(_PROBE_SIZE, _PROBE_SIZE)
    dist.barrier()
    began_s, rounds = time.monotonic(), 0
    while time.monotonic() - began_s < _PROBE_S:
        matrix @ matrix
        rounds += 1
    speed = torch.tensor([rounds / (time.monotonic() - began_s)], dtype=torch.float64)
    found = [torch.zeros(1, dtype=torch.float64) for _ in range(world.world_size)]
    dist.all_gather(found, speed)
    return [float(one) for one in found]
