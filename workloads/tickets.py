"""A queue of parts that workers take as they get done with the one before, within one computer or
over the network: whoever is fast, or got small parts, takes more.

The first worker holds the queue and takes from it directly; the others ask it by TCP, a line for
each question. After the last part of a pass everybody waits until the whole pass is done.
"""

import socket
import socketserver
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

_PATIENCE_S = 120.0
_RETRY_S = 0.02
_END = "end"


class Tickets(Protocol):
    """Hands out parts, and hears when they are done."""

    def take(self) -> int | None:
        """The next part; waits while a pass is being finished. None: there is nothing more."""
        ...

    def done(self, part: int) -> None: ...


class Queue:
    """The parts of one pass after another, given out in the order of their size.

    `balance` is `queue` (the next part goes to whoever asks) or `static` (part n belongs to worker
    n modulo the number of workers, as if nobody could ask)."""

    def __init__(
        self,
        rows: Sequence[int],
        workers: int,
        *,
        balance: str,
        passes: int | None,
        on_done: Callable[[int, int], None],
    ) -> None:
        self._rows = rows
        self._workers = workers
        self._balance = balance
        self._passes = passes
        self._on_done = on_done
        self._turn = threading.Condition()
        self._waiting: list[deque[int]] = []
        self._unfinished: set[int] = set()
        self._present = set(range(1, workers))
        self._begin()

    def _begin(self) -> None:
        """Puts every part into the queue, the largest first, or into that of its worker."""
        order = sorted(range(len(self._rows)), key=lambda part: (-self._rows[part], part))
        if self._balance == "queue":
            self._waiting = [deque(order)] * self._workers
        else:
            mine = [range(n, len(self._rows), self._workers) for n in range(self._workers)]
            self._waiting = [deque(parts) for parts in mine]
        self._unfinished = set(order)
        if self._passes is not None:
            self._passes -= 1

    def take(self, worker: int) -> int | None:
        """As `Tickets.take`."""
        with self._turn:
            while not self._waiting[worker]:
                if not self._unfinished and self._passes == 0:
                    return None
                self._turn.wait()
            return self._waiting[worker].popleft()

    def done(self, worker: int, part: int) -> None:
        """As `Tickets.done`."""
        with self._turn:
            self._unfinished.discard(part)
            self._on_done(worker, part)
            if not self._unfinished:
                if self._passes != 0:
                    self._begin()
                self._turn.notify_all()

    def leave(self, worker: int) -> None:
        """A worker has heard that there is nothing more."""
        with self._turn:
            self._present.discard(worker)
            self._turn.notify_all()

    def wait_until_left(self) -> None:
        """Returns once every other worker has heard it: the queue is not needed any more."""
        with self._turn:
            while self._present:
                self._turn.wait()


class LocalTickets:
    """Tickets for a worker of the process that holds the queue."""

    def __init__(self, queue: Queue, worker: int) -> None:
        self._queue = queue
        self._worker = worker

    def take(self) -> int | None:
        return self._queue.take(self._worker)

    def done(self, part: int) -> None:
        self._queue.done(self._worker, part)


class RemoteTickets:
    """Tickets from the process that holds the queue. Raises OSError where that has gone."""

    def __init__(self, address: tuple[str, int], worker: int) -> None:
        self._worker = worker
        # Apart, because a question for the next part may wait while others have to be told of.
        self._taking, self._telling = _connect(address), _connect(address)

    def take(self) -> int | None:
        answer = _asked(self._taking, f"take {self._worker}")
        if answer != _END:
            return int(answer)
        _asked(self._taking, f"leave {self._worker}")
        return None

    def done(self, part: int) -> None:
        _asked(self._telling, f"done {self._worker} {part}")

    def close(self) -> None:
        self._taking.close()
        self._telling.close()


def serve(queue: Queue, address: tuple[str, int]) -> None:
    """Answers other workers for as long as this process lives. Raises OSError."""

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                with suppress(BrokenPipeError):
                    self.wfile.write(f"{_answer(queue, line.decode().split())}\n".encode())

    server = socketserver.ThreadingTCPServer(address, Answer, bind_and_activate=False)
    server.daemon_threads = server.allow_reuse_address = True
    server.server_bind()
    server.server_activate()
    threading.Thread(target=server.serve_forever, name="tickets", daemon=True).start()


def _answer(queue: Queue, words: list[str]) -> str:
    worker = int(words[1])
    if words[0] == "take":
        part = queue.take(worker)
        return _END if part is None else str(part)
    if words[0] == "leave":
        queue.leave(worker)
    else:
        queue.done(worker, int(words[2]))
    return "ok"


def _connect(address: tuple[str, int]) -> socket.SocketIO:
    """Tries for two minutes: whoever holds the queue may still be making the data."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            connection = socket.create_connection(address, timeout=_PATIENCE_S)
        except ConnectionRefusedError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(_RETRY_S)
            continue
        connection.settimeout(None)
        with connection:  # stays open until what is made of it is closed
            return connection.makefile("rwb", buffering=0)


def _asked(stream: socket.SocketIO, question: str) -> str:
    stream.write(f"{question}\n".encode())
    answer = stream.readline().decode().strip()
    if not answer:
        raise ConnectionResetError("the process that holds the queue has gone")
    return answer
