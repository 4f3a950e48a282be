"""GPUs by NVML. What a GPU or driver does not tell is absent, never 0.

A figure whose reading fails is unknown from then on: it is left out of the usage, which names the
error instead. PCIe traffic is an estimate: the driver counts 20 ms at a time, which is taken for
the time until it counts again, with a KB of 1000 bytes.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tuner import tally
from tuner.tally import HELD_BACK, Track

_PERIOD_S = 0.2
_CPU_SHARE = 200
"""Reading takes one part in so many of a core, or more where the figures would grow stale."""
_STALE_S = 5.0
"""Without an answer of the driver for so long, nothing is known any more."""
_MOST_EVENTS = 100
_ALL_LINKS = 0xFFFFFFFF
_KINDS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""Where a field value lies, by its type."""

Readings = dict[str, Callable[[], float]]


class GpuMeter:
    """Reads GPUs in a thread of its own: a driver that hangs holds nobody else up."""

    def __init__(self, gpus: Sequence[int]) -> None:
        self._gpus = tuple(gpus)
        self._lock = threading.Lock()
        self._usage: dict[str, float] = {}
        self._reading: dict[str, float] = {}
        self._read_s = time.monotonic()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        if self._gpus:
            self._thread.start()

    def usage(self) -> dict[str, float]:
        """Metric -> value over the run until now; empty without GPUs or NVML."""
        with self._lock:
            return dict(self._usage) if self._is_fresh() else {}

    def reading(self) -> dict[str, float]:
        """Sums since the beginning and levels, both at the last reading."""
        with self._lock:
            return dict(self._reading) if self._is_fresh() else {}

    def close(self, limit_s: float) -> None:
        """A last reading, if it comes within the limit."""
        self._closing.set()
        if self._gpus:
            self._thread.join(limit_s)

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._read_s < _STALE_S

    def _run(self) -> None:
        devices = _open(self._gpus)
        if not devices:
            return
        events, turn, last = _Events(devices), 0, False
        while not last:
            last = self._closing.is_set()
            began_s = time.thread_time()
            for device in devices:
                device.read(device.readings)
            # One GPU a turn, as it waits for the driver.
            devices[turn % len(devices)].read(devices[turn % len(devices)].slow_readings)
            events.read()
            self._tell(devices, events)
            turn += 1
            spent_s = time.thread_time() - began_s
            self._closing.wait(0 if last else pause_s(spent_s))

    def _tell(self, devices: "Sequence[_Device]", events: "_Events") -> None:
        tallies = [device.tracks for device in devices]
        errors = [device.error for device in devices if device.error] or [events.error]
        with self._lock:
            self._usage = tally.over_run(tallies) | events.usage()
            if errors[0]:
                self._usage["gpu_nvml_error"] = errors[0]
            self._reading = tally.now(tallies)
            self._read_s = time.monotonic()


def pause_s(spent_s: float) -> float:
    """How long to wait after a reading that took so much CPU time."""
    return min(max(_PERIOD_S, _CPU_SHARE * spent_s), _STALE_S / 2)


@dataclass(slots=True)
class _Device:
    """A GPU, what can be read of it, and what was."""

    handle: object
    readings: Readings
    slow_readings: Readings
    tracks: dict[str, Track] = field(default_factory=dict)
    error: int = 0
    """Code of the first error of a reading that had worked."""

    def read(self, readings: Readings) -> None:
        import pynvml

        for name, reading in list(readings.items()):
            try:
                value = float(reading())
            except pynvml.NVMLError as error:
                del readings[name]
                if name in self.tracks:
                    # Kept empty: what it told before is no figure of the run.
                    self.tracks[name] = Track()
                    self.error = self.error or error.value
            else:
                self.tracks.setdefault(name, Track()).add(time.monotonic(), value)


def _open(gpus: Sequence[int]) -> list[_Device]:
    """The GPUs of a gang; empty where NVML is not to be had."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:
        # Imports and drivers fail in their own ways; a gang runs as well without these figures.
        return []
    with suppress(pynvml.NVMLError):
        return [_device(pynvml.nvmlDeviceGetHandleByIndex(gpu)) for gpu in gpus]
    return []


def _device(handle: object) -> _Device:
    import pynvml as nv

    sent, received = nv.NVML_PCIE_UTIL_TX_BYTES, nv.NVML_PCIE_UTIL_RX_BYTES
    readings: Readings = {
        "utilization_pct": lambda: nv.nvmlDeviceGetUtilizationRates(handle).gpu,
        "power_w": lambda: nv.nvmlDeviceGetPowerUsage(handle) / 1000,
        "used_gib": lambda: _used_bytes(handle) / 2**30,
        "energy_j": lambda: nv.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000,
        "clock_mhz": lambda: nv.nvmlDeviceGetClockInfo(handle, nv.NVML_CLOCK_SM),
        "temperature_c": lambda: nv.nvmlDeviceGetTemperature(handle, nv.NVML_TEMPERATURE_GPU),
        "throttled": lambda: _is_throttled(handle),
        "nvlink_bytes": lambda: 1024 * _nvlink_kib(handle),
        "ecc_errors": lambda: nv.nvmlDeviceGetTotalEccErrors(
            handle, nv.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nv.NVML_VOLATILE_ECC
        ),
    }
    slow: Readings = {
        "pcie_rx_bytes_per_s": lambda: 1000 * nv.nvmlDeviceGetPcieThroughput(handle, received),
        "pcie_tx_bytes_per_s": lambda: 1000 * nv.nvmlDeviceGetPcieThroughput(handle, sent),
    }
    return _Device(handle, readings, slow)


def _used_bytes(handle: object) -> int:
    """Memory that processes hold, without the driver's own where it can be told apart."""
    import pynvml

    try:
        used = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).used
    except pynvml.NVMLError:
        used = pynvml.nvmlDeviceGetMemoryInfo(handle).used
    return int(used)


def _is_throttled(handle: object) -> bool:
    """Held back by heat or by the power supply."""
    import pynvml as nv

    try:
        reasons = nv.nvmlDeviceGetCurrentClocksEventReasons(handle)
    except nv.NVMLError_FunctionNotFound:
        reasons = nv.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    return bool(reasons & HELD_BACK)


def _nvlink_kib(handle: object) -> int:
    """Payload sent and received by all links since the driver was loaded."""
    import pynvml as nv

    wanted = (nv.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, nv.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX)
    values = nv.nvmlDeviceGetFieldValues(handle, [(number, _ALL_LINKS) for number in wanted])
    for value in values:
        if value.nvmlReturn != nv.NVML_SUCCESS:
            raise nv.NVMLError(value.nvmlReturn)
    return sum(int(getattr(value.value, _KINDS[value.valueType])) for value in values)


class _Events:
    """Critical errors (Xid) of GPUs since this was made, as far as the driver tells them."""

    def __init__(self, devices: Sequence[_Device]) -> None:
        import pynvml

        self._count = 0
        self._first_xid = 0
        self._set: object | None = None
        self.error = 0
        """Code of the error that ended it."""
        with suppress(pynvml.NVMLError):
            made = pynvml.nvmlEventSetCreate()
            for device in devices:
                kind = pynvml.nvmlEventTypeXidCriticalError
                pynvml.nvmlDeviceRegisterEvents(device.handle, kind, made)
            self._set = made

    def read(self) -> None:
        """Takes in what has come, without waiting for more."""
        import pynvml

        try:
            for _ in range(_MOST_EVENTS if self._set is not None else 0):
                event = pynvml.nvmlEventSetWait_v2(self._set, 0)
                if event.eventType == pynvml.nvmlEventTypeXidCriticalError:
                    self._count += 1
                    self._first_xid = self._first_xid or int(event.eventData)
        except pynvml.NVMLError_Timeout:
            return
        except pynvml.NVMLError as error:
            self._set, self.error = None, error.value

    def usage(self) -> dict[str, float]:
        """What came stays true after the driver has ceased to tell; that nothing came does not."""
        if self._count:
            return {"gpu_xid_errors": self._count, "gpu_first_xid": self._first_xid}
        return {} if self._set is None else {"gpu_xid_errors": 0}
