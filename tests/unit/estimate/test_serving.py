import math
import random

import pytest

from tuner.estimate.serving import (
    Batching,
    fewest_replicas,
    highest_rate_per_s,
    latency_quantile_s,
    mean_batch,
)

GROWING = Batching(fixed_s=0.002, each_s=0.0005, max_size=32)
HELD = Batching(fixed_s=0.002, each_s=0.0001, max_size=16, max_wait_s=0.005)
SINGLE = Batching(fixed_s=0.002, each_s=0.0005)


def simulated_p99_s(rate_per_s: float, batching: Batching, count: int = 30_000) -> float:
    """One replica, Poisson arrivals: it starts a batch when full or the first has waited."""
    rng = random.Random(7)
    arrivals = [0.0]
    while len(arrivals) < count:
        arrivals.append(arrivals[-1] + rng.expovariate(rate_per_s))
    first, free_s, late = 0, 0.0, []
    while first < count:
        last = first + batching.max_size - 1
        full_s = arrivals[last] if last < count else math.inf
        ready_s = min(arrivals[first] + batching.max_wait_s, full_s)
        start_s, stop = max(free_s, ready_s), first
        while stop < count and stop <= last and arrivals[stop] <= start_s:
            stop += 1
        free_s = start_s + batching.service_s(stop - first)
        late += [free_s - arrival for arrival in arrivals[first:stop]]
        first = stop
    return sorted(late)[int(0.99 * count)]


@pytest.mark.parametrize("batching", [GROWING, HELD, SINGLE], ids=["growing", "held", "single"])
@pytest.mark.parametrize("load", [0.05, 0.4, 0.6, 0.8, 0.9])
def test_the_99th_centile_is_within_a_quarter_of_a_simulation(
    batching: Batching, load: float
) -> None:
    rate = load * batching.capacity_per_s
    found = latency_quantile_s(rate, 1, batching) / simulated_p99_s(rate, batching)
    assert 0.75 < found < 1.3


def test_batches_grow_to_what_comes_while_the_last_one_is_served() -> None:
    assert mean_batch(1000, GROWING) == pytest.approx(4)
    assert mean_batch(10, GROWING) == 1
    assert mean_batch(10**6, GROWING) == 32


def test_batching_bears_more_than_single_requests() -> None:
    assert SINGLE.capacity_per_s == pytest.approx(400)
    assert GROWING.capacity_per_s == pytest.approx(32 / 0.018)
    assert math.isinf(latency_quantile_s(400, 1, SINGLE))


def test_the_highest_rate_holds_the_limit_and_a_little_more_does_not() -> None:
    rate = highest_rate_per_s(2, GROWING, 0.02)
    assert latency_quantile_s(rate * 0.999, 2, GROWING) <= 0.02
    assert latency_quantile_s(rate * 1.01, 2, GROWING) > 0.02


def test_the_fewest_replicas_hold_the_limit_and_one_less_does_not() -> None:
    count = fewest_replicas(5000, GROWING, 0.02)
    assert count is not None
    assert latency_quantile_s(5000, count, GROWING) <= 0.02
    assert latency_quantile_s(5000, count - 1, GROWING) > 0.02


def test_a_limit_below_the_time_of_one_request_is_never_held() -> None:
    assert fewest_replicas(1, GROWING, 0.001) is None
    assert highest_rate_per_s(1, GROWING, 0.001) == 0


def test_a_batch_that_fills_too_slowly_at_low_rates_may_hold_the_limit_at_high_ones() -> None:
    slow = Batching(fixed_s=0.002, each_s=0.0005, max_size=32, max_wait_s=0.07)
    assert latency_quantile_s(1e-6, 1, slow) > 0.06
    rate = highest_rate_per_s(1, slow, 0.06)
    assert rate > 1000
    assert latency_quantile_s(0.999 * rate, 1, slow) <= 0.06
    assert fewest_replicas(0.9 * rate, slow, 0.06) == 1
    assert fewest_replicas(1.0, slow, 0.06) is None
