"""The state machine: every table entry, and any order of steps, faults and wishes."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storage.memory import MemoryStore
from tests.fakes import FakeClock
from tests.unit.builders import job
from tests.unit.plans import a_plan
from tuner.application import Application, ApplicationState, ApplicationWish, Sighting
from tuner.applying import Rollout, Surroundings
from tuner.errors import TargetError
from tuner.interfaces import Fact
from tuner.model import AuditEvent, Plan
from tuner.policy import APPROVE, new_application
from tuner.rollout import ALLOWED, Move, Sight, next_move

S = ApplicationState
OLD, NEW = a_plan(batch=256), a_plan()


class Killed(Exception):
    """The controller dies here."""


class DyingStore(MemoryStore):
    """Dies before or after its next write, where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.dies: str = ""

    def save(self, *facts: Fact, epoch: int | None = None) -> None:
        dies, self.dies = self.dies, ""
        if dies == "before":
            raise Killed
        super().save(*facts, epoch=epoch)
        if dies == "after":
            raise Killed


@dataclass
class Workload:
    """A target with a workload behind it: what it shall run, and what it reports."""

    clock: FakeClock
    wanted: str | None = None
    before: str | None = None
    reported: str | None = None
    steps: int = 0
    rate: float = 1200.0
    fails: bool = False
    unreachable: bool = False
    slow: bool = False
    """It takes a turn until what was asked for is there."""
    asked: str | None = None
    until_s: float | None = None
    history: list[str] = field(default_factory=list)

    def current(self) -> str | None:
        self._check()
        if self.until_s is not None and self.clock.monotonic_s > self.until_s:
            self.wanted, self.until_s = self.before, None
        return self.wanted

    def apply(self, plan: Plan, canary_s: float | None) -> None:
        self._check()
        if self.slow and self.wanted != plan.hash and self.asked != plan.hash:
            self.asked = plan.hash
            return
        if self.wanted != plan.hash:
            self.before, self.wanted, self.steps = self.wanted, plan.hash, 0
            self.history.append(plan.hash)
        self.until_s = None if canary_s is None else self.clock.monotonic_s + canary_s

    def observe(self) -> Sighting:
        self._check()
        return Sighting(
            state="failed" if self.fails else "running",
            plan_hash=self.reported,
            steps=self.steps,
            metrics={"samples_per_s": self.rate},
        )

    def restore(self, plan_hash: str | None) -> None:
        self._check()
        self.wanted, self.until_s, self.fails = plan_hash, None, False

    def _check(self) -> None:
        if self.unreachable:
            raise TargetError("it cannot be reached")


class Applications(RuleBasedStateMachine):
    """One application over a workload that may do anything, with a controller that may die."""

    @initialize(approvals=st.integers(0, 1), slow=st.booleans())
    def begin(self, approvals: int, slow: bool) -> None:
        self.clock, self.store = FakeClock(), DyingStore()
        self.work = Workload(self.clock, wanted=OLD.hash, reported=OLD.hash, slow=slow)
        self.halted, self.changes = False, [""]
        target = {"kind": "command", "path": "/x", "apply": ["${plan_file}"], "observe": ["x"]}
        apply = {"mode": "auto", "target": target, "approvals": approvals}
        owner = replace(job(apply=apply), created_at=self.clock.now())
        self.plan = replace(NEW, created_at=self.clock.now())
        asked = new_application(
            owner, self.plan, actor="policy", now=self.clock.now(), id_suffix="x"
        )
        self.store.save(owner, self.plan, asked)
        self.id = asked.id
        self.ever_passed = False
        self.restart()

    @property
    def application(self) -> Application:
        return next(a for a in self.store.applications() if a.id == self.id)

    def restart(self) -> None:
        lease = self.store.acquire_lease("test", 1e9)
        assert lease is not None
        around = Surroundings(
            open_target=lambda application: self.work,
            baseline_plan=lambda plan: OLD,
            changes=lambda plan: [change for change in self.changes if change],
            is_halted=lambda: self.halted,
        )
        self.rollout = Rollout(self.store, self.clock, around, epoch=lease.epoch)

    @rule()
    def step(self) -> None:
        self.clock.sleep(0.25)
        before = self.application
        try:
            self.rollout.step()
        except Killed:
            self.restart()
        after = self.application
        if before.state is not after.state:
            self.moved(before, after)

    def moved(self, before: Application, after: Application) -> None:
        assert after.state in ALLOWED[before.state], (before.state, after.state)
        if after.state is S.LIVE:
            assert self.work.reported == NEW.hash, "seen, not believed"
            assert self.work.steps >= 200
            assert not self.work.fails
        if after.state is S.APPLYING:
            assert not self.halted
            assert not any(self.changes)

    @rule(dies=st.sampled_from(["before", "after"]))
    def crash(self, dies: str) -> None:
        self.store.dies = dies
        self.step()
        self.store.dies = ""

    @rule()
    def workload_follows(self) -> None:
        self.work.reported = self.work.wanted

    @rule(steps=st.sampled_from([50, 400]))
    def workload_steps(self, steps: int) -> None:
        self.work.steps += steps

    @rule(rate=st.sampled_from([900.0, 1200.0]), fails=st.booleans())
    def workload_does(self, rate: float, fails: bool) -> None:
        self.work.rate, self.work.fails = rate, fails

    @rule(unreachable=st.booleans())
    def network(self, unreachable: bool) -> None:
        self.work.unreachable = unreachable

    @rule(seconds=st.sampled_from([1.0, 50.0, 700.0, 2000.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @rule(halted=st.booleans())
    def switch(self, halted: bool) -> None:
        self.halted = halted

    @rule(change=st.sampled_from(["", "another GPU"]))
    def conditions(self, change: str) -> None:
        self.changes = [change]

    @rule(wish=st.sampled_from([ApplicationWish.ROLL_BACK, ApplicationWish.REJECT]))
    @precondition(lambda self: not self.application.state.is_finished)
    def person_wishes(self, wish: ApplicationWish) -> None:
        self.store.ask(self.id, wish)

    @rule(actor=st.sampled_from(["policy", "ann"]))
    def person_approves(self, actor: str) -> None:
        self.store.save(
            AuditEvent(
                at=self.clock.now(),
                actor=actor,
                action=APPROVE,
                job_id="job_1",
                subject=self.id,
                after_hash=NEW.hash,
            )
        )

    @invariant()
    def one_plan_or_the_other(self) -> None:
        assert self.work.wanted in (OLD.hash, NEW.hash)

    @invariant()
    def what_is_live_went_the_whole_way(self) -> None:
        if self.application.state is S.LIVE:
            said = [e.action.removeprefix("application.") for e in self.store.events()]
            for needed in ("verifying", "verified", "armed", "applying", "canary"):
                assert needed in said

    def teardown(self) -> None:
        """Once nothing disturbs any more it comes to rest, and the target shows what it says."""
        if not hasattr(self, "work"):
            return
        self.work.unreachable, self.halted, self.store.dies = False, False, ""
        for _ in range(60):
            self.step()
            self.clock.sleep(120)
        state = self.application.state
        waits = state is S.AWAITING_APPROVAL
        assert waits or state is S.LIVE or state.is_finished, state
        if state is not S.FROZEN:
            expected = NEW.hash if state is S.LIVE else OLD.hash
            assert self.work.wanted == expected, state


TestApplications = Applications.TestCase
TestApplications.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def states() -> Iterator[tuple[ApplicationState, Sight]]:
    """Every state with sights of every kind."""
    sights = [
        Sight(),
        Sight(is_halted=True),
        Sight(refusal="no", doubt="no", expired="no", error="no"),
        Sight(found=NEW.hash),
        Sight(found=OLD.hash, is_late=True),
        Sight(found="another", is_late=True),
    ]
    return ((state, sight) for state in S for sight in sights)


def an_application(state: ApplicationState) -> Application:
    owner = job(apply={"target": {"path": "/p"}})
    made = new_application(owner, NEW, actor="ann", now=owner.created_at, id_suffix="x")
    return replace(made, state=state, before_hash=OLD.hash)


def test_only_what_is_allowed_ever_follows() -> None:
    for state, sight in states():
        move = next_move(an_application(state), sight)
        assert move is None or move.state is state or move.state in ALLOWED[state]


def test_live_follows_from_a_canary_that_passed_only() -> None:
    for state, sight in states():
        move = next_move(an_application(state), sight)
        assert move is None or move.state is not S.LIVE
    before_live = {state for state, following in ALLOWED.items() if S.LIVE in following}
    assert before_live == {S.CANARY, S.PAUSED, S.SUPERSEDED}


def test_what_has_ended_stays() -> None:
    for state, sight in states():
        if state.is_finished:
            assert next_move(an_application(state), sight) is None


def test_the_third_failure_of_a_rollback_freezes_it() -> None:
    back = replace(an_application(S.ROLLING_BACK), tries=2)
    move = next_move(back, Sight(error="disk full"))
    assert move == Move(state=S.FROZEN, message="the way back failed too: disk full")
