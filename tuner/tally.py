"""The readings of GPUs over a run, and the figures that they make. Unknown is absent, never 0."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

HELD_BACK = 0x08 | 0x20 | 0x40 | 0x80
"""Throttle reasons that count: hardware slowdown, heat (software, hardware), power brake. A power
cap is normal under load, and no reason."""

_SUM_ENDINGS = ("_s", "_j", "_bytes", "_errors")


def is_sum(name: str) -> bool:
    """Whether a figure counts up since the gang began; the others are levels."""
    return name.endswith(_SUM_ENDINGS)


@dataclass(slots=True)
class Track:
    """One kind of reading of one GPU; sums and ends only, so that no run fills the memory."""

    count: int = 0
    first: float = 0.0
    latest: float = 0.0
    latest_s: float = 0.0
    total: float = 0.0
    peak: float = 0.0
    integral: float = 0.0
    """Over time, by trapezoids."""

    def add(self, t_s: float, value: float) -> None:
        if self.count == 0:
            self.first = self.peak = value
        else:
            self.integral += (t_s - self.latest_s) * (self.latest + value) / 2
        self.count += 1
        self.total += value
        self.peak = max(self.peak, value)
        self.latest, self.latest_s = value, t_s


Tally = Mapping[str, Track]
"""The tracks of one GPU."""


class Figure(NamedTuple):
    """How a figure of a gang comes from tracks of each of its GPUs."""

    name: str
    of_gpu: Callable[[Tally], float | None]
    of_gang: Callable[[Sequence[float]], float]


def _mean(name: str) -> Callable[[Tally], float | None]:
    return _of_track(name, 1, lambda track: track.total / track.count)


def _peak(name: str) -> Callable[[Tally], float | None]:
    return _of_track(name, 1, lambda track: track.peak)


def _latest(name: str) -> Callable[[Tally], float | None]:
    return _of_track(name, 1, lambda track: track.latest)


def _growth(name: str) -> Callable[[Tally], float | None]:
    return _of_track(name, 2, lambda track: max(0.0, track.latest - track.first))


def _integral(name: str) -> Callable[[Tally], float | None]:
    return _of_track(name, 2, lambda track: track.integral)


def _of_track(
    name: str, least: int, value: Callable[[Track], float]
) -> Callable[[Tally], float | None]:
    def found(tally: Tally) -> float | None:
        track = tally.get(name)
        return value(track) if track is not None and track.count >= least else None

    return found


def _energy_j(tally: Tally) -> float | None:
    """By the GPU's own counter; older ones have none, and power over time stands in."""
    name = "energy_j" if "energy_j" in tally else "power_w"
    return (_growth if name == "energy_j" else _integral)(name)(tally)


_SUMS = (
    Figure("energy_j", _energy_j, sum),
    # As slow as its slowest: the GPU that was held back longest.
    Figure("gpu_throttled_s", _integral("throttled"), max),
    Figure("gpu_pcie_rx_bytes", _integral("pcie_rx_bytes_per_s"), sum),
    Figure("gpu_pcie_tx_bytes", _integral("pcie_tx_bytes_per_s"), sum),
    Figure("gpu_nvlink_bytes", _growth("nvlink_bytes"), sum),
)
_OVER_RUN = (
    Figure("gpu_utilization_pct", _mean("utilization_pct"), fmean),
    Figure("gpu_power_w", _mean("power_w"), sum),
    Figure("gpu_peak_memory_gib", _peak("used_gib"), max),
    Figure("gpu_clock_mhz", _mean("clock_mhz"), min),
    Figure("gpu_temperature_c", _peak("temperature_c"), max),
    Figure("gpu_ecc_errors", _growth("ecc_errors"), sum),
    Figure("gpu_sm_active_pct", _mean("sm_active_pct"), fmean),
    Figure("gpu_tensor_active_pct", _mean("tensor_active_pct"), fmean),
    Figure("gpu_dram_active_pct", _mean("dram_active_pct"), fmean),
    *_SUMS,
)
_NOW = (
    Figure("gpu_utilization_pct", _latest("utilization_pct"), fmean),
    Figure("gpu_power_w", _latest("power_w"), sum),
    Figure("gpu_memory_gib", _latest("used_gib"), max),
    Figure("gpu_clock_mhz", _latest("clock_mhz"), min),
    Figure("gpu_temperature_c", _latest("temperature_c"), max),
    Figure("gpu_sm_active_pct", _latest("sm_active_pct"), fmean),
    Figure("gpu_tensor_active_pct", _latest("tensor_active_pct"), fmean),
    Figure("gpu_dram_active_pct", _latest("dram_active_pct"), fmean),
    *_SUMS,
)


def over_run(tallies: Sequence[Tally]) -> dict[str, float]:
    """Usage over the GPUs of a gang; a figure that one of them lacks is left out."""
    return _figures(_OVER_RUN, tallies)


def now(tallies: Sequence[Tally]) -> dict[str, float]:
    """Sums since the beginning and levels; a figure that one of the GPUs lacks is left out."""
    return _figures(_NOW, tallies)


def _figures(figures: Sequence[Figure], tallies: Sequence[Tally]) -> dict[str, float]:
    found = {}
    for figure in figures:
        values = [value for t in tallies if (value := figure.of_gpu(t)) is not None]
        if values and len(values) == len(tallies):
            found[figure.name] = round(figure.of_gang(values), 4)
    return found
