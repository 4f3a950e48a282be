"""What became of the requests that were sent. Pure: the caller tells the time."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(slots=True)
class Sent:
    """A request on its way."""

    intended_s: float
    latency_s: float | None = None
    """Since it should have been sent; None while there is no answer."""
    is_failed: bool = False


class Decided(NamedTuple):
    """Requests of which it has become clear whether they kept the objective."""

    good: int
    late: int
    """Failed ones too."""


class Tally:
    """Counts requests by the moment at which they should have been sent, so that a client or a
    server that cannot keep up makes them late and never fewer (no coordinated omission)."""

    def __init__(self, slo_s: float, timeout_s: float) -> None:
        self._slo_s = slo_s
        self._timeout_s = timeout_s
        self._undecided: deque[Sent] = deque()
        self.begin()

    def begin(self) -> None:
        """Forgets everything but what is on its way."""
        self.latencies_s: list[float] = []
        self.lags_s: list[float] = []
        self.answered = self.failed = self.good = self.late = 0

    def sent(self, intended_s: float, now_s: float) -> Sent:
        request = Sent(intended_s)
        self._undecided.append(request)
        self.lags_s.append(max(0.0, now_s - intended_s))
        return request

    def ended(self, request: Sent, now_s: float, *, ok: bool) -> None:
        """A failed request counts as one that took as long as anybody would have waited."""
        waited_s = now_s - request.intended_s
        request.is_failed = not ok
        request.latency_s = waited_s if ok else max(waited_s, self._timeout_s)
        self.latencies_s.append(request.latency_s)
        self.answered += ok
        self.failed += not ok

    def decide(self, now_s: float) -> Decided:
        """What is clear by now: also without an answer, once the objective cannot be kept."""
        good = late = 0
        while self._undecided:
            request = self._undecided[0]
            if request.latency_s is None and now_s - request.intended_s <= self._slo_s:
                break
            self._undecided.popleft()
            is_good = request.latency_s is not None and request.latency_s <= self._slo_s
            good += is_good and not request.is_failed
            late += not is_good or request.is_failed
        self.good += good
        self.late += late
        return Decided(good, late)

    def figures(self) -> dict[str, float]:
        """Latencies, errors and attainment since `begin`; empty before the first answer."""
        decided = self.good + self.late
        if not self.latencies_s or not decided:
            return {}
        return {
            "p50_latency_ms": 1e3 * percentile(self.latencies_s, 0.5),
            "p99_latency_ms": 1e3 * percentile(self.latencies_s, 0.99),
            "slo_attainment_pct": 100 * self.good / decided,
            "error_pct": 100 * self.failed / len(self.latencies_s),
            "p99_send_lag_ms": 1e3 * percentile(self.lags_s, 0.99),
        }
