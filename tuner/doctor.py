"""What this machine can do, what is missing, and the remedy for each."""

import importlib.util
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tuner.errors import TrimtabError
from tuner.model import Lease

GIB = 1024**3
_SQLITE_FIXED = (3, 51, 3)
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""
    """What to do about it; empty where nothing needs doing."""


def examine(home: Path, controller: Callable[[], Lease | None]) -> list[Check]:
    """Every check, the basic ones first. `controller` opens the store and asks who controls."""
    return [
        python(sys.version_info[:3]),
        torch(),
        gpus(),
        cores(),
        memory(),
        cgroups(),
        home_folder(home),
        sqlite(sqlite3.sqlite_version_info),
        store(home, controller),
        demo_data(),
        browser(),
    ]


def python(version: tuple[int, ...]) -> Check:
    said = ".".join(map(str, version))
    if (3, 11) <= version[:2] < (3, 14):
        return Check(name="python", state="ok", detail=f"{said} ({sys.executable})")
    detail = f"{said} is outside 3.11 to 3.13"
    remedy = "make a virtual environment with Python 3.11, 3.12 or 3.13"
    return Check(name="python", state="fail", detail=detail, remedy=remedy)


def torch() -> Check:
    """The torch that trials would use, and its ways to talk between ranks."""
    try:
        import torch
        import torch.distributed as dist
    except Exception as error:  # whatever a broken build raises, it cannot train
        remedy = "pip install 'torch>=2.11,<2.14'"
        return Check(name="torch", state="fail", detail=f"not usable: {error}", remedy=remedy)
    if not (dist.is_available() and dist.is_gloo_available()):
        detail = f"{torch.__version__} without gloo: no job with two ranks runs on CPUs"
        remedy = "install a build of torch with torch.distributed and gloo"
        return Check(name="torch", state="fail", detail=detail, remedy=remedy)
    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    nccl = "NCCL" if dist.is_nccl_available() else "no NCCL"
    return Check(name="torch", state="ok", detail=f"{torch.__version__}, gloo, {nccl}, {cuda}")


def gpus() -> Check:
    """What NVML sees, and whether torch can use it."""
    try:
        found = _nvml_names()
    except Exception as error:  # NVML raises a class of its own for each fault
        detail = f"none seen by NVML ({error}); trials run on CPUs"
        return Check(name="gpus", state="ok", detail=detail)
    if not found:
        return Check(name="gpus", state="ok", detail="NVML sees none; trials run on CPUs")
    detail = f"{len(found)}: {', '.join(sorted(set(found)))}"
    if _torch_sees_gpus():
        return Check(name="gpus", state="ok", detail=detail)
    remedy = "install the CUDA build of torch that fits the driver"
    return Check(name="gpus", state="warn", detail=f"{detail}, not usable by torch", remedy=remedy)


def _nvml_names() -> list[str]:
    import pynvml

    pynvml.nvmlInit()
    try:
        devices = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [str(pynvml.nvmlDeviceGetName(device)) for device in devices]
    finally:
        pynvml.nvmlShutdown()


def _torch_sees_gpus() -> bool:
    try:
        import torch
    except Exception:  # said by the check of torch itself
        return False
    return bool(torch.cuda.is_available())


def cores() -> Check:
    usable = len(os.sched_getaffinity(0))
    detail = f"{usable} usable of {os.cpu_count()}"
    if usable >= 2:
        return Check(name="cores", state="ok", detail=detail)
    remedy = "give it 2 cores: with one, jobs of two nodes share it and measure badly"
    return Check(name="cores", state="warn", detail=detail, remedy=remedy)


def memory() -> Check:
    import psutil

    found = psutil.virtual_memory()
    detail = f"{found.available / GIB:.1f} GiB free of {found.total / GIB:.1f} GiB"
    if found.available >= 2 * GIB:
        return Check(name="memory", state="ok", detail=detail)
    remedy = "free some: the demo needs about 2 GiB"
    return Check(name="memory", state="warn", detail=detail, remedy=remedy)


def cgroups(root: Path = Path("/sys/fs/cgroup")) -> Check:
    """Where the kernel counts its out-of-memory kills."""
    if (root / "cgroup.controllers").exists():
        return Check(name="cgroups", state="ok", detail="version 2")
    if (root / "memory").is_dir():
        return Check(name="cgroups", state="ok", detail="version 1 with memory")
    detail = "none: a kill for memory cannot be told from another kill"
    remedy = "mount cgroups; or set resources.memory_limit_gib in job files"
    return Check(name="cgroups", state="warn", detail=detail, remedy=remedy)


def home_folder(home: Path) -> Check:
    """Whether the home can be written to, and the space left there."""
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing):
            pass
    except OSError as error:
        remedy = "set TRIMTAB_HOME to a folder that you may write to"
        return Check(name="home", state="fail", detail=f"{home}: {error}", remedy=remedy)
    free = shutil.disk_usage(existing).free
    detail = f"{home}, {free / GIB:.1f} GiB free"
    if free >= GIB:
        return Check(name="home", state="ok", detail=detail)
    remedy = "free some disk space, or set TRIMTAB_HOME to another disk"
    return Check(name="home", state="warn", detail=detail, remedy=remedy)


def sqlite(version: tuple[int, ...]) -> Check:
    said = ".".join(map(str, version))
    if version >= _SQLITE_FIXED:
        return Check(name="sqlite", state="ok", detail=said)
    detail = f"{said} can damage a WAL file when two connections write and checkpoint at once"
    remedy = "nothing to do: Trimtab lets one write at a time; fixed in SQLite 3.51.3"
    return Check(name="sqlite", state="warn", detail=detail, remedy=remedy)


def store(home: Path, controller: Callable[[], Lease | None]) -> Check:
    """Whether the store opens, and whether a controller is alive."""
    if not home.exists():
        return Check(name="store", state="ok", detail="empty: no job has been created yet")
    try:
        lease = controller()
    except TrimtabError as error:
        remedy = "look at the file, or set TRIMTAB_HOME to another folder"
        return Check(name="store", state="fail", detail=str(error), remedy=remedy)
    if lease is None:
        detail = "opens; no controller is alive (trimtab serve, run and job watch bring one)"
        return Check(name="store", state="ok", detail=detail)
    return Check(name="store", state="ok", detail=f"opens; controlled by {lease.holder}")


def demo_data() -> Check:
    if importlib.util.find_spec("recbole") is not None:
        return Check(name="demo data", state="ok", detail="MovieLens-100K, inside recbole")
    detail = "MovieLens-100K is not here: the demo and workload dlrm cannot run on it"
    remedy = "pip install --no-deps recbole==1.2.1"
    return Check(name="demo data", state="warn", detail=detail, remedy=remedy)


def browser() -> Check:
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if found is not None:
        return Check(name="chromium", state="ok", detail=found)
    detail = "not here: only the test of the dashboard needs it"
    return Check(name="chromium", state="warn", detail=detail, remedy="apt-get install chromium")
