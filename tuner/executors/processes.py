"""Processes as /proc shows them. One is named by pid, start time and boot, never by pid alone."""

import ctypes
import os
import signal
from collections.abc import Iterable, Set
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from tuner.executors import files

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Process(NamedTuple):
    """A process at the moment it was looked at."""

    pid: int
    ppid: int
    session: int
    state: str
    start_ticks: int
    """Since boot; with the pid it names the process."""
    cpu_ticks: int
    """Of itself and of the children it has waited for."""

    @property
    def is_dead(self) -> bool:
        """Ended, though perhaps nobody has waited for it yet."""
        return self.state in ("Z", "X", "x")

    @property
    def is_held(self) -> bool:
        """Held by a signal (SIGSTOP) or a debugger."""
        return self.state in ("T", "t")


@dataclass(frozen=True, slots=True)
class Identity:
    """A process for good: neither a reused pid nor a restarted computer can pass for it."""

    pid: int
    start_ticks: int
    boot_id: str

    @property
    def is_alive(self) -> bool:
        process = look(self.pid) if self.boot_id == boot_id() else None
        same = process is not None and process.start_ticks == self.start_ticks
        return process is not None and same and not process.is_dead


def boot_id() -> str:
    """Changes whenever the computer starts."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def look(pid: int) -> Process | None:
    """The process of that pid; None where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return parse_stat(pid, file.read())
    except OSError:
        return None


def parse_stat(pid: int, stat: bytes) -> Process:
    # The name is in brackets and may itself hold brackets and spaces.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return Process(
        pid=pid,
        ppid=int(fields[1]),
        session=int(fields[3]),
        state=fields[0].decode(),
        start_ticks=int(fields[19]),
        cpu_ticks=sum(int(field) for field in fields[11:15]),
    )


def everyone() -> list[Process]:
    """All processes that can be seen."""
    with os.scandir("/proc") as entries:
        pids = [int(entry.name) for entry in entries if entry.name.isdigit()]
    return [process for pid in pids if (process := look(pid)) is not None]


def descendants(root: int, processes: Iterable[Process]) -> list[Process]:
    """Children, their children and so on, whatever session they moved to."""
    children: dict[int, list[Process]] = {}
    for process in processes:
        children.setdefault(process.ppid, []).append(process)
    found: list[Process] = []
    waiting = [root]
    while waiting:
        below = children.pop(waiting.pop(), [])
        found += below
        waiting += [process.pid for process in below]
    return found


def carrying(variable: str, *, one_of: Set[str] = frozenset()) -> list[Process]:
    """Living processes, but not this one, started with that `NAME=value` and, where some are
    given, with one of others."""
    others = {other.encode() for other in one_of}
    found = []
    for process in everyone():
        if process.pid == os.getpid() or process.is_dead:
            continue
        environ = environ_of(process.pid)
        if variable.encode() in environ and (not others or others & environ):
            found.append(process)
    return found


def environ_of(pid: int) -> set[bytes]:
    """`NAME=value` of what a process was started with; empty where it cannot be read."""
    try:
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


def send(process: Process, what: signal.Signals) -> None:
    """Signals exactly that process; one that took over its pid is left alone."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        now = look(process.pid)
        if now is not None and now.start_ticks == process.start_ticks:
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(descriptor, what)
    finally:
        os.close(descriptor)


def become_subreaper() -> None:
    """From now on orphans below this process become its children."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """The kernel kills this process when the thread that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def write_identity(path: Path) -> None:
    """Publishes who this process is."""
    myself = look(os.getpid())
    if myself is None:
        raise OSError("/proc does not show this process")
    files.publish(path, asdict(Identity(myself.pid, myself.start_ticks, boot_id())))


def read_identity(path: Path) -> Identity | None:
    content = files.read(path)
    return None if content is None else Identity(**content)
