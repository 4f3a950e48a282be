"""From a series of rates to the mean rate of its steady window, with an interval. Pure.

The warm-up is found by MSER-5. The interval is the widest of three that respect autocorrelation
(batch means over 10 and over 20 batches, the spectrum of an autoregressive model), with a
systematic floor of 0.5 % in quadrature: as measuring stops when it is narrow, any one of them
alone would be too narrow. It is widened once more, because computers wander more slowly than a
short window can show.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from tuner import stats
from tuner.steady import Change, change_in

FLOOR = 0.005
WIDENING = 1.5
"""On a shared virtual machine, nominal 95 % intervals of windows of 2 to 25 s held 57 to 85 % of
the figures of longer runs without it (of 50 windows each), 86 to 94 % with it."""
MIN_BINS = 20
LATE_WARMUP = 0.05
"""A warm-up that takes half of the run, and differs by more than this, is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Amount per second of the whole gang in equal bins of `bin_s` seconds."""

    rates: tuple[float, ...]
    bin_s: float
    start_s: float
    """Monotonic second of the first bin's beginning, pauses left out of the axis after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A mean rate in its steady window."""

    value: float
    half_width: float
    """Of the nominal 95 % interval; infinite where the window is too short to tell."""
    warmup_s: float
    window_s: float
    change_s: float | None
    """Second of the window at which the level changed; None where it is level."""
    notes: tuple[str, ...]
    """Why there is no steady state."""

    @property
    def is_stable(self) -> bool:
        return not self.notes

    @property
    def interval(self) -> tuple[float, float] | None:
        if not math.isfinite(self.half_width):
            return None
        return max(0.0, self.value - self.half_width), self.value + self.half_width

    @property
    def precision(self) -> float:
        """Half width relative to the value."""
        return self.half_width / self.value if self.value > 0 else math.inf


def rate_of(series: Series) -> Rate:
    """The mean rate after the warm-up."""
    rates = series.rates
    cut = stats.mser_cut(rates)
    steady = rates[cut:]
    mean = fmean(steady)
    half = half_width_of(steady)
    change = change_in(steady)
    return Rate(
        value=mean,
        half_width=half,
        warmup_s=cut * series.bin_s,
        window_s=len(steady) * series.bin_s,
        change_s=change.at * series.bin_s if change is not None else None,
        notes=tuple(_notes(rates, cut, change, series.bin_s)),
    )


def half_width_of(steady: Sequence[float]) -> float:
    """Half the interval of the mean of a steady series; infinite where it is too short to tell."""
    return math.hypot(WIDENING * _half_width(steady), FLOOR * fmean(steady))


def _half_width(steady: Sequence[float]) -> float:
    halves = [stats.batch_means_half_width(steady, n, 0.975) for n in (10, 20)]
    halves.append(stats.autoregressive_half_width(steady, 0.975))
    # 20 batches need twice as many values: without those the other two have to do.
    known = [half for half in halves if math.isfinite(half)]
    return max(known) if len(known) >= 2 else math.inf


def _notes(rates: Sequence[float], cut: int, change: Change | None, bin_s: float) -> Iterable[str]:
    if change is not None and change.is_gradual:
        yield f"no steady state: it drifts, by {100 * change.relative:+.1f} % from half to half"
    elif change is not None:
        yield f"no steady state: {100 * change.relative:+.1f} % after {change.at * bin_s:.1f} s"
    if len(rates) - cut < MIN_BINS:
        return
    # A warm-up that is half of the run is a change, not a warm-up.
    mean = fmean(rates[cut:])
    if cut >= 0.45 * len(rates) and abs(fmean(rates[:cut]) - mean) > LATE_WARMUP * mean:
        yield "no steady state: it still changes after half of the run"
