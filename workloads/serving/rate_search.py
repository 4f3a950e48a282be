"""The highest rate at which the objective is kept, found while requests flow. Pure."""

from typing import NamedTuple

ALLOWED_SHARE = 0.01
"""Of requests beyond the objective: it is one of the 99th percentile."""
WINDOW_TICKS = 5
"""A window is at least so long, and has WINDOW_REQUESTS, unless it reached LONGEST_TICKS."""
LONGEST_TICKS = 20
WINDOW_REQUESTS = 100
UP, DOWN = 1.02, 0.94
"""Three windows in four keep the objective where the mean step is none (weighted up-down method,
Kaernbach 1991): 0.75 log 1.02 + 0.25 log 0.94 = 0."""
LOWEST_PER_S = 2.0
_GROWTH = 1.12
_CLIMB = 1.06
_BACK_OFF = 0.6
_DRAIN_TICKS = 50


class Seen(NamedTuple):
    """What became clear within a tick, and what is on its way."""

    good: int
    late: int
    """Failed requests too."""
    outstanding: int


class RateSearch:
    """First grows fast until requests are late, and lets what has piled up go. Then, window by
    window, steps up where its 99th percentile kept the objective and three times as far down where
    not: a hiccup of the computer costs one step and not the result.
    """

    def __init__(self, start_per_s: float) -> None:
        self.rate = start_per_s
        self.is_found = False
        """Whether the rate is near the one that is sought."""
        self._stage = self._ramp
        self._next_per_s = start_per_s
        self._ticks = self._good = self._late = 0

    def tick(self, seen: Seen) -> None:
        """Takes in what became clear since the tick before, and sets the rate for the next."""
        self._ticks += 1
        self._good += seen.good
        self._late += seen.late
        self._stage(seen)

    def _begin(self) -> None:
        self._ticks = self._good = self._late = 0

    def _ramp(self, seen: Seen) -> None:
        if seen.late <= max(2.0, 0.1 * seen.good):
            self.rate *= _GROWTH
            return
        self._next_per_s = max(LOWEST_PER_S, self.rate * _BACK_OFF)
        self.rate = LOWEST_PER_S
        self._stage = self._drain
        self._begin()

    def _drain(self, seen: Seen) -> None:
        if seen.outstanding <= 1 or self._ticks >= _DRAIN_TICKS:
            self.rate = self._next_per_s
            self._stage = self._window
            self._begin()

    def _window(self, seen: Seen) -> None:
        decided = self._good + self._late
        is_full = self._ticks >= WINDOW_TICKS and decided >= WINDOW_REQUESTS
        if not is_full and self._ticks < LONGEST_TICKS:
            return
        kept = self._late <= ALLOWED_SHARE * decided
        if not kept:
            self.rate *= DOWN
            self.is_found = True
        else:
            self.rate *= UP if self.is_found else _CLIMB
        self.rate = max(LOWEST_PER_S, self.rate)
        self._begin()
