import os

import pytest

from tuner.executors import processes
from tuner.executors.census import Census
from tuner.executors.processes import Process


class Table:
    """Stands for /proc: pid -> parent, and who was looked at."""

    def __init__(self, parents: dict[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
        self.parents = parents
        self.looked: list[int] = []
        monkeypatch.setattr(processes, "look", self._look)
        monkeypatch.setattr("tuner.executors.census.pids", lambda: set(self.parents))

    def _look(self, pid: int) -> Process | None:
        self.looked.append(pid)
        return Process(pid, self.parents[pid], 1, "S", 0, 0) if pid in self.parents else None


def members(census: Census) -> set[int]:
    return {member.pid for member in census.members()}


def test_strangers_are_passed_over_and_newcomers_found(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table({1: 0, 5: 1, 7: 1, 10: 5, 11: 10}, monkeypatch)
    census = Census(5)
    assert members(census) == {10, 11}
    members(census)
    table.looked.clear()
    table.parents |= {12: 11, 13: 7}
    assert members(census) == {10, 11, 12}
    assert set(table.looked) == {10, 11, 12, 13}


def test_one_that_was_missed_once_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table({5: 1, 10: 9}, monkeypatch)
    census = Census(5)
    assert members(census) == set()
    table.parents[10] = 5
    assert members(census) == {10}


def test_a_stranger_whose_pid_a_member_takes_over_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table({5: 1, 10: 1}, monkeypatch)
    census = Census(5)
    members(census)
    members(census)
    table.parents[10] = 5
    assert any(members(census) == {10} for _ in range(20))
    del table.parents[10]
    assert members(census) == set()


def test_a_stranger_that_ended_may_come_back_as_a_member(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table({5: 1, 10: 1}, monkeypatch)
    census = Census(5)
    members(census)
    members(census)
    del table.parents[10]
    members(census)
    table.parents[10] = 5
    assert members(census) == {10}


def test_real_processes_are_seen() -> None:
    itself = processes.look(os.getpid())
    assert itself is not None
    assert os.getpid() in {member.pid for member in Census(itself.ppid).members()}
