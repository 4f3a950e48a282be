"""Signs of trouble that a supervisor sees from outside: ranks held still, a disk without room."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from tuner.executors import processes
from tuner.executors.processes import Process

_LEAST_BYTES = 64 * 1024


def held_ranks(members: Iterable[Process], pids: Mapping[int, int]) -> tuple[int, ...]:
    """The ranks of which a process is held by a signal; `pids` has each rank's own process.

    Below a launcher a process has its own session, and its environment tells its rank.
    """
    ranks = {pid: rank for rank, pid in pids.items()}
    found = {
        ranks[member.session] if member.session in ranks else _told_rank(member)
        for member in members
        if member.is_held
    }
    return tuple(sorted(found - {None}, key=lambda rank: rank or 0))  # type: ignore[arg-type]


def _told_rank(member: Process) -> int | None:
    for variable in processes.environ_of(member.pid):
        name, _, value = variable.partition(b"=")
        if name == b"RANK":
            with suppress(ValueError):
                return int(value)
    return None


def is_full(folder: Path) -> bool:
    """Whether there is no room left to write in."""
    try:
        state = os.statvfs(folder)
    except OSError:
        return False
    blocks = state.f_bfree if os.geteuid() == 0 else state.f_bavail
    return blocks * state.f_frsize < _LEAST_BYTES


class Reserve:
    """Room that is kept for what has to be said in the end, whoever fills the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with suppress(OSError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _LEAST_BYTES)
            finally:
                os.close(descriptor)

    def release(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
