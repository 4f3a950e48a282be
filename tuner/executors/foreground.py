"""A gang run for somebody who waits at a terminal."""

import signal
import sys
import time
from pathlib import Path
from types import FrameType

from tuner.executors.local import LocalExecutor
from tuner.gang import Gang, RunState, RunStatus

_PERIOD_S = 0.1
_LOST_EXIT_CODE = 70
_LOG = "rank-0.log"


def run_in_foreground(gang: Gang, folder: Path) -> int:
    """Runs a gang to its end, shows rank 0's log, and returns what a shell would: the exit code of
    the first rank that failed, 128 + signal where one ended it, 70 where the gang was lost.

    Ctrl-C and SIGTERM end the gang. A launch key that ran before is not run again.
    """
    executor = LocalExecutor(folder, warm_package=None)
    received: list[signal.Signals] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number))

    earlier = {sign: signal.signal(sign, note) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = _follow(executor, executor.launch(gang), received)
    finally:
        for sign, handler in earlier.items():
            signal.signal(sign, handler)
    return _exit_code(status, received)


def _follow(executor: LocalExecutor, handle: str, received: list[signal.Signals]) -> RunStatus:
    cursor: dict[str, int] = {}
    while True:
        status = executor.poll(handle)
        if received:
            executor.stop(handle, f"interrupted by {received[0].name}")
        while _show(executor, handle, cursor):
            pass
        if status.state in (RunState.EXITED, RunState.LOST):
            return status
        time.sleep(_PERIOD_S)


def _show(executor: LocalExecutor, handle: str, cursor: dict[str, int]) -> bool:
    """Shows the next piece of rank 0's log; whether there was anything new at all."""
    chunks = executor.output(handle, cursor)
    for chunk in chunks:
        cursor[chunk.stream] = chunk.offset + len(chunk.data)
        if chunk.stream == _LOG:
            sys.stdout.buffer.write(chunk.data)
            sys.stdout.flush()
    return bool(chunks)


def _exit_code(status: RunStatus, received: list[signal.Signals]) -> int:
    if received:
        return 128 + received[0]
    if status.state is RunState.LOST:
        return _LOST_EXIT_CODE
    codes = {rank.rank: rank.exit_code for rank in status.ranks}
    if status.first_failed_rank is None:
        return 0 if status.reason == "exited" else 1
    code = codes[status.first_failed_rank]
    # None: it could not be started, for which shells say 127.
    return 127 if code is None else 128 - code if code < 0 else code
