"""Dynamic batching: requests that wait together are computed together."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True, kw_only=True)
class BatchLimits:
    """May be changed while requests come in."""

    max_batch: int
    max_wait_s: float
    """How long the first of a batch waits for others."""


def due_in(waiting: int, oldest_s: float, now_s: float, limits: BatchLimits) -> float:
    """Seconds until what waits is to be computed; 0 for at once."""
    if waiting >= limits.max_batch:
        return 0.0
    return max(0.0, oldest_s + limits.max_wait_s - now_s)


class _Waiting(NamedTuple, Generic[T, R]):
    since_s: float
    item: T
    answer: "asyncio.Future[R]"


class Batcher(Generic[T, R]):
    """Computes batches one after the other in a thread of its own."""

    def __init__(self, run: Callable[[list[T]], Sequence[R]], limits: BatchLimits) -> None:
        self.limits = limits
        self.batches = 0
        self.requests = 0
        self._run = run
        self._queue: deque[_Waiting[T, R]] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1)

    async def submit(self, item: T) -> R:
        """The result for one item. Raises what computing its batch raised."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R] = loop.create_future()
        self._queue.append(_Waiting(loop.time(), item, answer))
        self._arrived.set()
        return await answer

    async def work(self) -> None:
        """Computes for as long as it is not cancelled."""
        while True:
            batch = await self._next()
            items = [waiting.item for waiting in batch]
            loop = asyncio.get_running_loop()
            self.batches += 1
            self.requests += len(batch)
            try:
                results = await loop.run_in_executor(self._thread, self._run, items)
            except Exception as error:
                for waiting in batch:
                    if not waiting.answer.done():
                        waiting.answer.set_exception(error)
                continue
            for waiting, result in zip(batch, results, strict=True):
                if not waiting.answer.done():  # whoever asked may have gone
                    waiting.answer.set_result(result)

    async def _next(self) -> list[_Waiting[T, R]]:
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()
        while (wait_s := self._due_in()) > 0:
            self._arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), wait_s)
        count = min(self.limits.max_batch, len(self._queue))
        return [self._queue.popleft() for _ in range(count)]

    def _due_in(self) -> float:
        now_s = asyncio.get_running_loop().time()
        return due_in(len(self._queue), self._queue[0].since_s, now_s, self.limits)
