"""What a gang used over time: a file that its supervisor appends a line of JSON to per sample."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_LINES_BEFORE_DOUBLING = 7200
_FIRST_GAP_S = 0.5


class UsageStream:
    """Appends samples. After every 7,200 lines the least time between two doubles, so that a long
    run fills no disk. Trouble with the disk costs samples, never the gang."""

    def __init__(self, path: Path, lines_before_doubling: int = _LINES_BEFORE_DOUBLING) -> None:
        self._path = path
        self._lines_before_doubling = lines_before_doubling
        self._num_lines = 0
        self._due_s = 0.0

    def append(self, t_s: float, values: Mapping[str, float], *, last: bool = False) -> None:
        """Adds a sample taken at that monotonic second, unless it is too early for another;
        `last` spares nothing."""
        if t_s < self._due_s and not last:
            return
        line = json.dumps({"t_s": round(t_s, 4), **values}, separators=(",", ":"))
        with suppress(OSError), open(self._path, "ab", buffering=0) as file:
            _write_whole(file.fileno(), f"{line}\n".encode())
            self._num_lines += 1
            self._due_s = t_s + _FIRST_GAP_S * 2 ** (self._num_lines // self._lines_before_doubling)


def _write_whole(descriptor: int, line: bytes) -> None:
    """A line is in the file whole or not at all, also where the disk is full."""
    size = os.fstat(descriptor).st_size
    if os.write(descriptor, line) != len(line):
        os.ftruncate(descriptor, size)
