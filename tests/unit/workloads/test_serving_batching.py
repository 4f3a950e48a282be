"""When a batch is computed, and who gets which answer; and what a replica keeps of its users."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import TypeVar

import pytest

from workloads.serving.batching import Batcher, BatchLimits, due_in
from workloads.serving.cache import LruCache

T = TypeVar("T")
LIMITS = BatchLimits(max_batch=4, max_wait_s=0.01)


def with_worker(batcher: Batcher[int, int], work: Coroutine[object, object, T]) -> T:
    async def both() -> T:
        working = asyncio.create_task(batcher.work())
        try:
            return await work
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working

    return asyncio.run(both())


@pytest.mark.parametrize(
    ("waiting", "oldest_s", "now_s", "expected"),
    [
        (4, 1.0, 1.0, 0.0),  # full
        (9, 1.0, 1.0, 0.0),
        (1, 1.0, 1.0, 0.01),  # waits for others
        (3, 1.0, 1.004, 0.006),
        (1, 1.0, 1.01, 0.0),  # has waited for long enough
        (1, 1.0, 2.0, 0.0),
    ],
)
def test_a_batch_is_due_when_it_is_full_or_old(
    waiting: int, oldest_s: float, now_s: float, expected: float
) -> None:
    assert due_in(waiting, oldest_s, now_s, LIMITS) == pytest.approx(expected, abs=1e-9)


def test_everybody_gets_the_answer_to_their_own_request() -> None:
    sizes: list[int] = []

    def double(items: list[int]) -> list[int]:
        sizes.append(len(items))
        return [2 * item for item in items]

    batcher: Batcher[int, int] = Batcher(double, BatchLimits(max_batch=4, max_wait_s=0))

    async def work() -> list[int]:
        return await asyncio.gather(*(batcher.submit(item) for item in range(10)))

    assert with_worker(batcher, work()) == [2 * item for item in range(10)]
    assert sizes == [4, 4, 2]
    assert (batcher.batches, batcher.requests) == (3, 10)


def test_a_lone_request_is_answered_when_its_wait_is_over() -> None:
    batcher: Batcher[int, int] = Batcher(
        lambda items: items, BatchLimits(max_batch=8, max_wait_s=0.02)
    )
    assert with_worker(batcher, batcher.submit(7)) == 7


def test_an_error_reaches_those_of_its_batch_and_nobody_else() -> None:
    def run(items: list[int]) -> list[int]:
        if 1 in items:
            raise RuntimeError("out of luck")
        return items

    batcher: Batcher[int, int] = Batcher(run, BatchLimits(max_batch=2, max_wait_s=0))

    async def work() -> list[object]:
        asked = (batcher.submit(item) for item in range(4))
        return [*await asyncio.gather(*asked, return_exceptions=True)]

    first, second, third, fourth = with_worker(batcher, work())
    assert isinstance(first, RuntimeError)
    assert isinstance(second, RuntimeError)
    assert (third, fourth) == (2, 3)


def test_who_has_gone_does_not_stop_the_others() -> None:
    batcher: Batcher[int, int] = Batcher(
        lambda items: items, BatchLimits(max_batch=2, max_wait_s=0)
    )

    async def work() -> int:
        gone = asyncio.create_task(batcher.submit(1))
        await asyncio.sleep(0)
        gone.cancel()
        return await batcher.submit(2)

    assert with_worker(batcher, work()) == 2


def test_limits_may_change_while_it_works() -> None:
    sizes: list[int] = []

    def note(items: list[int]) -> list[int]:
        sizes.append(len(items))
        return items

    batcher: Batcher[int, int] = Batcher(note, BatchLimits(max_batch=1, max_wait_s=0))

    async def work() -> None:
        await asyncio.gather(*(batcher.submit(item) for item in range(2)))
        batcher.limits.max_batch = 2
        await asyncio.gather(*(batcher.submit(item) for item in range(2)))

    with_worker(batcher, work())
    assert sizes == [1, 1, 2]


def test_the_cache_keeps_what_was_used_last() -> None:
    cache: LruCache[str] = LruCache(2)
    cache.put(1, "a")
    cache.put(2, "b")
    assert cache.get(1) == "a"
    cache.put(3, "c")
    assert [cache.get(key) for key in (1, 2, 3)] == ["a", None, "c"]
    assert (cache.hits, cache.misses) == (3, 1)


def test_a_cache_of_size_0_keeps_nothing() -> None:
    cache: LruCache[str] = LruCache(0)
    cache.put(1, "a")
    assert cache.get(1) is None
    assert len(cache) == 0


def test_a_cache_gives_up_the_oldest_when_it_is_made_smaller() -> None:
    cache: LruCache[str] = LruCache(3)
    for key in range(3):
        cache.put(key, str(key))
    cache.resize(1)
    assert len(cache) == 1
    assert cache.get(2) == "2"
