"""The loop over a job in fake time: whole jobs, wishes, failures, and death at every write."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from storage.memory import MemoryStore
from tests.fakes import FakeClock, FakeExecutor, FakeOutcome
from tests.unit.builders import NOON, spec
from tuner.controller import Controller
from tuner.errors import ExecutorError, StaleLease
from tuner.gang import Gang
from tuner.interfaces import Fact, Searcher
from tuner.known import Known
from tuner.model import (
    AttemptState,
    FailureKind,
    Job,
    JobState,
    Plan,
    Spend,
    Suggestion,
    Trial,
    TrialState,
    Wish,
)
from tuner.spec import JobSpec

STEP_S = 0.5


class FakeHost:
    """Two cores, no GPU."""

    def __init__(self) -> None:
        self.now = {"cpu": "fake"}

    def cores(self) -> tuple[int, ...]:
        return (0, 1)

    def gpus(self) -> tuple[int, ...]:
        return ()

    def gpu_names(self) -> dict[int, str]:
        return {}

    def fingerprint(self, spec: JobSpec) -> dict[str, str]:
        return self.now


class InOrder:
    """Suggests the members of the space in their order."""

    def __init__(self, spec: JobSpec, trials: Sequence[Trial]) -> None:
        tried = [t.params for t in trials]
        self._left = [m for m in spec.space.members() if m not in tried]

    def ask(self, n: int) -> list[Suggestion]:
        return [Suggestion(params=p, reason="next in order") for p in self._left[:n]]

    def tell(self, trial: Trial) -> None:
        raise AssertionError("built from history, never told")


def make_searcher(spec: JobSpec, trials: Sequence[Trial], known: Known | None) -> Searcher:
    return InOrder(spec, trials)


def batch_of(gang: Gang) -> int:
    return next(int(word.split("=")[1]) for word in gang.command.argv if "--batch=" in word)


def by_batch(gang: Gang) -> FakeOutcome:
    """Larger batches are faster; no noise, so that any moment of stopping measures the same."""
    rate = 1000.0 + batch_of(gang)
    return FakeOutcome(samples_per_s=rate, noise=0.0, slow_s=0.0, duration_s=20.0)


class World:
    """A computer with a store; controllers come and go."""

    def __init__(
        self, outcome: Callable[[Gang], FakeOutcome] = by_batch, **changes: object
    ) -> None:
        self.clock = FakeClock()
        self.executor = FakeExecutor(outcome, self.clock)
        self.host = FakeHost()
        self.store = CrashingStore()
        self.epoch = 0
        content = {"apply": {"pairs": 3, "report_pairs": 0}, **changes}
        job = Job(id="job_1", spec=spec(**content), created_at=NOON)
        self.store.save(job)
        self.controller = self.new_controller()

    def new_controller(self) -> Controller:
        self.epoch += 1
        self.store.release_lease(f"controller {self.epoch - 1}")
        lease = self.store.acquire_lease(f"controller {self.epoch}", 1e9)
        assert lease is not None
        return Controller(
            self.store,
            self.executor,
            self.clock,
            self.host,
            make_searcher=make_searcher,
            epoch=lease.epoch,
        )

    @property
    def job(self) -> Job:
        return self.store.job("job_1")

    @property
    def trials(self) -> list[Trial]:
        return self.store.trials("job_1")

    def run(self, steps: int = 2000, until: Callable[[], bool] | None = None) -> None:
        for _ in range(steps):
            if self.job.state.is_finished or (until is not None and until()):
                return
            try:
                self.controller.step("job_1")
            except Killed:
                self.controller = self.new_controller()
            self.clock.sleep(STEP_S)
        raise AssertionError(f"not there after {steps} steps: {self.job}")


class Killed(BaseException):
    """SIGKILL, as far as a test in one process can have it: nothing after it runs."""


class CrashingStore(MemoryStore):
    """Kills the controller at its n-th write from now, before or after it is durable."""

    def __init__(self) -> None:
        super().__init__()
        self.kill_at: int | None = None
        self.after = False
        self.writes = 0

    def save(self, *facts: Fact, epoch: int | None = None) -> None:
        self.writes += 1
        doomed = self.writes == self.kill_at
        if doomed and not self.after:
            raise Killed
        super().save(*facts, epoch=epoch)
        if doomed:
            raise Killed


def essence(plan: Plan) -> object:
    """What must be equal whatever was killed: everything but times and what restarts cost."""
    return replace(
        plan,
        created_at=NOON,
        search_spend=Spend(),
        explanation=(),
        pairs=tuple(replace(p, baseline={}, candidate={}, gain_pct=0) for p in plan.pairs),
        baseline_metrics={},
        metrics={},
        gain_pct=None,
        gain_low_pct=None,
        gain_high_pct=None,
        payback_samples=None,
        payback_s=None,
    )


def assert_same(plan: Plan, expected: Plan) -> None:
    assert essence(plan) == essence(expected)
    assert plan.gain_pct == pytest.approx(expected.gain_pct, abs=0.5)
    assert plan.hash == expected.hash


def test_a_job_from_the_default_to_the_confirmed_plan() -> None:
    world = World()
    world.run()
    assert world.job.state is JobState.SUCCEEDED
    assert [t.state for t in world.trials] == [TrialState.COMPLETE] * 6
    assert world.trials[0].params == {"global_batch_size": 256, "loader_workers": 0}
    measured = [t.measurement for t in world.trials]
    assert all(m is not None and m.fingerprint == {"cpu": "fake"} for m in measured)
    (plan,) = world.store.plans()
    assert plan.verdict == "better"
    assert plan.params["global_batch_size"] == 2048
    assert plan.gain_pct == pytest.approx(100 * (3048 / 1256 - 1), abs=0.2)
    assert plan.learning_changes == ("global_batch_size",)
    confirming = [a for a in world.store.attempts("job_1") if a.purpose == "confirm"]
    assert len(confirming) == 6
    assert plan.search_spend.wall_s == pytest.approx(
        sum(a.spend.wall_s for a in world.store.attempts("job_1"))
    )


def test_a_disturbed_trial_is_measured_again_and_what_was_disturbed_never_counts() -> None:
    def outcome(gang: Gang) -> FakeOutcome:
        is_spoilt = gang.launch_key in ("job_1-2-0", "job_1-3-0", "job_1-3-1", "job_1-3-2")
        return replace(by_batch(gang), other_load_pct=60.0 if is_spoilt else 1.0)

    world = World(outcome, budget={"trials": 8})
    world.run()
    again, never_quiet = world.trials[2].measurement, world.trials[3].measurement
    assert again is not None
    assert again.is_stable
    assert world.executor.launched.count("job_1-2-1") == 1
    assert "job_1-2-2" not in world.executor.launched
    assert never_quiet is not None
    assert never_quiet.is_disturbed
    assert not never_quiet.is_stable
    assert "job_1-3-3" not in world.executor.launched


def test_no_configuration_is_tried_twice_and_a_small_space_ends_early() -> None:
    world = World(budget={"trials": 50})
    world.run()
    params = [tuple(sorted(t.params.items())) for t in world.trials]
    assert len(params) == len(set(params)) == 12


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_write_the_same_plan_comes_out(after: bool) -> None:
    calm = World(budget={"trials": 3})
    calm.run()
    expected, writes = calm.store.plans()[0], calm.store.writes
    assert writes > 20
    for kill_at in range(2, writes + 1):  # write 1 is the job itself
        world = World(budget={"trials": 3})
        world.store.kill_at, world.store.after = kill_at, after
        world.run()
        assert world.epoch == 2, f"write {kill_at} was never reached"
        assert_same(world.store.plans()[0], expected)
        launched = world.executor.launched
        assert len(launched) == len(set(launched)) == len(calm.executor.launched)
        assert all(t.state.is_finished for t in world.trials)
        assert world.executor.running == []


def test_killed_after_every_step_the_same_plan_comes_out() -> None:
    calm, restless = World(budget={"trials": 2}), World(budget={"trials": 2})
    calm.run()
    for _ in range(2000):
        if restless.job.state.is_finished:
            break
        restless.controller.step("job_1")
        restless.controller = restless.new_controller()
        restless.clock.sleep(STEP_S)
    assert_same(restless.store.plans()[0], calm.store.plans()[0])
    assert restless.executor.launched == calm.executor.launched


def test_a_stale_controller_is_refused() -> None:
    world = World()
    stale = world.controller
    world.new_controller()
    with pytest.raises(StaleLease):
        stale.step("job_1")
    assert world.executor.launched == []


def test_out_of_memory_is_told_as_a_failure_and_the_job_goes_on() -> None:
    def outcome(gang: Gang) -> FakeOutcome:
        if batch_of(gang) >= 512:
            text = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB."
            return FakeOutcome(duration_s=2.0, samples_per_s=0, exit_code=1, log=text)
        return by_batch(gang)

    world = World(outcome)
    world.run()
    failed = [t for t in world.trials if t.params["global_batch_size"] != 256]
    assert len(failed) == 4
    for trial in failed:
        assert trial.state is TrialState.FAILED
        assert trial.failure is not None
        assert trial.failure.kind is FailureKind.OUT_OF_MEMORY
        assert "Tried to allocate" in trial.failure.cause
    assert all(a.number == 0 for a in world.store.attempts("job_1") if a.purpose == "measure")
    assert [t.state for t in world.trials].count(TrialState.COMPLETE) == 2
    assert world.job.state is JobState.SUCCEEDED


def test_lost_gang_is_launched_again_with_the_same_params() -> None:
    losses = {"job_1-1-0", "job_1-1-1"}

    def outcome(gang: Gang) -> FakeOutcome:
        lost_after_s = 2.0 if gang.launch_key in losses else None
        return replace(by_batch(gang), lost_after_s=lost_after_s)

    world = World(outcome)
    world.run()
    first = [a for a in world.store.attempts("job_1", 1) if a.purpose == "measure"]
    assert [a.state for a in first] == [
        AttemptState.FAILED,
        AttemptState.FAILED,
        AttemptState.COMPLETE,
    ]
    assert world.trials[1].state is TrialState.COMPLETE


def test_a_gang_lost_three_times_is_given_up() -> None:
    def outcome(gang: Gang) -> FakeOutcome:
        lost_after_s = 2.0 if gang.launch_key.startswith("job_1-1-") else None
        return replace(by_batch(gang), lost_after_s=lost_after_s)

    world = World(outcome)
    world.run()
    assert len([a for a in world.store.attempts("job_1", 1) if a.purpose == "measure"]) == 3
    assert world.trials[1].failure is not None
    assert world.trials[1].failure.kind is FailureKind.LOST
    assert world.job.state is JobState.SUCCEEDED


def test_silent_gang_has_stalled() -> None:
    def outcome(gang: Gang) -> FakeOutcome:
        silent_after_s = 3.0 if gang.launch_key == "job_1-1-0" else None
        return replace(by_batch(gang), silent_after_s=silent_after_s, duration_s=None)

    world = World(outcome, measuring={"stall_s": 5, "min_window_s": 4})
    world.run()
    failure = world.trials[1].failure
    assert failure is not None
    assert failure.kind is FailureKind.STALLED


def test_a_gang_that_never_steps_times_out() -> None:
    def outcome(gang: Gang) -> FakeOutcome:
        rate = 0.0 if gang.launch_key == "job_1-1-0" else 1000.0
        return FakeOutcome(samples_per_s=rate, duration_s=None)

    world = World(outcome, measuring={"startup_s": 8})
    world.run()
    failure = world.trials[1].failure
    assert failure is not None
    assert failure.kind is FailureKind.TIMEOUT


def test_beaten_trials_end_early() -> None:
    def outcome(gang: Gang) -> FakeOutcome:
        rate = 5000.0 if gang.launch_key.startswith("job_1-0-") else 500.0
        return FakeOutcome(samples_per_s=rate, noise=0.15, duration_s=None)

    world = World(outcome, measuring={"min_window_s": 20, "precision_pct": 0.6})
    world.run()
    measured = world.trials[1].measurement
    assert measured is not None
    assert measured.stopped == "beaten"
    assert measured.window_s < 20
    (plan,) = world.store.plans()
    assert plan.verdict == "not_better"


def test_a_job_whose_default_fails_still_finds_what_runs() -> None:
    def outcome(gang: Gang) -> FakeOutcome:
        if batch_of(gang) == 256:
            return FakeOutcome(samples_per_s=0, duration_s=1, exit_code=1, log="Boom: no")
        return by_batch(gang)

    world = World(outcome)
    world.run()
    (plan,) = world.store.plans()
    assert plan.verdict == "unproven"
    assert plan.params["global_batch_size"] == 2048


def test_a_job_in_which_nothing_runs_fails_and_says_so() -> None:
    world = World(lambda _: FakeOutcome(samples_per_s=0, duration_s=1, exit_code=1, log="Boom: no"))
    world.run()
    assert world.job.state is JobState.FAILED
    assert "trimtab trial list" in world.job.message
    assert world.store.plans() == []


def test_pause_lets_run_what_runs_and_resume_goes_on() -> None:
    world = World()
    world.run(until=lambda: len(world.executor.launched) == 2)
    world.store.wish("job_1", Wish.PAUSE)
    for _ in range(200):
        world.controller.step("job_1")
        world.clock.sleep(STEP_S)
    paused = world.job.state
    assert paused is JobState.PAUSED
    assert len(world.executor.launched) == 2
    assert world.trials[1].state is TrialState.COMPLETE
    world.store.wish("job_1", Wish.RUN)
    world.run()
    assert world.job.state is JobState.SUCCEEDED


def test_cancel_ends_what_runs() -> None:
    world = World(lambda gang: replace(by_batch(gang), duration_s=None))
    world.run(until=lambda: len(world.executor.running) == 1)
    world.store.wish("job_1", Wish.CANCEL)
    world.run()
    assert world.job.state is JobState.CANCELLED
    assert world.executor.running == []
    assert {t.state for t in world.trials} == {TrialState.CANCELLED}


def test_cancel_survives_a_restart() -> None:
    world = World(lambda gang: replace(by_batch(gang), duration_s=None))
    world.run(until=lambda: len(world.executor.running) == 1)
    world.store.wish("job_1", Wish.CANCEL)
    world.controller = world.new_controller()
    world.run()
    assert world.job.state is JobState.CANCELLED
    assert world.executor.running == []


def test_parallel_trials_share_the_cores() -> None:
    world = World(
        search={"parallel_trials": 2},
        resources={"cores_per_node": 1},
        budget={"trials": 5},
    )
    seen = 0
    for _ in range(2000):
        if world.job.state.is_finished:
            break
        world.controller.step("job_1")
        live = [a for a in world.store.attempts("job_1") if not a.state.is_finished]
        cores = [core for a in live for node in a.placement.cores for core in node]
        assert len(cores) == len(set(cores))
        seen = max(seen, len(live))
        world.clock.sleep(STEP_S)
    assert seen == 2
    assert world.job.state is JobState.SUCCEEDED


def test_minutes_are_kept_with_room_for_confirming() -> None:
    world = World(budget={"trials": 12, "minutes": 1})
    world.run()
    started, ended = world.job.started_at, world.job.ended_at
    assert started is not None
    assert ended is not None
    assert (ended - started).total_seconds() < 75
    assert len(world.trials) < 12
    assert world.store.plans()[0].pairs


def test_money_is_kept() -> None:
    prices = {"as_of": "2026-11-01", "per_core_hour": {"on_demand": 3.6}}
    world = World(budget={"trials": 12, "usd": 0.1}, prices=prices)
    world.run()
    spent = sum(a.spend.usd or 0 for a in world.store.attempts("job_1"))
    assert 0.05 < spent < 0.12
    assert len(world.trials) < 12


def test_a_configuration_that_can_never_fit_costs_no_launch() -> None:
    world = World(
        space={"params": {"nnodes": {"kind": "int", "low": 1, "high": 3}}},
        workload={"command": ["train", "--batch=1"], "launch": "per_rank"},
        resources={"cores_per_node": 1},
    )
    world.run()
    refused = world.trials[-1]
    assert refused.params == {"nnodes": 3}
    assert refused.failure is not None
    assert refused.failure.kind is FailureKind.INFEASIBLE
    assert not any(key.startswith("job_1-2-") for key in world.executor.launched)


def test_the_budget_ends_what_runs() -> None:
    world = World(
        lambda gang: FakeOutcome(samples_per_s=0, duration_s=None),
        budget={"trials": 3, "minutes": 0.2},
    )
    world.run()
    assert world.job.state is JobState.FAILED
    assert "budget" in world.job.message
    assert world.executor.running == []
    started, ended = world.job.started_at, world.job.ended_at
    assert started is not None
    assert ended is not None
    assert (ended - started).total_seconds() < 20


def test_a_broken_job_is_given_up_after_three_trials_and_says_why() -> None:
    world = World(
        lambda _: FakeOutcome(samples_per_s=0, duration_s=1, exit_code=1, log="Boom: no table"),
        budget={"trials": 12},
    )
    world.run()
    assert len(world.trials) == 3
    assert "Boom: no table" in world.job.message


def test_an_objective_that_never_comes_is_noticed() -> None:
    world = World(
        lambda gang: replace(by_batch(gang), duration_s=None),
        objectives=[{"metric": "samples_per_sec", "direction": "maximize"}],
        measuring={"max_window_s": 5},
    )
    world.run()
    failure = world.trials[0].failure
    assert failure is not None
    assert failure.kind is FailureKind.NO_METRICS
    assert "samples_per_sec was not measured" in failure.cause


def test_a_job_that_waits_for_cores_says_so_and_its_clock_stands() -> None:
    world = World(lambda gang: replace(by_batch(gang), duration_s=None))
    other = Job(id="job_0", spec=spec(name="other"), created_at=NOON)
    world.store.save(other)
    world.controller.step("job_0")
    world.controller.step("job_1")
    assert "waiting for cores" in world.job.message
    assert world.job.started_at is None


def test_an_executor_in_trouble_is_asked_again_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(budget={"trials": 2})
    real, refusals = world.executor.launch, [0]

    def launch(gang: Gang) -> str:
        refusals[0] += 1
        if refusals[0] % 3:
            raise ExecutorError("no space left on device")
        return real(gang)

    monkeypatch.setattr(world.executor, "launch", launch)
    world.run()
    assert world.job.state is JobState.SUCCEEDED
    assert [t.state for t in world.trials] == [TrialState.COMPLETE] * 2
    assert all(a.failure is None for a in world.store.attempts("job_1"))
