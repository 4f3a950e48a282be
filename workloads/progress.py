"""How the DLRMs walk through their samples and tell of it."""

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from tuner import report
from workloads.common import World
from workloads.movielens import Span

CUDA_REPORT_S = 0.02
PRINT_S = 1.0


class Progress:
    """Tells about steps that have really ended.

    On a GPU a step returns before it is done. Waiting for each would keep the GPU idle while the
    next is prepared, so the steps are held back and told together after a wait every 20 ms."""

    def __init__(self, device: torch.device, world: World) -> None:
        self._cuda = device.type == "cuda"
        self._world = world
        self._samples: list[int] = []
        self._trained = 0
        self._told_s = self._printed_s = float("-inf")

    def step(self, samples: int, loss: Tensor) -> None:
        self._samples.append(samples)
        if not self._cuda or time.monotonic() - self._told_s >= CUDA_REPORT_S:
            self.tell(loss)

    def tell(self, loss: Tensor) -> None:
        values = {"loss": loss.item()}  # waits for the device
        if self._cuda:
            values["gpu_peak_memory_gib"] = torch.cuda.max_memory_reserved() / 2**30
        for samples in self._samples:
            report.step(samples=samples, **values)
            self._trained += samples * self._world.world_size
        self._samples.clear()
        self._told_s = time.monotonic()
        if self._told_s - self._printed_s >= PRINT_S:
            self._printed_s = self._told_s
            self.print(f"{self._trained:,} samples, loss {values['loss']:.4f}")

    def print(self, text: str) -> None:
        """A line for people, by the first rank only."""
        if self._world.rank == 0:
            print(text, flush=True)


def spans(
    global_batch_size: int, world_size: int, eval_at: int | None, end_at: int | None
) -> Iterator[Span]:
    """Global batches, one after the other; cut short where an evaluation or the end is due."""
    wanted = (eval_at, end_at)
    marks = [mark // world_size * world_size for mark in wanted if mark is not None]
    start = 0
    while end_at is None or start < marks[-1]:
        stop = start + global_batch_size
        stop = min([stop, *(mark for mark in marks if start < mark < stop)])
        yield start, stop
        start = stop
