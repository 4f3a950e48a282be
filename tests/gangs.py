"""Real gangs for tests: small programs, waiting with a deadline, and a scan for what is left."""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from tuner.executors import processes
from tuner.executors.local import LocalExecutor
from tuner.executors.processes import Process
from tuner.gang import Gang, RunState, RunStatus
from tuner.model import LaunchCommand, Placement
from tuner.report import FILE_VARIABLE

T = TypeVar("T")


def python(code: str) -> tuple[str, ...]:
    """A command that runs a small program, which starts fast."""
    return (sys.executable, "-S", "-c", code)


def make_gang(
    key: str,
    argv: tuple[str, ...],
    *,
    nnodes: int = 1,
    nproc_per_node: int = 1,
    per_rank: bool = True,
    placement: Placement | None = None,
    env: Mapping[str, str] | None = None,
    lease_s: float = 60.0,
    memory_limit_gib: float | None = None,
) -> Gang:
    command = LaunchCommand(
        argv=argv,
        env=dict(env or {}),
        working_dir="/",
        nnodes=nnodes,
        nproc_per_node=nproc_per_node,
        per_rank=per_rank,
    )
    return Gang(
        launch_key=key,
        command=command,
        placement=placement or Placement(cores=((),) * nnodes, gpus=((),) * nnodes),
        lease_s=lease_s,
        memory_limit_gib=memory_limit_gib,
    )


def wait_for(condition: Callable[[], T | None], limit_s: float = 30.0) -> T:
    """What the condition returns once that is something; fails at the deadline."""
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"still waiting after {limit_s} s")


def wait_for_end(executor: LocalExecutor, handle: str) -> RunStatus:
    def ended() -> RunStatus | None:
        status = executor.poll(handle)
        return status if status.state in (RunState.EXITED, RunState.LOST) else None

    return wait_for(ended)


def wait_for_text(path: Path) -> str:
    """The text of a file that somebody is about to write, up to its last whole line."""
    return wait_for(lambda: path.read_text().rpartition("\n")[0] if path.exists() else None)


def is_running(pid: int) -> bool:
    process = processes.look(pid)
    return process is not None and not process.is_dead


def left_of(folder: Path) -> list[Process]:
    """Living processes that belong to any gang under a folder."""
    mark = f"{FILE_VARIABLE}={folder.resolve()}/".encode()
    return [p for p in processes.everyone() if not p.is_dead and mark in _environ(p.pid)]


def end_everything(executor: LocalExecutor, folder: Path) -> None:
    """Ends whatever a test still runs, and fails if anything outlives that."""
    for gang in folder.iterdir() if folder.exists() else ():
        executor.stop(gang.name, "the test is over")
        wait_for_end(executor, gang.name)
    wait_for(lambda: not left_of(folder), limit_s=10)


def _environ(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
