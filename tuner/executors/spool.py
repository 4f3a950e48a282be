"""What ranks write: dated while it grows, kept within bounds, and read piece by piece.

A rank writes to a plain file by its own descriptor, so nobody can make it wait. A log that takes
more than 256 MiB of disk loses its middle: the blocks between the first and the last 64 MiB are
given back as a hole, which moves no byte and so changes no offset. A file that a link leads to, or
that has a second name, belongs to somebody else as well: it is read, but never cut.

The marks beside a log are records of 32 characters, size and monotonic second: by then the log had
grown to that size. They date lines that carry no time. After every 50,000 marks the least time
between two doubles, so that a long run fills no disk.
"""

import ctypes
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from tuner.executors.files import marks_of, stream_of
from tuner.gang import Chunk

CAP_BYTES = 256 * 2**20
_KEPT_BYTES = 64 * 2**20
_RECORD_BYTES = 32
_LINE_BYTES = 64 * 1024
_MARKS_BEFORE_DOUBLING = 50_000
_FIRST_GAP_S = 0.05
_KEEP_SIZE_AND_PUNCH_HOLE = 0x01 | 0x02

_libc = ctypes.CDLL(None, use_errno=True)

Mark = tuple[int, float]


class Spool:
    """Watches one file that a rank appends to. Trouble with the disk is left to others to tell."""

    def __init__(self, path: Path, *, dated: bool, cap_bytes: int = CAP_BYTES) -> None:
        self._path = path
        self._place = path.parent.resolve() / path.name
        self._marks = marks_of(path) if dated else None
        self._cap_bytes = cap_bytes
        self._size = 0
        self._num_marks = 0
        self._marked_s = 0.0

    def note(self, now_s: float, *, last: bool = False) -> None:
        """Dates what has been added; `last` spares nothing."""
        with suppress(OSError):
            status = self._path.stat()
            if status.st_size > self._size and (last or now_s - self._marked_s >= self._gap_s()):
                self._size = status.st_size
                self._mark(now_s)
            if status.st_blocks * 512 > self._cap_bytes and self._path.resolve() == self._place:
                self._cut_middle()

    def _gap_s(self) -> float:
        doublings = self._num_marks // _MARKS_BEFORE_DOUBLING
        return _FIRST_GAP_S * 2**doublings if doublings else 0.0

    def _mark(self, now_s: float) -> None:
        if self._marks is None:
            return
        self._marked_s = now_s
        self._num_marks += 1
        with open(self._marks, "ab", buffering=0) as file:
            written = file.write(f"{self._size:>14d} {now_s:>16.6f}\n".encode())
            if written != _RECORD_BYTES:
                os.ftruncate(file.fileno(), file.tell() - written)

    def _cut_middle(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                _cut(descriptor, status.st_size, min(_KEPT_BYTES, self._cap_bytes // 4))
        finally:
            os.close(descriptor)


def _cut(descriptor: int, size: int, kept: int) -> None:
    """Gives back what lies between the first and the last bytes that are kept."""
    length = ctypes.c_int64(size - 2 * kept)
    mode = _KEEP_SIZE_AND_PUNCH_HOLE
    if _libc.fallocate(descriptor, mode, ctypes.c_int64(kept), length) != 0:
        # No holes on this file system: give back everything after the head.
        os.ftruncate(descriptor, kept)
        os.ftruncate(descriptor, size)


def read_chunk(path: Path, offset: int, max_bytes: int, now_s: float) -> Chunk | None:
    """The next piece of a file from `offset` on, later where a hole begins there; None at its end.

    Every byte of a log, and of an own file, is dated: by its marks, the newest by now.
    """
    try:
        with open(path, "rb") as file:
            start = os.lseek(file.fileno(), offset, os.SEEK_DATA)
            hole = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start)
            data = file.read(min(max_bytes, hole - start))
    except OSError:
        return None
    if not data:
        return None
    marks: tuple[Mark, ...] = ()
    stream = stream_of(path)
    if path.suffix == ".log" or stream != path.name:
        marks = marks_within(marks_of(path), start, start + len(data), now_s)
    return Chunk(stream=stream, offset=start, data=data, marks=marks)


def marks_within(path: Path, start: int, end: int, now_s: float) -> tuple[Mark, ...]:
    """The marks above `start` until one reaches `end`; a mark past it is put at `end`."""
    found: list[Mark] = []
    with suppress(OSError), open(path, "rb") as file:
        count = os.fstat(file.fileno()).st_size // _RECORD_BYTES
        file.seek(_RECORD_BYTES * _first_above(file.fileno(), count, start))
        while (not found or found[-1][0] < end) and len(
            record := file.read(_RECORD_BYTES)
        ) == _RECORD_BYTES:
            size, second = record.split()
            found.append((min(int(size), end), float(second)))
    if not found or found[-1][0] < end:
        found.append((end, now_s))
    return tuple(found)


def _first_above(descriptor: int, count: int, offset: int) -> int:
    """The number of the first record whose size is above `offset`, by bisection."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        size = int(os.pread(descriptor, 14, middle * _RECORD_BYTES))
        low, high = (low, middle) if size > offset else (middle + 1, high)
    return low


def tail_text(path: Path, max_bytes: int) -> str:
    """The last part of a log as plain text; empty where there is none."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - max_bytes))
            data = file.read(max_bytes)
    except OSError:
        return ""
    return plain_text(data)


def line_text(path: Path, end: int) -> str:
    """The line that ends at a byte as plain text, its last 64 KiB at most; empty for none."""
    start = max(0, end - _LINE_BYTES)
    try:
        with open(path, "rb") as file:
            file.seek(start)
            data = file.read(max(0, end - start))
    except OSError:
        return ""
    if not data.endswith((b"\n", b"\r")) or start + len(data) != end:
        return ""
    return plain_text(data.rstrip(b"\r\n")).rpartition("\n")[2]


_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours and cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles and links
    r"|\x1b[@-_]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain_text(data: bytes) -> str:
    """Text that can be shown anywhere: no escapes, no control characters, bars line by line."""
    # A cut through a character leaves bytes of its rest in front.
    text = data.lstrip(bytes(range(0x80, 0xC0))).decode("utf-8", errors="replace")
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", text)
