"""Making the next thing while this one is worked on."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def ahead(source: Iterable[T], depth: int) -> Iterator[T]:
    """The items of a source, up to `depth` of them made by a thread before they are asked for.

    With 0 each is made when it is asked for. What the source raises is raised here."""
    if depth == 0:
        yield from source
        return
    made: queue.SimpleQueue[tuple[T] | BaseException | None] = queue.SimpleQueue()
    room = threading.Semaphore(depth)

    def make() -> None:
        items = iter(source)
        try:
            while True:
                room.acquire()
                try:
                    made.put((next(items),))
                except StopIteration:
                    made.put(None)
                    return
        except BaseException as error:
            made.put(error)

    threading.Thread(target=make, name="ahead", daemon=True).start()
    while (item := made.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        room.release()
        yield item[0]
