"""From bytes to lines, whatever is in them."""

import random

import pytest

from tuner.collect.lines import MAX_LINE_BYTES, LineCutter, clean
from tuner.gang import Chunk


def cut(data: bytes, size: int | None = None) -> tuple[list[str], LineCutter]:
    """The lines of a log that comes in pieces of a size."""
    cutter, lines = LineCutter(), []
    size = size or len(data)
    for start in range(0, len(data), size):
        piece = Chunk(stream="rank-0.log", offset=start, data=data[start : start + size])
        lines += [line.text for line in cutter.cut(piece)]
    return lines, cutter


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mstep: 10\x1b[0m  \x1b[38;5;208mloss: 1\x1b[39m", "step: 10  loss: 1"),
        ("\x1b]0;a title\x07step=1\x1b[K", "step=1"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x00a\x07b\x7f\x9bc\tx ", "abc\tx"),
    ],
)
def test_colours_titles_and_control_characters_are_left_out(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize("size", [None, 1, 3])
def test_a_bar_that_writes_over_itself_is_a_line_each_time(size: int | None) -> None:
    lines, _ = cut(b"\r 10%|# | 1/10\r 20%|## | 2/10\r\n\nend\r\n", size)
    assert lines == ["10%|# | 1/10", "20%|## | 2/10", "end"]


@pytest.mark.parametrize("size", [None, 7, 4096])
def test_binary_neither_fails_nor_hides_the_lines_around_it(size: int | None) -> None:
    noise = random.Random(3).randbytes(50_000).replace(b"\n", b"").replace(b"\r", b"")
    lines, cutter = cut(b"before\n" + noise + b"\n\xff\xfe\xc3\nafter\n", size)
    assert (lines[0], lines[-1]) == ("before", "after")
    assert cutter.bad_lines == 0


@pytest.mark.parametrize("size", [None, 1000, 65_536])
def test_a_line_may_have_64_kib_and_no_byte_more(size: int | None) -> None:
    longest = b"x" * MAX_LINE_BYTES
    lines, cutter = cut(longest + b"\n" + longest + b"y\nend\n", size)
    assert [len(line) for line in lines] == [MAX_LINE_BYTES, 3]
    assert cutter.bad_lines == 1


def test_a_line_ends_where_the_next_begins() -> None:
    chunk = Chunk(stream="rank-0.log", offset=0, data=b"ab\r\ncd\nrest")
    assert [(line.text, line.end) for line in LineCutter().cut(chunk)] == [("ab", 3), ("cd", 7)]
