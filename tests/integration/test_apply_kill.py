"""Controllers killed with SIGKILL at every point of every transition: one plan or the other."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def killed(kind: str, folder: Path, stride: int) -> tuple[int, int, list[list[str]]]:
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "tests" / "programs" / "apply_killed.py"),
            kind,
            str(folder),
            str(stride),
        ],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    return told["points"], told["kills"], told["shown"]


@pytest.mark.slow
def test_a_plan_file_converges_wherever_the_controller_is_killed(tmp_path: Path) -> None:
    points, kills, shown = killed("file", tmp_path, 1)
    assert points >= 12, "every write and act of the way there, before and after"
    assert kills >= 20, "on the way there, and on the way back"
    assert {tuple(found) for found in shown} == {("canary", "True", "rolled_back", "True")}


@pytest.mark.slow
@pytest.mark.timeout(110)
def test_a_live_run_converges_wherever_the_controller_is_killed(tmp_path: Path) -> None:
    """Some points here; the program goes through all of them in some minutes."""
    _, kills, shown = killed("train", tmp_path, 13)
    assert kills >= 2
    assert {tuple(found) for found in shown} == {("live", "True", "rolled_back", "True")}
