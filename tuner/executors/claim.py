"""Who may supervise a gang: one process, once."""

import fcntl
import os
import time

from tuner.errors import ExecutorError
from tuner.executors import files, processes
from tuner.executors.files import GangFolder
from tuner.gang import Gang

_LOCK_LIMIT_S = 5.0
_TURN_S = 0.05


def take_lock(folder: GangFolder) -> int | None:
    """A descriptor that holds the folder; None where another supervisor lives there."""
    descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o644)
    deadline_s = time.monotonic() + _LOCK_LIMIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            other = processes.read_identity(folder.supervisor)
            if (other is not None and other.is_alive) or time.monotonic() > deadline_s:
                os.close(descriptor)
                return None
        time.sleep(_TURN_S)


def claim(folder: GangFolder) -> Gang | None:
    """The gang, where this process shall supervise it; None where it runs or has run."""
    gang = files.read_gang(folder)
    if gang is None:
        raise ExecutorError(f"{folder.request} is missing or damaged")
    free = take_lock(folder) is not None and not folder.started.exists()
    return gang if free and not folder.exit.exists() else None
