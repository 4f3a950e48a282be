"""The members of a gang, found again and again at little cost."""

import os

from tuner.executors import processes
from tuner.executors.processes import Process

_FULL_TURNS = 20


class Census:
    """The descendants of a process. Who was found to be a stranger twice is passed over, until a
    full turn looks at everybody again, since a member may have got the pid of one that ended."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._turn = 0
        self._suspects: frozenset[int] = frozenset()
        self._strangers: frozenset[int] = frozenset()

    def members(self) -> list[Process]:
        """Who is below the process now. Anybody may be missed for a moment: to end a gang, look at
        everybody."""
        if self._turn % _FULL_TURNS == 0:
            self._strangers = frozenset()
        self._turn += 1
        there = pids()
        self._strangers &= there
        looked = [found for pid in there - self._strangers if (found := processes.look(pid))]
        members = processes.descendants(self._root, looked)
        others = frozenset(there - {member.pid for member in members})
        # Once is not enough: it may have lost its parent while others were looked at.
        self._strangers |= others & self._suspects
        self._suspects = others
        return members


def pids() -> set[int]:
    """Of all processes that can be seen."""
    with os.scandir("/proc") as entries:
        return {int(entry.name) for entry in entries if entry.name.isdigit()}
