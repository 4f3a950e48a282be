"""How long work takes on more workers: independent tasks, Amdahl, Gustafson, data parallelism."""

import heapq
import math
from collections.abc import Callable, Sequence


def equal_tasks_s(count: int, seconds_each: float, workers: int) -> float:
    """⌈N / M⌉ · t: N equal, independent tasks of t seconds on M equal workers go in whole rounds.
    1000 tasks of 1 s take 100 s on 10 workers, 1000 s on one, and 334 s on 3."""
    return math.ceil(count / workers) * seconds_each


def shared_tasks_s(count: int, seconds_each: float, speeds: Sequence[float]) -> float:
    """Equal tasks dealt to workers of different speeds, each to the one that ends it first; optimal
    for equal tasks. Source: Horowitz, Sahni, Journal of the ACM 23(2), 1976."""
    return longest_first_s([seconds_each] * count, speeds)


def longest_first_s(tasks_s: Sequence[float], speeds: Sequence[float]) -> float:
    """Makespan of uneven tasks by longest processing time first (LPT): at most 4/3 - 1/(3M) times
    the optimum on M equal workers. Source: Graham, "Bounds on multiprocessing timing anomalies",
    SIAM Journal on Applied Mathematics 17(2), 1969."""
    if len(set(speeds)) == 1:
        return _longest_first_equal(tasks_s, speeds)
    ends = [0.0] * len(speeds)
    for task_s in sorted(tasks_s, reverse=True):
        offered = [end + task_s / speed for end, speed in zip(ends, speeds, strict=True)]
        best = min(range(len(ends)), key=offered.__getitem__)
        ends[best] = offered[best]
    return max(ends)


def _longest_first_equal(tasks_s: Sequence[float], speeds: Sequence[float]) -> float:
    ends = [0.0] * len(speeds)
    for task_s in sorted(tasks_s, reverse=True):
        heapq.heappush(ends, heapq.heappop(ends) + task_s / speeds[0])
    return max(ends)


def lower_bound_s(tasks_s: Sequence[float], speeds: Sequence[float]) -> float:
    """No schedule is faster: all work over all speed, or the longest task on the fastest worker."""
    return max(sum(tasks_s) / sum(speeds), max(tasks_s, default=0.0) / max(speeds))


def amdahl_speedup(workers: int, serial_share: float) -> float:
    """1 / (s + (1-s)/n) at fixed work: 10 % serial on 10 workers gives 5.26. Source: Amdahl, AFIPS
    Spring Joint Computer Conference, 1967."""
    return 1 / (serial_share + (1 - serial_share) / workers)


def gustafson_speedup(workers: int, serial_share: float) -> float:
    """n - s·(n-1) where work grows with the workers: 10 % serial on 10 workers gives 9.1. Source:
    Gustafson, "Reevaluating Amdahl's law", Communications of the ACM 31(5), 1988."""
    return workers - serial_share * (workers - 1)


def data_parallel_s(
    workers: int, compute_s: float, communication_s: Callable[[int], float], fixed_s: float = 0.0
) -> float:
    """T(n) = T_fixed + T_compute / n + T_communication(n): a global batch shared among n GPUs."""
    return fixed_s + compute_s / workers + communication_s(workers)


def fastest_count(
    counts: Sequence[int],
    compute_s: float,
    communication_s: Callable[[int], float],
    fixed_s: float = 0.0,
) -> int:
    """The number of workers beyond which another one makes a step longer, of those given."""
    return min(counts, key=lambda n: data_parallel_s(n, compute_s, communication_s, fixed_s))
