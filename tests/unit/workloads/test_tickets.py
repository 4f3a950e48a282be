import threading
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.unit.workloads.ports import free_port
from workloads.tickets import LocalTickets, Queue, RemoteTickets, serve

ROWS = [10, 300, 20, 40, 30]


class Heard:
    def __init__(self) -> None:
        self.done: list[tuple[int, int]] = []

    def __call__(self, worker: int, part: int) -> None:
        self.done.append((worker, part))


def queue_of(workers: int, balance: str = "queue", passes: int | None = 1) -> tuple[Queue, Heard]:
    heard = Heard()
    return Queue(ROWS, workers, balance=balance, passes=passes, on_done=heard), heard


def all_taken(take: Callable[[], int | None], done: Callable[[int], None]) -> list[int]:
    taken = []
    while (part := take()) is not None:
        taken.append(part)
        done(part)
    return taken


def test_the_largest_parts_are_given_out_first() -> None:
    queue, heard = queue_of(1)
    tickets = LocalTickets(queue, 0)
    assert all_taken(tickets.take, tickets.done) == [1, 3, 4, 2, 0]
    assert heard.done == [(0, part) for part in (1, 3, 4, 2, 0)]


def test_whoever_is_fast_takes_more() -> None:
    queue, _ = queue_of(2)
    assert queue.take(1) == 1
    fast = [queue.take(0) for _ in range(4)]
    assert fast == [3, 4, 2, 0], "the second worker is busy with the large part meanwhile"


def test_static_parts_wait_for_their_worker() -> None:
    queue, _ = queue_of(2, "static")
    assert [queue.take(0), queue.take(0), queue.take(0)] == [0, 2, 4]
    assert [queue.take(1), queue.take(1)] == [1, 3]


def test_a_pass_begins_when_the_one_before_is_whole() -> None:
    queue, _ = queue_of(2, passes=2)
    first = [queue.take(0) for _ in ROWS]
    asked: list[int | None] = []
    waiting = threading.Thread(daemon=True, target=lambda: asked.append(queue.take(1)))
    waiting.start()
    for part in first[1:]:
        assert part is not None
        queue.done(0, part)
    assert waiting.is_alive()
    assert first[0] is not None
    queue.done(0, first[0])
    waiting.join(10)
    assert asked == [1]
    assert [queue.take(0) for _ in range(4)] == [3, 4, 2, 0]


def test_without_an_end_pass_follows_pass() -> None:
    queue, heard = queue_of(1, passes=None)
    for _ in range(3 * len(ROWS)):
        part = queue.take(0)
        assert part is not None
        queue.done(0, part)
    assert len(heard.done) == 15


def test_workers_elsewhere_ask_over_the_network() -> None:
    queue, heard = queue_of(2)
    address = ("127.0.0.1", free_port())
    serve(queue, address)
    far, near = RemoteTickets(address, 1), LocalTickets(queue, 0)
    part = far.take()
    assert part == 1
    taken: list[int] = []
    worker = threading.Thread(
        daemon=True, target=lambda: taken.extend(all_taken(far.take, far.done))
    )
    far.done(part)  # a worker has one thread that asks
    worker.start()
    mine = all_taken(near.take, near.done)
    worker.join(10)
    queue.wait_until_left()
    far.close()
    assert sorted([1, *taken, *mine]) == [0, 1, 2, 3, 4]
    assert sorted(part for _, part in heard.done) == [0, 1, 2, 3, 4]
    assert {worker for worker, part in heard.done if part in [1, *taken]} == {1}


def test_a_worker_is_told_that_the_queue_has_gone() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        tickets = RemoteTickets(("127.0.0.1", server.getsockname()[1]), 1)
        for _ in range(2):
            server.accept()[0].close()
    with closing(tickets), pytest.raises(OSError, match=r"has gone|reset|[Bb]roken"):
        tickets.take()
