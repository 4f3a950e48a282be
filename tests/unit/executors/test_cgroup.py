from pathlib import Path

import pytest

from tuner.executors.cgroup import (
    Place,
    own_place,
    parse_io_bytes,
    parse_oom_kills,
    parse_throttled_s,
    place,
)

V1_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
"""
V2_MOUNTS = (
    "25 30 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,memory_recursiveprot\n"
)
# A container that sees its own part only, mounted as if it were all.
DOCKER = V1_MOUNTS.replace(" / /sys/fs/cgroup/memory", " /docker/abc /sys/fs/cgroup/memory")

ROOT = Path("/sys/fs/cgroup")


@pytest.mark.parametrize(
    ("controller", "groups", "mounts", "expected"),
    [
        ("cpu", "3:cpu,cpuacct:/a/b\n0::/x\n", V1_MOUNTS, (1, "cpu,cpuacct", "a/b")),
        ("memory", "4:memory:/\n0::/\n", V1_MOUNTS, (1, "memory", "")),
        # No version 1 for it: the unified hierarchy.
        ("io", "4:memory:/\n0::/x\n", V1_MOUNTS, (2, "unified", "x")),
        ("memory", "0::/user.slice/run-7.scope\n", V2_MOUNTS, (2, "", "user.slice/run-7.scope")),
        ("memory", "0::/\n", V2_MOUNTS, (2, "", "")),
        ("memory", "4:memory:/docker/abc/job\n", DOCKER, (1, "memory", "job")),
        ("memory", "4:memory:/docker/abc\n", DOCKER, (1, "memory", "")),
        ("memory", "4:memory:/docker/abcdef\n", DOCKER, (1, "memory", "")),
        ("memory", "0::/../other\n", V2_MOUNTS, (2, "", "")),
    ],
)
def test_where_a_group_keeps_its_files(
    controller: str, groups: str, mounts: str, expected: tuple[int, str, str]
) -> None:
    version, mount, below = expected
    found = place(controller, groups, mounts)
    assert found == Place(version, ROOT / mount, ROOT / mount / below)


def test_a_controller_that_is_nowhere() -> None:
    assert place("memory", "4:memory:/\n", V2_MOUNTS) is None
    assert place("memory", "", V1_MOUNTS) is None


def test_limits_above_bind_too() -> None:
    found = Place(2, ROOT, ROOT / "a" / "b")
    assert list(found.with_parents()) == [ROOT / "a" / "b", ROOT / "a", ROOT]
    assert found.file("one", "two") == ROOT / "a" / "b" / "two"
    assert found._replace(version=1).file("one", "two") == ROOT / "a" / "b" / "one"


def test_this_process_is_in_a_group() -> None:
    found = own_place("memory")
    assert found is None or found.folder.is_dir()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nr_periods 9\nnr_throttled 3\nthrottled_time 2500000000\n", 2.5),
        ("usage_usec 9\nuser_usec 5\nnr_throttled 3\nthrottled_usec 1500000\n", 1.5),
        ("nr_periods 0\nnr_throttled 0\nthrottled_time 0\n", 0.0),
        # The root of version 2 has no quota.
        ("usage_usec 9\nuser_usec 5\nsystem_usec 4\n", None),
        ("", None),
    ],
)
def test_time_held_back_by_a_quota(text: str, expected: float | None) -> None:
    assert parse_throttled_s(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", 2),
        ("low 0\nhigh 0\nmax 7\noom 4\noom_kill 3\noom_group_kill 0\n", 3),
        ("pgfault 1\noom_kill 5\n", 5),
        ("low 0\n", None),
    ],
)
def test_kills_for_want_of_memory(text: str, expected: int | None) -> None:
    assert parse_oom_kills(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2\n",
            (11, 22),
        ),
        (
            "8:0 Read 100\n8:0 Write 200\n8:0 Sync 0\n8:0 Async 300\n8:0 Total 300\n8:16 Read 1\n"
            "8:16 Write 0\nTotal 301\n",
            (101, 200),
        ),
        # A device without traffic yet, and a kernel that lists none.
        ("8:0 \n", None),
        ("Total 0\n", None),
        ("", None),
    ],
)
def test_traffic_of_a_group(text: str, expected: tuple[int, int] | None) -> None:
    assert parse_io_bytes(text) == expected
