"""The plan file: what a start reads from it, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.plans import a_plan
from tuner.errors import TargetError
from tuner.interfaces import DAMAGED
from tuner.model import Placement
from tuner.targets.file import PlanFile, Start, read_plan_file, to_start, write_start


@pytest.fixture
def path(tmp_path: Path) -> Path:
    PlanFile(tmp_path / "plan.json").apply(a_plan(), None)
    return tmp_path / "plan.json"


def test_start_reads_the_exact_command(path: Path) -> None:
    plan = a_plan()
    found = read_plan_file(path)
    read = (found.command, found.placement, found.plan_hash, found.params)
    assert read == (plan.command, plan.placement, plan.hash, plan.params)


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
        PlanFile(path).apply(a_plan(batch=2048), None)
    monkeypatch.undo()
    assert PlanFile(path).current() == a_plan().hash
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []


def started(path: Path, state: str, token: str | None = None) -> None:
    there = read_plan_file(path)
    start = Start(
        token=there.token if token is None else token,
        plan_hash=there.plan_hash,
        folder="/nowhere",
        launch_key="start-1",
        state="failed" if state == "failed" else "ended",
    )
    write_start(path, start)


def test_a_canary_whose_first_start_failed_goes_back_by_itself(path: Path) -> None:
    """No controller is there: whoever starts the job next is what puts the old plan back."""
    PlanFile(path).apply(a_plan(batch=2048), 60.0)
    assert to_start(path).plan_hash == a_plan(batch=2048).hash
    started(path, "failed")
    assert to_start(path).plan_hash == a_plan().hash
    assert PlanFile(path).current() == a_plan().hash


def test_a_plan_that_is_there_for_good_is_not_taken_back_for_a_failure(path: Path) -> None:
    PlanFile(path).apply(a_plan(batch=2048), 60.0)
    PlanFile(path).apply(a_plan(batch=2048), None)
    started(path, "failed")
    assert to_start(path).plan_hash == a_plan(batch=2048).hash


def test_a_failure_from_before_is_not_held_against_a_plan(path: Path) -> None:
    PlanFile(path).apply(a_plan(batch=2048), 60.0)
    started(path, "failed", token="of an earlier placing")
    assert to_start(path).plan_hash == a_plan(batch=2048).hash


def test_what_a_start_showed_is_seen(path: Path) -> None:
    PlanFile(path).apply(a_plan(batch=2048), 60.0)
    assert PlanFile(path).observe().state == "waiting"
    started(path, "failed")
    seen = PlanFile(path).observe()
    assert (seen.state, seen.plan_hash) == ("failed", a_plan(batch=2048).hash)


def test_a_canary_that_is_renewed_is_not_written_anew(path: Path) -> None:
    PlanFile(path).apply(a_plan(batch=2048), 60.0)
    before = path.read_text()
    PlanFile(path).apply(a_plan(batch=2048), 60.0)
    assert path.read_text() == before


def test_what_is_no_plan_is_damaged(path: Path) -> None:
    path.write_text("half a pl")
    assert PlanFile(path).current() == DAMAGED


def test_what_its_price_goes_by_comes_back_whole(tmp_path: Path) -> None:
    held = Placement(
        cores=((0,), (1,)),
        gpus=((0,), (1,)),
        gpu_names={0: "H100", 1: "A100"},
        node_types=("fast", "slow"),
    )
    path = tmp_path / "plan.json"
    plan = replace(a_plan(), placement=held)
    PlanFile(path).apply(plan, None)
    assert read_plan_file(path).placement == held
