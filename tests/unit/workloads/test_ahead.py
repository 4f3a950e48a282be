import threading
from collections.abc import Iterator

import pytest

from workloads.ahead import ahead


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_items_come_in_order(depth: int) -> None:
    assert list(ahead(range(20), depth)) == list(range(20))


@pytest.mark.parametrize("depth", [0, 2])
def test_what_the_source_raises_is_raised_after_what_came_before(depth: int) -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    items = ahead(source(), depth)
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)


def test_so_many_are_made_before_they_are_asked_for_and_no_more() -> None:
    made: list[int] = []
    reached = threading.Event()

    def source() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            if number == 2:
                reached.set()
            yield number

    items = ahead(source(), 2)
    assert next(items) == 0
    assert reached.wait(10), "the second and the third are made while the first is worked on"
    assert made == [0, 1, 2]


def test_without_reading_ahead_nothing_is_made_in_vain() -> None:
    made: list[int] = []
    items = ahead((made.append(n) or n for n in range(3)), 0)  # type: ignore[func-returns-value]
    next(items)
    assert made == [0]
