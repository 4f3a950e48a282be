"""Applications: every state once, every crash point, and what the policy lets through."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.memory import MemoryStore
from tests.fakes import FakeClock
from tests.unit.builders import NOON, job
from tests.unit.plans import a_plan
from tuner.errors import TargetError
from tuner.interfaces import Fact
from tuner.model import Application, ApplicationState, Job, Plan
from tuner.rollout import Rollout, new_application, request_by_policy
from tuner.targets.file import PlanFile

AUTO = {"mode": "next_start", "target": {"path": "/tmp/unused.json"}}


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
    return Rollout(
        store,
        FakeClock(),
        lambda application: PlanFile(Path(application.target_path)),
        baseline,
        epoch=lease.epoch,
    )


def asked(store: CrashingStore, path: Path, plan: Plan) -> Application:
    owner = job(apply={"target": {"path": str(path)}})
    application = new_application(owner, plan, actor="ann", now=NOON, id_suffix=plan.id)
    store.save(owner, plan, application)
    return application


def settled(store: CrashingStore, application: Application) -> Application:
    runner = rollout(store)
    for _ in range(6):
        runner.step()
    return next(a for a in store.applications() if a.id == application.id)


def ask_back(store: CrashingStore, application: Application) -> None:
    store.save(replace(application, state=ApplicationState.ROLLBACK_REQUESTED))


def test_applies_and_rolls_back_to_the_default(store: CrashingStore, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    applied = settled(store, asked(store, path, a_plan()))
    assert applied.state is ApplicationState.APPLIED
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
    assert again.state is ApplicationState.APPLIED
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
        assert other.state is ApplicationState.APPLIED
        assert PlanFile(path).current() == a_plan(batch=2048).hash


def test_a_plan_applied_twice_still_rolls_back_to_what_was_before(
    store: CrashingStore, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    settled(store, asked(store, path, a_plan()))
    again = settled(store, asked(store, path, replace(a_plan(), id="plan_again")))
    assert again.state is ApplicationState.APPLIED
    ask_back(store, again)
    assert settled(store, again).state is ApplicationState.ROLLED_BACK
    assert PlanFile(path).current() == a_plan(batch=256).hash


def test_a_target_changed_by_others_is_left_alone(store: CrashingStore, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    PlanFile(path).apply(a_plan(batch=256))
    application = asked(store, path, a_plan())
    runner = rollout(store)
    runner.step()
    PlanFile(path).apply(a_plan(batch=512))
    runner.step()
    failed = next(a for a in store.applications() if a.id == application.id)
    assert failed.state is ApplicationState.FAILED
    assert "changed meanwhile" in failed.message
    assert PlanFile(path).current() == a_plan(batch=512).hash


def test_rollback_of_a_plan_that_is_gone_fails(store: CrashingStore, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    applied = settled(store, asked(store, path, a_plan()))
    PlanFile(path).apply(a_plan(batch=512))
    ask_back(store, applied)
    assert settled(store, applied).state is ApplicationState.FAILED
    assert PlanFile(path).current() == a_plan(batch=512).hash


@pytest.mark.parametrize("dies_after", [False, True])
@pytest.mark.parametrize("writes", range(5))
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
            assert application.state is ApplicationState.APPLIED
            budget, store.writes_left = store.writes_left, None
            ask_back(store, application)
            store.writes_left = budget
    assert application.state is ApplicationState.ROLLED_BACK
    assert died == (writes < 4), "the crash was really met (there are four writes)"


@pytest.mark.parametrize("when", ["history", "file"])
def test_a_crash_inside_the_target_converges(
    store: CrashingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    from tuner.targets import file

    path = tmp_path / "plan.json"
    PlanFile(path).apply(a_plan(batch=256))
    application = asked(store, path, a_plan())
    real, calls = file._publish, []

    def dying(place: Path, text: str) -> None:
        calls.append(place)
        if len(calls) == (1 if when == "history" else 2):
            raise Killed
        real(place, text)

    monkeypatch.setattr(file, "_publish", dying)
    with pytest.raises(Killed):
        settled(store, application)
    monkeypatch.undo()
    assert PlanFile(path).current() == a_plan(batch=256).hash
    assert settled(store, application).state is ApplicationState.APPLIED
    assert PlanFile(path).current() == a_plan().hash


def by_policy(plan: Plan, **apply: object) -> tuple[Application | None, str | None]:
    owner: Job = job(apply={**AUTO, **apply})
    return request_by_policy(owner, plan, NOON)


def test_policy_applies_a_better_plan_only() -> None:
    application, why = by_policy(a_plan())
    assert application is not None
    assert (application.actor, why) == ("policy", None)
    assert by_policy(replace(a_plan(), verdict="within_noise")) == (None, None)
    assert by_policy(a_plan(), mode="recommend") == (None, None)


def test_policy_guards_the_learning() -> None:
    changed = replace(a_plan(), learning_changes=("global_batch_size",), quality_ok=True)
    application, why = by_policy(changed)
    assert application is None
    assert why is not None
    assert "global_batch_size" in why
    assert by_policy(changed, learning_changes="allow")[0] is not None
    unknown = replace(changed, quality_ok=None)
    assert by_policy(unknown, learning_changes="allow")[0] is None
    worse = replace(a_plan(), quality_ok=False)
    assert by_policy(worse, learning_changes="allow")[0] is None


def test_target_error_is_told_in_the_application(store: CrashingStore, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    application = settled(store, asked(store, blocked / "plan.json", a_plan()))
    assert application.state is ApplicationState.FAILED
    assert "could not be written" in application.message
    with pytest.raises(TargetError):
        PlanFile(blocked / "plan.json").apply(a_plan())
