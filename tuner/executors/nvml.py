"""GPUs by NVML. What a GPU or driver does not tell is absent, never 0."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

_PERIOD_S = 0.2


@dataclass(slots=True)
class Tally:
    """The readings of one GPU."""

    utilization_pct: list[float] = field(default_factory=list)
    power_w: list[float] = field(default_factory=list)
    used_gib: list[float] = field(default_factory=list)
    energy_j: list[float] = field(default_factory=list)

    def add(self, name: str, value: float) -> None:
        """Means keep sum and count, the others first and last, so that no run fills the memory."""
        kept: list[float] = getattr(self, name)
        if name in ("utilization_pct", "power_w"):
            kept[:] = [kept[0] + value, kept[1] + 1] if kept else [value, 1]
        elif name == "used_gib":
            kept[:] = [max(*kept, value)] if kept else [value]
        else:
            kept[:] = [kept[0], value] if kept else [value]


def combine(tallies: Sequence[Tally]) -> dict[str, float]:
    """Usage over the GPUs of a gang; a figure that one of them lacks is left out."""
    found: dict[str, float] = {}
    if tallies and all(t.utilization_pct for t in tallies):
        means = [t.utilization_pct[0] / t.utilization_pct[1] for t in tallies]
        found["gpu_utilization_pct"] = round(sum(means) / len(means), 2)
    if tallies and all(t.power_w for t in tallies):
        found["gpu_power_w"] = round(sum(t.power_w[0] / t.power_w[1] for t in tallies), 2)
    if tallies and all(t.used_gib for t in tallies):
        found["gpu_peak_memory_gib"] = round(max(t.used_gib[0] for t in tallies), 4)
    if tallies and all(len(t.energy_j) == 2 for t in tallies):
        found["energy_j"] = round(sum(t.energy_j[1] - t.energy_j[0] for t in tallies), 3)
    return found


class GpuMeter:
    """Reads GPUs in a thread of its own: a driver that hangs holds nobody else up."""

    def __init__(self, gpus: Sequence[int]) -> None:
        self._gpus = tuple(gpus)
        self._lock = threading.Lock()
        self._usage: dict[str, float] = {}
        self._reading: dict[str, float] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        if self._gpus:
            self._thread.start()

    def usage(self) -> dict[str, float]:
        """Metric -> value until now; empty without GPUs or NVML."""
        with self._lock:
            return dict(self._usage)

    def reading(self) -> dict[str, float]:
        """Sums since the beginning and levels, both at the last reading."""
        with self._lock:
            return dict(self._reading)

    def close(self, limit_s: float) -> None:
        """A last reading, if it comes within the limit."""
        self._closing.set()
        if self._gpus:
            self._thread.join(limit_s)

    def _run(self) -> None:
        opened = _open(self._gpus)
        if not opened:
            return
        tallies = [Tally() for _ in opened]
        last = False
        while not last:
            last = self._closing.is_set()
            for readings, tally in zip(opened, tallies, strict=True):
                _read(readings, tally)
            with self._lock:
                self._usage = combine(tallies)
                self._reading = {n: v for n, v in self._usage.items() if n == "energy_j"}
            self._closing.wait(0 if last else _PERIOD_S)


Readings = dict[str, Callable[[], float]]


def _open(gpus: Sequence[int]) -> list[Readings]:
    """What can be read of each GPU; empty where NVML is not to be had."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:
        # Imports and drivers fail in their own ways; a gang runs as well without these figures.
        return []
    with suppress(pynvml.NVMLError):
        return [_readings(pynvml.nvmlDeviceGetHandleByIndex(gpu)) for gpu in gpus]
    return []


def _readings(handle: object) -> Readings:
    import pynvml

    return {
        "utilization_pct": lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu,
        "power_w": lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "used_gib": lambda: _used_bytes(handle) / 2**30,
        "energy_j": lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000,
    }


def _used_bytes(handle: object) -> int:
    """Memory that processes hold, without the driver's own where it can be told apart."""
    import pynvml

    try:
        used = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).used
    except pynvml.NVMLError:
        used = pynvml.nvmlDeviceGetMemoryInfo(handle).used
    return int(used)


def _read(readings: Readings, tally: Tally) -> None:
    import pynvml

    for name, reading in readings.items():
        with suppress(pynvml.NVMLError):
            tally.add(name, float(reading()))
