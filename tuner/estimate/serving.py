"""A service that answers requests in batches: its latency, and the load that it bears.

Every replica has a queue of its own, and requests are dealt to them at random.
"""

import math
from dataclasses import dataclass

from tuner.estimate.queueing import Replicas, least, wait_quantile_s

MAX_REPLICAS = 10_000
STEPS = 64
"""Rates that are tried before the limit is looked for between two of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """A replica that answers several requests at once: fixed + each · size seconds for a batch. It
    takes what waits, up to `max_size`, and lets the first of them wait at most `max_wait_s`."""

    fixed_s: float
    each_s: float
    max_size: int = 1
    max_wait_s: float = 0.0

    def service_s(self, size: float) -> float:
        return self.fixed_s + self.each_s * size

    @property
    def capacity_per_s(self) -> float:
        """Highest rate of one replica: full batches, back to back."""
        return self.max_size / self.service_s(self.max_size)


def mean_batch(rate_per_s: float, batching: Batching) -> float:
    """Mean size of a batch of one replica: what comes while the last batch is served, which is the
    fixed point b = λ · (fixed + each · b), or while the first request may wait; from 1 to the
    most. 1000 a second at 2 ms + 0.5 ms each: b = 2 / (1 - 0.5) = 4."""
    if rate_per_s >= batching.capacity_per_s:
        return float(batching.max_size)
    idle = 1 - rate_per_s * batching.each_s
    grown = rate_per_s * batching.fixed_s / idle if idle > 0 else math.inf
    held = 1 + rate_per_s * batching.max_wait_s
    return min(float(batching.max_size), max(1.0, grown, held))


def latency_quantile_s(
    rate_per_s: float, count: int, batching: Batching, share: float = 0.99
) -> float:
    """The response time that this share of requests does not exceed; infinite from full load on.

    A request waits for the longest of three, then for its own batch: the filling of its batch; the
    rest of the batch before it, uniform while the replica is busy; the queue of full batches, by
    Kingman with Poisson arrivals joined by `max_size`. Batches are as large as the Poisson numbers
    of arrivals make them at this share. Structure after Inoue, "Queueing analysis of GPU-based
    inference servers with dynamic batching", Performance Evaluation 147, 2021.
    """
    rate = rate_per_s / count
    if rate >= batching.capacity_per_s:
        return math.inf
    mean = mean_batch(rate, batching)
    large = mean if mean <= 1 else mean + _z(share) * math.sqrt(mean)
    service_s = batching.service_s(min(float(batching.max_size), large))
    busy = min(1.0, rate / mean * batching.service_s(mean))
    rest_s = service_s * (1 - (1 - share) / busy) if busy > 1 - share else 0.0
    filling_s = min(batching.max_wait_s, (batching.max_size - 1) / rate)
    full = Replicas(
        count=1,
        service_s=batching.service_s(batching.max_size),
        service_scv=0.0,
        arrival_scv=1 / batching.max_size,
    )
    queue_s = wait_quantile_s(rate / batching.max_size, full, share)
    return max(rest_s, filling_s, queue_s) + service_s


def _z(share: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(share)


def highest_rate_per_s(count: int, batching: Batching, slo_s: float, share: float = 0.99) -> float:
    """The highest rate from which on the quantile is above the limit; 0 where it always is.

    A batch that waits for others fills faster at a higher rate: the search comes from above.
    """

    def is_late(rate_per_s: float) -> bool:
        return latency_quantile_s(rate_per_s, count, batching, share) > slo_s

    step = count * batching.capacity_per_s / STEPS
    held = next((n for n in range(STEPS - 1, 0, -1) if not is_late(n * step)), 0)
    if held == 0 and is_late(1e-9):
        return 0.0
    return least(is_late, held * step, (held + 1) * step)


def fewest_replicas(
    rate_per_s: float, batching: Batching, slo_s: float, share: float = 0.99
) -> int | None:
    """The cheapest number of equal replicas that holds the limit; None where no number does."""
    each = highest_rate_per_s(1, batching, slo_s, share)
    if each <= 0:
        return None
    # Replicas share the rate evenly, so that what one bears decides.
    count = max(1, math.ceil(rate_per_s / each))
    is_held = latency_quantile_s(rate_per_s, count, batching, share) <= slo_s
    return count if count <= MAX_REPLICAS and is_held else None
