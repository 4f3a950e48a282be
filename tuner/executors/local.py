"""Gangs on this computer, each with a supervisor of its own that outlives the controller."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tuner.errors import ExecutorError
from tuner.executors import files, processes, spool
from tuner.executors.files import GangFolder
from tuner.executors.processes import Process
from tuner.executors.ranks import KEY_VARIABLE
from tuner.executors.warm import Templates, ask
from tuner.gang import Chunk, Gang, RunState, RunStatus
from tuner.report import FILE_VARIABLE

NEVER_STARTED = "it was never started"
"""Why a gang is lost that was asked for, and has no supervisor so far."""
_START_LIMIT_S = 30.0
_CHUNK_BYTES = 4 * 2**20
_KILL_ROUNDS = 3
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_CODE_ROOT = Path(__file__).resolve().parents[2]


class LocalExecutor:
    """Runs gangs under `folder`, a folder for each. The handle of a gang is its launch key.

    Modules of `warm_package` start from a template where that is the same; without a package
    everything starts cold. Close it, so that no template waits for its lease to run out.
    """

    def __init__(self, folder: Path, warm_package: str | None = "workloads") -> None:
        self._root = folder.resolve()
        self._templates = Templates(self._root / ".templates", warm_package)

    def close(self) -> None:
        """Gangs go on."""
        self._templates.close()

    def launch(self, gang: Gang) -> str:
        """A caller killed at any point of this may call again: it runs once."""
        if not _KEY.fullmatch(gang.launch_key):
            raise ExecutorError(
                f"launch key {gang.launch_key!r}: use letters, digits, `.`, `_`, `-`, at most 200"
            )
        folder = self._folder(gang.launch_key)
        try:
            folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.lease.touch()
            if gang.files:
                folder.files.mkdir(exist_ok=True)
            if files.read_gang(folder) is None:
                files.write_gang(folder, gang)
            if not _has_run(folder):
                self._start(folder, gang)
        except OSError as error:
            raise ExecutorError(f"cannot start {gang.launch_key}: {error}") from error
        return gang.launch_key

    def _start(self, folder: GangFolder, gang: Gang) -> None:
        template = self._templates.find(gang.command)
        connection = template.connect() if template else None
        if connection is not None:
            with connection:
                ask(connection, folder)
        # Without an answer nothing is known but what the folder says.
        if not _has_run(folder):
            _start_supervisor(folder)
        if template and connection is None:
            with suppress(OSError):
                template.start(gang.lease_s)

    def poll(self, handle: str) -> RunStatus:
        folder = self._folder(handle)
        now_s = time.monotonic()
        # Whether it lives comes first: a supervisor publishes how it ended before it goes.
        alive = _is_alive(folder)
        ended = files.read_exit(folder)
        if ended is not None:
            return RunStatus(
                state=RunState.EXITED,
                elapsed_s=ended.elapsed_s,
                now_s=now_s,
                reason=ended.reason,
                ranks=ended.ranks,
                first_failed_rank=ended.first_failed_rank,
                stopped_ranks=ended.stopped_ranks,
                early_ranks=ended.early_ranks,
                disk_full=ended.disk_full,
                oom_kills=ended.oom_kills,
                usage=ended.usage,
            )
        if not alive:
            self._kill_leftovers(folder)
            return RunStatus(
                state=RunState.LOST,
                elapsed_s=_seen_s(folder),
                now_s=now_s,
                reason=_why_lost(folder),
            )
        _renew(folder)
        self._templates.renew()
        started = files.read(folder.started)
        if started is None:
            return RunStatus(state=RunState.STARTING, now_s=now_s)
        return RunStatus(
            state=RunState.RUNNING,
            elapsed_s=max(0.0, now_s - started["started_s"]),
            now_s=now_s,
            usage=(files.read(folder.usage) or {}).get("usage", {}),
        )

    def stop(self, handle: str, reason: str) -> None:
        folder = self._folder(handle)
        if not folder.request.exists() or folder.exit.exists():
            return
        try:
            files.write_first(folder.stop, reason or "stopped")
        except OSError as error:
            raise ExecutorError(f"cannot stop {handle}: {error}") from error
        if not _is_alive(folder):
            self._kill_leftovers(folder)

    def output(self, handle: str, cursor: Mapping[str, int]) -> list[Chunk]:
        """At most 4 MiB of each stream. A chunk may begin past the cursor, where a log that grew
        too large lost its middle."""
        found = []
        for path in self._folder(handle).streams():
            offset = cursor.get(files.stream_of(path), 0)
            chunk = spool.read_chunk(path, offset, _CHUNK_BYTES, time.monotonic())
            if chunk is not None:
                found.append(chunk)
        return found

    def tail(self, handle: str, rank: int, max_bytes: int) -> str:
        return spool.tail_text(self._folder(handle).log(rank), max_bytes)

    def line(self, handle: str, stream: str, end: int) -> str:
        named = (p for p in self._folder(handle).streams() if files.stream_of(p) == stream)
        path = next(named, None)
        return spool.line_text(path, end) if path is not None else ""

    def _folder(self, key: str) -> GangFolder:
        # A handle that is no key names nothing, and must not lead out of the folder.
        return GangFolder(self._root / (key if _KEY.fullmatch(key) else "-"))

    def _kill_leftovers(self, folder: GangFolder) -> None:
        """Ends what a dead supervisor left. More than once, as a process may fork meanwhile."""
        for _ in range(_KILL_ROUNDS):
            left = _leftovers(folder)
            if not left:
                return
            for process in left:
                processes.send(process, signal.SIGKILL)


def _leftovers(folder: GangFolder) -> list[Process]:
    """By key and folder, since another home may use the same key."""
    if not folder.started.exists():
        return []
    gang = files.read_gang(folder)
    ranks = range(gang.command.num_processes if gang else 0)
    return processes.carrying(
        f"{KEY_VARIABLE}={folder.path.name}",
        one_of={f"{FILE_VARIABLE}={folder.metrics(rank)}" for rank in ranks},
    )


def _is_alive(folder: GangFolder) -> bool:
    supervisor = processes.read_identity(folder.supervisor)
    return supervisor is not None and supervisor.is_alive


def _has_run(folder: GangFolder) -> bool:
    """Whether it runs, has run, or is about to: then nothing is to be started."""
    return folder.started.exists() or folder.exit.exists() or _is_alive(folder)


def _why_lost(folder: GangFolder) -> str:
    supervisor = processes.read_identity(folder.supervisor)
    if supervisor is None:
        return "unknown handle" if not folder.request.exists() else NEVER_STARTED
    if supervisor.boot_id != processes.boot_id():
        return "the computer was restarted"
    return "its supervisor died"


def _seen_s(folder: GangFolder) -> float:
    """For how long a gang was seen to run: from its start to the last snapshot of its usage."""
    started, seen = files.read(folder.started), files.read(folder.usage)
    return max(0.0, seen["t_s"] - started["started_s"]) if started and seen else 0.0


def _renew(folder: GangFolder) -> None:
    try:
        os.utime(folder.lease)
    except OSError as error:
        raise ExecutorError(f"cannot renew the lease of {folder.path.name}: {error}") from error


def _start_supervisor(folder: GangFolder) -> None:
    """Returns once the supervisor lives apart from this process. Raises ExecutorError, OSError."""
    with open(folder.supervisor_log, "ab") as log:
        # It runs from where this code lies, so that it is the same code.
        starter = subprocess.Popen(
            [sys.executable, "-m", "tuner.executors.supervisor", str(folder.path)],
            cwd=_CODE_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        starter.wait(_START_LIMIT_S)
    except subprocess.TimeoutExpired:
        starter.kill()
        starter.wait()
    if not _has_run(folder):
        said = spool.tail_text(folder.supervisor_log, 2000).strip()
        raise ExecutorError(f"the supervisor of {folder.path.name} did not start: {said}")
