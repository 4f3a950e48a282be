"""What every workload sets up before it works: ranks, cores, threads, device and process group."""

import argparse
import ctypes
import gc
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """This process among all ranks, as the launcher put it into the environment."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0


def world_from_environment() -> World:
    """RANK, WORLD_SIZE and so on; one rank where they are not set."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    return World(
        rank=int(os.environ.get("RANK", "0")),
        world_size=world_size,
        local_rank=int(os.environ.get("LOCAL_RANK", "0")),
        local_world_size=int(os.environ.get("LOCAL_WORLD_SIZE", str(world_size))),
    )


def whole_number(low: int) -> Callable[[str], int]:
    """The type of a command line option: a whole number from `low` upwards."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < low:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} upwards")
        return int(text)

    return read


def share_of_cores(cores: list[int], world: World) -> list[int]:
    """The cores of this rank, where those of the node are dealt out evenly and in order."""
    start = world.local_rank * len(cores) // world.local_world_size
    stop = (world.local_rank + 1) * len(cores) // world.local_world_size
    return cores[start:stop]


def set_threads(world: World, threads: int | None, *, pins: bool = True) -> None:
    """Sets the compute threads and pins the rank, where each of them gets a core of its own."""
    share = share_of_cores(sorted(os.sched_getaffinity(0)), world)
    threads = threads or max(1, len(share))
    if pins and len(share) >= threads:
        os.sched_setaffinity(0, share)
    torch.set_num_threads(threads)


def end_on_sigterm() -> None:
    """SIGTERM ends the process wherever it is, also while it waits in a collective.

    A Python handler would run only after the collective has returned, or failed."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_with_parent(worker: int) -> None:
    """For a loader worker: the kernel ends it as soon as its rank is gone, however that went."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def pick_device(world: World) -> torch.device:
    """The rank's GPU, or the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", world.local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def start_process_group(world: World, device: torch.device) -> None:
    """Joins the ranks by MASTER_ADDR and MASTER_PORT; a single rank needs no group."""
    if world.world_size == 1:
        return
    if device.type == "cuda":
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")


def end_process_group() -> None:
    gc.collect()  # a DistributedDataParallel object that is still alive would hang it
    if dist.is_initialized():
        dist.destroy_process_group()
