"""What stands between a gang and the whole speed of this computer."""

from pathlib import Path

import pytest

from tests.gangs import make_gang
from tuner import nodes
from tuner.executors import cgroup, emulation
from tuner.executors.emulation import Emulation
from tuner.gang import Gang
from tuner.model import Placement


def gang(shares: str | None) -> Gang:
    env = {} if shares is None else {nodes.SHARES_VARIABLE: shares}
    placement = Placement(cores=((0,), (1, 2)), gpus=((), ()))
    return make_gang("g", ("true",), nnodes=2, nproc_per_node=2, placement=placement, env=env)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of control groups, version 1, that is none."""
    place = cgroup.Place(1, tmp_path, tmp_path)
    monkeypatch.setattr(cgroup, "own_place", lambda controller: place)
    return tmp_path


def test_a_slow_node_gets_its_share_of_its_cores(root: Path) -> None:
    slow = Emulation(gang("1,0.25"))
    slow.begin()
    (group,) = root.iterdir()
    period_us = int((group / "cpu.cfs_period_us").read_text())
    assert int((group / "cpu.cfs_quota_us").read_text()) == 0.25 * 2 * period_us


def test_ranks_of_the_slow_node_are_put_into_its_group_and_no_others(root: Path) -> None:
    slow = Emulation(gang("0.5,1"))
    slow.begin()
    (group,) = root.iterdir()
    for rank, pid in enumerate((100, 101, 102, 103)):
        slow.admit(rank, pid)
    assert (group / "cgroup.procs").read_text() == "101", "written last; the kernel adds them up"


def test_version_2_has_one_file(tmp_path: Path) -> None:
    emulation.set_quota(tmp_path, 5000, 2)
    assert (tmp_path / "cpu.max").read_text() == "5000 20000"


def test_whole_nodes_need_no_group(root: Path) -> None:
    whole = Emulation(gang(None))
    whole.begin()
    whole.admit(0, 100)
    whole.end()
    assert list(root.iterdir()) == []


def test_where_no_group_may_be_made_the_remedy_is_told(root: Path) -> None:
    (root / "trimtab-g-1").write_text("in the way")
    with pytest.raises(OSError, match="run as root, or use types of nodes that differ in cores"):
        Emulation(gang("1,0.5")).begin()


def test_where_no_controller_is_mounted_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "own_place", lambda controller: None)
    with pytest.raises(OSError, match="none with `cpu` is mounted"):
        Emulation(gang("1,0.5")).begin()
