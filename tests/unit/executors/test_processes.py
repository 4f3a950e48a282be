import os

import pytest

from tuner.executors import processes
from tuner.executors.processes import Identity, Process, descendants, look, parse_stat

# A name may hold anything, brackets and new lines included.
STAT = (
    b"77 (a) b (c\n) S 5 77 70 0 -1 4194560 1 2 3 4 10 20 300 4000 20 0 1 0 "
    b"123456 1000000 500 18446744073709551615 1 1 0"
)


def process(pid: int, ppid: int) -> Process:
    return Process(pid, ppid, session=pid, state="S", start_ticks=1, cpu_ticks=0)


def test_stat_is_read_behind_the_name() -> None:
    seen = parse_stat(77, STAT)
    assert (seen.pid, seen.ppid, seen.session, seen.state) == (77, 5, 70, "S")
    assert seen.start_ticks == 123456
    assert seen.cpu_ticks == 4330


@pytest.mark.parametrize(("state", "dead"), [("S", False), ("D", False), ("Z", True), ("X", True)])
def test_a_zombie_is_dead(state: str, dead: bool) -> None:
    assert parse_stat(77, STAT.replace(b") S", b") " + state.encode())).is_dead is dead


def test_descendants_go_all_the_way_down() -> None:
    family = [process(2, 1), process(3, 2), process(4, 3), process(9, 8), process(1, 0)]
    assert {member.pid for member in descendants(1, family)} == {2, 3, 4}
    assert descendants(4, family) == []


def test_this_process_is_alive_under_its_full_name_only() -> None:
    seen = look(os.getpid())
    assert seen is not None
    boot = processes.boot_id()
    assert Identity(seen.pid, seen.start_ticks, boot).is_alive
    assert not Identity(seen.pid, seen.start_ticks + 1, boot).is_alive
    assert not Identity(seen.pid, seen.start_ticks, "another boot").is_alive
    assert not Identity(2**30, seen.start_ticks, boot).is_alive
