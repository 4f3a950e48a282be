"""From the bytes of a growing file to its lines, whatever is in them."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from tuner.gang import Chunk

MAX_LINE_BYTES = 64 * 1024

_END = re.compile(rb"[\r\n]")
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_RANK = re.compile(r"^\[(?:rank|default|trainer)(\d+)\]:? ?")


@dataclass(frozen=True, slots=True)
class Cut:
    """A whole line: its text, where it ends in the file, and by when it was there (if known)."""

    text: str
    end: int
    t_s: float | None


@dataclass(slots=True)
class LineCutter:
    """Cuts one stream into lines; a progress bar that rewrites itself counts as lines too.

    Memory stays below a chunk and MAX_LINE_BYTES, however long a line is.
    """

    offset: int = 0
    """The next byte expected."""
    bad_lines: int = 0
    """Lines too long to be read, or with a piece missing."""
    _partial: bytearray = field(default_factory=bytearray)
    _skipping: bool = False

    def cut(self, chunk: Chunk) -> Iterator[Cut]:
        """The lines that a chunk completes. What was fed before is passed over."""
        if chunk.offset > self.offset:
            self._give_up()
            self.offset = chunk.offset
        data = chunk.data[self.offset - chunk.offset :]
        start, base = 0, self.offset
        self.offset += len(data)
        for end in _END.finditer(data):
            text = self._whole(data[start : end.start()])
            start = end.end()
            if text:
                yield Cut(text, base + start, _moment(chunk, base + start))
        self._keep(data[start:])

    def _whole(self, piece: bytes) -> str:
        if self._skipping:
            self._skipping = False
            return ""
        self._keep(piece)
        line = bytes(self._partial)
        self._partial.clear()
        self._skipping = False
        return clean(line.decode("utf-8", errors="replace"))

    def _keep(self, piece: bytes) -> None:
        if self._skipping:
            return
        if len(self._partial) + len(piece) > MAX_LINE_BYTES:
            self._give_up()
            return
        self._partial += piece

    def _give_up(self) -> None:
        if not self._skipping:
            self.bad_lines += 1
        self._partial.clear()
        self._skipping = True


def _moment(chunk: Chunk, end: int) -> float | None:
    """The time of the first mark by which the line was whole; None where no mark is so far."""
    index = bisect_left(chunk.marks, end, key=lambda mark: mark[0])
    return chunk.marks[index][1] if index < len(chunk.marks) else None


def clean(text: str) -> str:
    """A line without colours, control characters and surrounding blanks."""
    return _CONTROL.sub("", _ANSI.sub("", text)).strip()


def split_rank(text: str) -> tuple[int | None, str]:
    """The rank that a launcher put in front of a line (`[rank1]:`, `[default1]:`), and the rest."""
    match = _RANK.match(text)
    return (int(match[1]), text[match.end() :]) if match else (None, text)
