"""Applications: every state once, every crash point, and what the policy lets through."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.memory import MemoryStore
from tests.fakes import FakeClock
from tests.unit.builders import NOON, job
from tests.unit.plans import a_plan
from tuner.application import Application, ApplicationState, ApplicationWish
from tuner.applying import Rollout, Surroundings
from tuner.errors import TargetError
from tuner.interfaces import Fact
from tuner.model import Plan
from tuner.policy import new_application
from tuner.targets.file import PlanFile


class Killed(Exception):
    """The controller dies here."""


class CrashingStore(MemoryStore):
    """Dies before or after its n-th write from now."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left: int | None = None
        self.dies_after = False

    def save(self, *facts: Fact, epoch: int | None = None) -> None:
        self._die(after=False)
        super().save(*facts, epoch=epoch)
        self._die(after=True)
        if self.writes_left is not None:
            self.writes_left -= 1

    def _die(self, *, after: bool) -> None:
        if self.writes_left == 0 and self.dies_after is after:
            self.writes_left = None
            raise Killed


def baseline(plan: Plan) -> Plan:
    return replace(a_plan(batch=256), id=plan.id)


@pytest.fixture
def store() -> Iterator[CrashingStore]:
    store = CrashingStore()
    yield store
    store.close()


def rollout(store: CrashingStore) -> Rollout:
    lease = store.acquire_lease("test", 60)
    assert lease is not None
    around = Surroundings(
        open_target=lambda application: PlanFile(Path(application.target_path)),
        baseline_plan=baseline,
        changes=lambda plan: (),
        is_halted=lambda: False,
    )
    return Rollout(store, FakeClock(), around, epoch=lease.epoch)


def asked(store: CrashingStore, path: Path, plan: Plan) -> Application:
    owner = job(apply={"target": {"path": str(path)}})
    application = new_application(owner, plan, actor="ann", now=NOON, id_suffix=plan.id)
    store.save(owner, plan, application)
    return application


def settled(store: CrashingStore, application: Application) -> Application:
    runner = rollout(store)
    for _ in range(10):
        runner.step()
    return next(a for a in store.applications() if a.id == application.id)


def ask_back(store: CrashingStore, application: Application) -> None:
    store.ask(application.id, ApplicationWish.ROLL_BACK)


def test_applies_and_rolls_back_to_the_default(store: CrashingStore, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    applied = settled(store, asked(store, path, a_plan()))
    assert applied.state is ApplicationState.CANARY
    assert PlanFile(path).current() == a_plan().hash
    ask_back(store, applied)
    assert settled(store, applied).state is ApplicationState.ROLLED_BACK
    assert PlanFile(path).current() == a_plan(batch=256).hash


def test_second_plan_supersedes_the_first_and_gives_way_again(
    store: CrashingStore, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    first = settled(store, asked(store, path, a_plan()))
    second = settled(store, asked(store, path, a_plan(batch=2048)))
    states = {a.id: a.state for a in store.applications()}
    assert states[first.id] is ApplicationState.SUPERSEDED
    ask_back(store, second)
    settled(store, second)
    assert PlanFile(path).current() == a_plan().hash
    again = next(a for a in store.applications() if a.id == first.id)
    assert again.state is ApplicationState.CANARY
    ask_back(store, again)
    settled(store, again)
    assert PlanFile(path).current() == a_plan(batch=256).hash


@pytest.mark.parametrize("undo", [True, False])
def test_a_damaged_plan_file_can_be_rolled_back_and_applied_over(
    store: CrashingStore, tmp_path: Path, undo: bool
) -> None:
    path = tmp_path / "plan.json"
    applied = settled(store, asked(store, path, a_plan()))
    path.write_text("half a pl")
    if undo:
        ask_back(store, applied)
        assert settled(store, applied).state is ApplicationState.ROLLED_BACK
        assert PlanFile(path).current() == a_plan(batch=256).hash
    else:
        other = settled(store, asked(store, path, a_plan(batch=2048)))
        assert other.state is ApplicationState.CANARY
        assert PlanFile(path).current() == a_plan(batch=2048).hash


def test_a_plan_applied_twice_still_rolls_back_to_what_was_before(
    store: CrashingStore, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    settled(store, asked(store, path, a_plan()))
    again = settled(store, asked(store, path, replace(a_plan(), id="plan_again")))
    assert again.state is ApplicationState.CANARY
    ask_back(store, again)
    assert settled(store, again).state is ApplicationState.ROLLED_BACK
    assert PlanFile(path).current() == a_plan(batch=256).hash


def test_a_target_changed_by_others_is_left_alone(store: CrashingStore, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    PlanFile(path).apply(a_plan(batch=256), None)
    application = asked(store, path, a_plan())
    runner = rollout(store)
    while store.applications()[-1].state is not ApplicationState.APPLYING:
        runner.step()
    PlanFile(path).apply(a_plan(batch=512), None)
    runner.step()
    failed = next(a for a in store.applications() if a.id == application.id)
    assert failed.state is ApplicationState.FAILED
    assert "changed meanwhile" in failed.message
    assert PlanFile(path).current() == a_plan(batch=512).hash


def test_rollback_of_a_plan_that_is_gone_fails(store: CrashingStore, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    applied = settled(store, asked(store, path, a_plan()))
    PlanFile(path).apply(a_plan(batch=512), None)
    ask_back(store, applied)
    assert settled(store, applied).state is ApplicationState.FAILED
    assert PlanFile(path).current() == a_plan(batch=512).hash


@pytest.mark.parametrize("dies_after", [False, True])
@pytest.mark.parametrize("writes", range(8))
def test_a_crash_at_any_write_converges(
    store: CrashingStore, tmp_path: Path, writes: int, dies_after: bool
) -> None:
    path = tmp_path / "plan.json"
    application = asked(store, path, a_plan())
    store.writes_left, store.dies_after = writes, dies_after
    died = False
    for undo in (False, True):
        for _ in range(2):
            try:
                application = settled(store, application)
            except Killed:
                died = True
        expected = a_plan(batch=256) if undo else a_plan()
        assert PlanFile(path).current() == expected.hash
        if not undo:
            assert application.state is ApplicationState.CANARY
            budget, store.writes_left = store.writes_left, None
            ask_back(store, application)
            store.writes_left = budget
    assert application.state is ApplicationState.ROLLED_BACK
    assert died == (writes < 7), "the crash was really met (there are seven writes)"


@pytest.mark.parametrize("when", ["history", "file"])
def test_a_crash_inside_the_target_converges(
    store: CrashingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    from tuner.targets import file

    path = tmp_path / "plan.json"
    PlanFile(path).apply(a_plan(batch=256), None)
    application = asked(store, path, a_plan())
    real, calls = file.publish, []

    def dying(place: Path, text: str) -> None:
        calls.append(place)
        if len(calls) == (1 if when == "history" else 2):
            raise Killed
        real(place, text)

    monkeypatch.setattr(file, "publish", dying)
    with pytest.raises(Killed):
        settled(store, application)
    monkeypatch.undo()
    assert PlanFile(path).current() == a_plan(batch=256).hash
    assert settled(store, application).state is ApplicationState.CANARY
    assert PlanFile(path).current() == a_plan().hash


def test_target_error_is_told_in_the_application(store: CrashingStore, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    application = settled(store, asked(store, blocked / "plan.json", a_plan()))
    assert application.state is ApplicationState.FAILED
    assert "could not be written" in application.message
    with pytest.raises(TargetError):
        PlanFile(blocked / "plan.json").apply(a_plan(), None)
