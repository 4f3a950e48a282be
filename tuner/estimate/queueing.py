"""Waiting times of a service of k equal replicas.

Rates are per second, times in seconds. `scv` is a squared coefficient of variation: 1 for an
exponential (Poisson) process, 0 for what never varies. At or above full load times are infinite.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """k servers of one queue."""

    count: int
    service_s: float
    """Mean time of a request on a replica."""
    service_scv: float = 1.0
    arrival_scv: float = 1.0


def utilization(rate_per_s: float, replicas: Replicas) -> float:
    """ρ = λ·S / k."""
    return rate_per_s * replicas.service_s / replicas.count


def erlang_c(load: float, count: int) -> float:
    """Probability of waiting in M/M/k at an offered load of λ·S erlangs; 1 from full load on.

    By the recursion of Erlang B, B(k) = a·B(k-1) / (k + a·B(k-1)), which never overflows, and
    C = B / (1 - ρ·(1 - B)). Source: Gross et al., "Fundamentals of Queueing Theory", section 2.4.
    """
    if load >= count:
        return 1.0
    blocked = 1.0
    for number in range(1, count + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked / (1 - load / count * (1 - blocked))


def mean_wait_s(rate_per_s: float, replicas: Replicas) -> float:
    """Allen-Cunneen: (ca² + cs²)/2 · the wait of M/M/k, C/(k/S - λ); exact for M/M/k and M/G/1
    (Pollaczek-Khinchine). Source: Allen, "Probability, Statistics and Queueing Theory", 1990; the
    form for one server is Kingman's, 1961."""
    load = rate_per_s * replicas.service_s
    if load >= replicas.count:
        return math.inf
    wait_s = erlang_c(load, replicas.count) * replicas.service_s / (replicas.count - load)
    return wait_s * (replicas.arrival_scv + replicas.service_scv) / 2


def wait_quantile_s(rate_per_s: float, replicas: Replicas, share: float) -> float:
    """The wait that this share of requests does not exceed: who waits, waits exponentially with the
    mean W/C, so that P(wait > t) = C·exp(-t·C/W). Exact for M/M/k, and the limit of heavy traffic
    for others (Kingman, 1962)."""
    mean_s = mean_wait_s(rate_per_s, replicas)
    waiting = erlang_c(rate_per_s * replicas.service_s, replicas.count)
    if math.isinf(mean_s) or waiting <= 1 - share:
        return mean_s if math.isinf(mean_s) else 0.0
    return mean_s / waiting * math.log(waiting / (1 - share))


def response_quantile_s(rate_per_s: float, replicas: Replicas, share: float = 0.99) -> float:
    """The response time that this share does not exceed.

    In M/M/k exactly, by the convolution of wait and exponential service. Otherwise the quantile of
    the wait plus that of a gamma-like service time, S·(1 + z·√scv), a bound from above, as both
    are seldom late together."""
    wait_s = wait_quantile_s(rate_per_s, replicas, share)
    if math.isinf(wait_s):
        return math.inf
    if replicas.service_scv == replicas.arrival_scv == 1:
        return _exponential_response_s(rate_per_s, replicas, share)
    above = math.sqrt(replicas.service_scv) * (-math.log(1 - share) - 1)
    return wait_s + replicas.service_s * (1 + above)


def _exponential_response_s(rate_per_s: float, replicas: Replicas, share: float) -> float:
    """Found by bisection of the tail of M/M/k, which falls."""
    load, service = rate_per_s * replicas.service_s, 1 / replicas.service_s
    waiting, spare = erlang_c(load, replicas.count), replicas.count * service - rate_per_s

    def tail(t_s: float) -> float:
        if abs(spare - service) < 1e-9 * service:
            return math.exp(-service * t_s) * (1 + waiting * service * t_s)
        late = (math.exp(-service * t_s) - math.exp(-spare * t_s)) / (spare - service)
        return math.exp(-service * t_s) + waiting * service * late

    return least(lambda t_s: tail(t_s) <= 1 - share, 0.0, _reach(tail, 1 - share))


def _reach(tail: Callable[[float], float], share: float) -> float:
    high = 1e-6
    while tail(high) > share:
        high *= 2
    return high


def least(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The least value between both from which on it holds."""
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
