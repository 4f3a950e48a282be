"""Real gangs for tests: small programs, waiting with a deadline, and a scan for what is left."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from tuner.executors import processes, warm
from tuner.executors.local import LocalExecutor
from tuner.executors.processes import Process
from tuner.gang import Gang, RunState, RunStatus
from tuner.model import LaunchCommand, Placement
from tuner.report import FILE_VARIABLE

T = TypeVar("T")


def python(code: str) -> tuple[str, ...]:
    """A command that runs a small program, which starts fast."""
    return (sys.executable, "-S", "-c", code)


PROGRAMS = "tests.programs"
"""The package whose modules start warm where a test wants it."""


def program(code: str) -> tuple[str, ...]:
    """A command that runs a small program, and may start warm."""
    return (sys.executable, "-m", f"{PROGRAMS}.words", code)


@contextmanager
def templates_for_all_tests() -> Iterator[None]:
    """Inside, the variable that pytest changes all the time asks for no new template."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warm, "SHELL_NAMES", warm.SHELL_NAMES | {"PYTEST_CURRENT_TEST"})
        yield


@contextmanager
def warm_executor(folder: Path, lease_s: float = 60.0) -> Iterator[LocalExecutor]:
    """An executor that has a template for programs; it came with a gang that has ended."""
    with templates_for_all_tests():
        executor = LocalExecutor(folder, PROGRAMS)
        try:
            warm_up(executor, folder, lease_s)
            yield executor
        finally:
            end_everything(executor, folder)


def warm_up(executor: LocalExecutor, folder: Path, lease_s: float = 60.0) -> None:
    """Launches a gang and waits until there is a template for the next."""
    earlier = template_sockets(folder)
    key = f"warm-up-{len(list(folder.glob('warm-up-*')))}"
    executor.launch(make_gang(key, program(""), lease_s=lease_s))
    wait_for_end(executor, key)
    wait_for(lambda: [path for path in template_sockets(folder) if path not in earlier])


def template_sockets(folder: Path) -> list[Path]:
    return [*(folder / ".templates").glob("*/socket")]


def templates(folder: Path) -> list[int]:
    """The pids of living templates under a folder: what holds a lock there, and leads nothing."""
    locks = set((folder.resolve() / ".templates").glob("*/lock"))
    return [
        process.pid
        for process in processes.everyone()
        if process.session != process.pid and locks & _open_files(process.pid)
    ]


def _open_files(pid: int) -> set[Path]:
    found = set()
    with suppress(OSError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(path.readlink())
    return found


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
    return [
        p
        for p in processes.everyone()
        if not p.is_dead and mark in _read(Path(f"/proc/{p.pid}/environ"))
    ]


def end_everything(executor: LocalExecutor, folder: Path) -> None:
    """Ends whatever a test still runs, and fails if anything outlives that."""
    for gang in folder.iterdir() if folder.exists() else ():
        executor.stop(gang.name, "the test is over")
        wait_for_end(executor, gang.name)
    executor.close()
    wait_for(lambda: not left_of(folder) and not templates(folder), limit_s=10)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
