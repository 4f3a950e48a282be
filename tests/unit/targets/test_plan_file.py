"""The plan file: what a start reads from it, and what it refuses."""

import json
from pathlib import Path

import pytest

from tests.unit.plans import a_plan
from tuner.errors import TargetError
from tuner.targets.file import PlanFile, read_plan_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    PlanFile(tmp_path / "plan.json").apply(a_plan())
    return tmp_path / "plan.json"


def test_start_reads_the_exact_command(path: Path) -> None:
    plan = a_plan()
    assert read_plan_file(path) == (plan.command, plan.placement, plan.hash)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("--batch=1024", "--batch=4096"),
        lambda text: json.dumps({**json.loads(text), "schema": 99}),
        lambda _: "",
        lambda _: "[]",
    ],
    ids=["torn", "edited", "newer", "empty", "no object"],
)
def test_a_file_that_is_not_whole_is_refused(path: Path, spoil: object) -> None:
    assert callable(spoil)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(TargetError, match="not a whole plan file"):
        read_plan_file(path)


def test_edited_hash_is_refused_even_with_a_right_checksum(path: Path) -> None:
    from tuner.targets import file

    data = json.loads(path.read_text())
    data.pop("checksum")
    data["command"]["argv"] = ["rm"]
    path.write_text(json.dumps({**data, "checksum": file._checksum(data)}))
    with pytest.raises(TargetError, match="hash does not fit"):
        read_plan_file(path)


def test_absent_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="trimtab apply"):
        read_plan_file(tmp_path / "none.json")


def test_failed_write_leaves_the_old_plan_and_no_litter(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(TargetError, match="No space left"):
        PlanFile(path).apply(a_plan(batch=2048))
    monkeypatch.undo()
    assert PlanFile(path).current() == a_plan().hash
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []
