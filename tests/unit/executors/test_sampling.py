import os

import pytest

from tuner.executors import processes
from tuner.executors.sampling import (
    GIB,
    GangMeter,
    Resident,
    Traffic,
    gang_memory,
    oom_kills,
    parse_busy_s,
    parse_status,
    parse_traffic,
    traffic,
)


def test_status_gives_three_kinds_of_memory() -> None:
    status = (
        b"Name:\tx\nVmRSS:\t 600 kB\nRssAnon:\t 100 kB\nRssFile:\t 200 kB\nRssShmem:\t 300 kB\n"
    )
    assert parse_status(7, status) == Resident(7, 102400, 204800, 307200)


def test_a_process_without_memory_holds_none() -> None:
    assert parse_status(7, b"Name:\tkthreadd\n") == Resident(7, 0, 0, 0)


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([], 0),
        ([Resident(1, 10, 0, 0), Resident(1, 5, 0, 0)], 15),
        # Libraries once in all.
        ([Resident(1, 0, 7, 0), Resident(2, 0, 9, 0)], 9),
        # A rank and its loaders map the same batches; another rank has its own.
        ([Resident(1, 0, 0, 4), Resident(1, 0, 0, 3), Resident(2, 0, 0, 5)], 9),
    ],
)
def test_shared_memory_counts_once(readings: list[Resident], expected: int) -> None:
    assert gang_memory(readings) == expected


def test_busy_is_everything_but_idling_waiting_and_interrupts() -> None:
    stat = (
        b"cpu  900 900 900 9999 9999 900 900 900 50 50\n"
        b"cpu0 100 200 300 9999 9999 400 500 600 50 50\n"
        b"cpu1 1 0 0 9999 9999 0 0 0 50 50\n"
        b"cpu10 700 0 0 9999 9999 0 0 0 50 50\n"
        b"intr 12345\n"
    )
    assert parse_busy_s(stat, {0, 1}) == pytest.approx(12.01)


def test_kills_of_this_group_are_counted() -> None:
    assert oom_kills() >= 0


def test_traffic_is_what_went_to_and_from_disks() -> None:
    text = b"rchar: 9\nwchar: 9\nsyscr: 1\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: 512\n"
    assert parse_traffic(text + b"cancelled_write_bytes: 0\n") == Traffic(4096, 512)
    itself = processes.look(os.getpid())
    assert itself is not None
    assert traffic(itself) is not None
    assert traffic(itself._replace(pid=2**22 + 1)) is None


def test_a_gang_that_has_not_begun_used_nothing() -> None:
    meter = GangMeter({0})
    assert meter.usage() == {"cpu_s": 0.0, "io_read_bytes": 0, "io_written_bytes": 0}
    assert meter.memory_gib < 1 / GIB
