"""Who ends a gang when its supervisor was killed: the supervisor's parent, which does nothing else.

Orphans become children of the nearest subreaper above them. While the supervisor lives that is the
supervisor; when it was killed, its guard gets whatever it leaves, in sessions of their own or not.
"""

import os
import signal
import time
from contextlib import suppress

from tuner.executors import processes
from tuner.executors.forked import close_others

_LIMIT_S = 10.0
_TURN_S = 0.02


def stand_guard() -> None:
    """Returns in a new process, which is to be the supervisor; this one guards it to its end."""
    processes.become_subreaper()
    supervisor = os.fork()
    if supervisor == 0:
        os.setsid()
        return
    try:
        # Locks and pipes are the supervisor's alone.
        close_others(frozenset())
        _, status = os.waitpid(supervisor, 0)
        if status != 0:
            _end_all()
    finally:
        os._exit(0)


def _end_all() -> None:
    deadline_s = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline_s:
        left = processes.descendants(os.getpid(), processes.everyone())
        if not left:
            return
        for process in left:
            processes.send(process, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(_TURN_S)
