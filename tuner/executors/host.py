"""What this computer has, and how to tell it from another one."""

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple


class Gpu(NamedTuple):
    """A GPU as the driver names it."""

    number: int
    uuid: str
    name: str


class LocalHost:
    """This computer."""

    def cores(self) -> tuple[int, ...]:
        """The cores that this process may use."""
        return tuple(sorted(os.sched_getaffinity(0)))

    def gpus(self) -> tuple[int, ...]:
        """The GPUs that this process may use, as NVML numbers them."""
        return visible(_gpus()[0], os.environ.get("CUDA_VISIBLE_DEVICES"))

    def gpu_names(self) -> dict[int, str]:
        """Their names, as the driver gives them."""
        return {gpu.number: gpu.name for gpu in _gpus()[0] if gpu.number in self.gpus()}

    def fingerprint(self) -> dict[str, str]:
        """What a measurement depends on; two hosts that differ here are not to be compared."""
        found = {
            "cpu": _first("/proc/cpuinfo", "model name") or platform.machine(),
            "cores": str(len(self.cores())),
            "memory_gib": str(round(int(_first("/proc/meminfo", "MemTotal").split()[0]) / 2**20)),
            "kernel": platform.release(),
            "python": platform.python_version(),
        }
        with suppress(PackageNotFoundError):
            found["torch"] = version("torch")
        gpus, driver = _gpus()
        if gpus:
            chosen = visible(gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
            found["gpus"] = ", ".join(gpu.name for gpu in gpus if gpu.number in chosen)
            found["gpu_driver"] = driver
        return found


def visible(gpus: Sequence[Gpu], wanted: str | None) -> tuple[int, ...]:
    """What CUDA_VISIBLE_DEVICES leaves: numbers or starts of UUIDs, up to the first wrong one."""
    if wanted is None:
        return tuple(gpu.number for gpu in gpus)
    chosen: list[int] = []
    for word in wanted.split(","):
        found = [gpu.number for gpu in gpus if _is_called(gpu, word.strip())]
        if len(found) != 1:
            break
        chosen += found
    return tuple(chosen)


def _is_called(gpu: Gpu, word: str) -> bool:
    return word == str(gpu.number) or (word.startswith("GPU-") and gpu.uuid.startswith(word))


def _gpus() -> tuple[list[Gpu], str]:
    """The GPUs and the version of their driver; none where NVML is not to be had."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:
        # Imports and drivers fail in their own ways: all of them mean that no GPU can be used.
        return [], ""
    try:
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(number)
            for number in range(pynvml.nvmlDeviceGetCount())
        ]
        gpus = [
            Gpu(number, pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle))
            for number, handle in enumerate(handles)
        ]
        return gpus, str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return [], ""
    finally:
        pynvml.nvmlShutdown()


def _first(path: str, name: str) -> str:
    """The value of the first line of that name; empty where there is none."""
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        found, _, value = line.partition(":")
        if found.strip() == name:
            return value.strip()
    return ""
