"""When requests are sent: an open stream of arrivals, whatever the server does. Pure."""

import math
import random
from collections.abc import Callable, Iterator, Mapping

RateAt = Callable[[float], float]
"""Second of the load -> requests per second."""

TICK_S = 0.01
"""Within it the rate is taken as constant."""
SWING = 0.6
"""Of a day: from 0.4 to 1.6 times its mean rate."""
BURST_RATIO, BURST_SHARE = 4.0, 0.15
"""Of a period with a burst: so many times the rate of the rest, for such a share of it."""


def poisson(rate: float, period_s: float) -> RateAt:
    """The same rate all the time."""
    return lambda t_s: rate


def day(rate: float, period_s: float) -> RateAt:
    """A day replayed in `period_s` seconds, from its mean, with the peak at a quarter of it."""
    return lambda t_s: rate * (1 + SWING * math.sin(2 * math.pi * t_s / period_s))


def bursts(rate: float, period_s: float) -> RateAt:
    """A burst at the end of every period, with `rate` as the mean of a whole period."""
    calm = rate / (1 + (BURST_RATIO - 1) * BURST_SHARE)

    def rate_at(t_s: float) -> float:
        is_burst = t_s % period_s >= (1 - BURST_SHARE) * period_s
        return calm * BURST_RATIO if is_burst else calm

    return rate_at


SHAPES: Mapping[str, Callable[[float, float], RateAt]] = {
    "poisson": poisson,
    "day": day,
    "bursts": bursts,
}


def arrivals(rate_at: RateAt, rng: random.Random) -> Iterator[float]:
    """Seconds of a Poisson process whose rate changes from tick to tick.

    Exponential gaps are drawn anew at the end of a tick, which is exact as they have no memory."""
    tick, t_s = 0, 0.0
    while True:
        rate = rate_at(tick * TICK_S)
        t_s += rng.expovariate(rate) if rate > 0 else math.inf
        if t_s >= (tick + 1) * TICK_S:
            tick += 1
            t_s = tick * TICK_S
        else:
            yield t_s
