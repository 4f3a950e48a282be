"""What this computer has, and how to tell it from another one."""

import hashlib
import os
import platform
import shutil
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from tuner.executors import contents
from tuner.launch import launch_command
from tuner.spec import JobSpec


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

    def fingerprint(self, spec: JobSpec) -> dict[str, str]:
        """What measurements of a job depend on; those that differ here are not to be compared."""
        command = launch_command(spec, spec.space.default())
        found: dict[str, str | None] = {
            **_machine(),
            "cores": str(len(self.cores())),
            **_gpu_words(),
            **_software(command.argv[0]),
            "trimtab": _version("trimtab"),
            "workload": contents.workload_hash(spec),
            "data": contents.data_hash(spec),
            "git": contents.git_commit(spec),
        }
        return {name: value for name, value in found.items() if value}


def _machine() -> dict[str, str | None]:
    frequency = "/sys/devices/system/cpu"
    named = _text("/etc/machine-id") or socket.gethostname()
    no_turbo = _text(f"{frequency}/intel_pstate/no_turbo")
    boost = _text(f"{frequency}/cpufreq/boost") or {"0": "1", "1": "0"}.get(no_turbo or "")
    return {
        "machine": hashlib.sha256(named.encode()).hexdigest()[:12],
        "cpu": _first("/proc/cpuinfo", "model name") or platform.machine(),
        "cpu_governor": _text(f"{frequency}/cpu0/cpufreq/scaling_governor"),
        "cpu_boost": boost,
        "memory_gib": str(round(int(_first("/proc/meminfo", "MemTotal").split()[0]) / 2**20)),
        "kernel": platform.release(),
    }


def _gpu_words() -> dict[str, str | None]:
    """GPUs of one name are alike, so their serial numbers do not matter."""
    gpus, driver = _gpus()
    if not gpus:
        return {}
    chosen = visible(gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
    names = ", ".join(gpu.name for gpu in gpus if gpu.number in chosen)
    return {"gpus": names, "gpu_driver": driver}


def _software(program: str) -> dict[str, str | None]:
    """Versions of Python and torch where a program (`python`, `torchrun`) is installed."""
    if program == sys.executable:
        return {"python": platform.python_version(), "torch": _version("torch")}
    place = shutil.which(program)
    found: dict[str, str | None] = {}
    for library in sorted(Path(place).parent.parent.glob("lib/python3*")) if place else ():
        for info in library.glob("*-packages/torch-*.dist-info"):
            found["python"] = library.name.removeprefix("python")
            found["torch"] = info.name.removeprefix("torch-").removesuffix(".dist-info")
    return found


def _version(package: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(package)
    return None


def _text(path: str) -> str | None:
    """What a small file says; None where it is not there, or says nothing."""
    with suppress(OSError):
        return Path(path).read_text(encoding="utf-8").strip() or None
    return None


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
