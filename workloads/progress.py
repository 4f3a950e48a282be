"""How training walks through its samples and tells of it."""

import time
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from tuner import report
from workloads.common import World
from workloads.movielens import Span

CUDA_REPORT_S = 0.02
PRINT_S = 1.0


class Marked(Protocol):
    """How far to train, and when to evaluate; in samples of all ranks."""

    @property
    def global_batch_size(self) -> int: ...

    @property
    def eval_at_samples(self) -> int | None: ...

    @property
    def max_samples(self) -> int | None: ...


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

    def tell_quality(
        self, samples: int, loss: Tensor, evaluate: Callable[[], dict[str, float]], held_out: str
    ) -> None:
        """What an evaluation after so many samples finds; it is no part of the steps."""
        self.tell(loss)
        with report.pause():
            quality = evaluate()
        report.value(**quality, quality_samples=samples)
        self.print(f"{samples:,} samples, on {held_out}: {quality}")

    def print(self, text: str) -> None:
        """A line for people, by the first rank only."""
        if self._world.rank == 0:
            print(text, flush=True)


def evaluate_at(options: Marked, world: World) -> int:
    """After how many samples, the same number by every rank; 0: never."""
    return (options.eval_at_samples or 0) // world.world_size * world.world_size


def walk(options: Marked, world: World) -> Iterator[Span]:
    """The spans of a whole training."""
    marks = options.eval_at_samples, options.max_samples
    return spans(options.global_batch_size, world.world_size, *marks)


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
