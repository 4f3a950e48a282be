"""What a job does when its code, its data or the computer changes while it searches."""

from dataclasses import replace

from tests.fakes import FakeOutcome
from tests.unit.test_controller import World, batch_of
from tuner.gang import Gang
from tuner.model import AttemptState, JobState, TrialState

AUTO = {"pairs": 3, "report_pairs": 0, "mode": "auto", "target": {"path": "plan.json"}}
WORKERS = {"params": {"loader_workers": {"kind": "int", "low": 0, "high": 1}}}


def by_workers(gang: Gang) -> FakeOutcome:
    faster = "--workers=1" in gang.command.argv
    return FakeOutcome(samples_per_s=2000.0 if faster else 1000.0, noise=0.0, duration_s=20.0)


def finished(world: World, trials: int) -> bool:
    return sum(t.state.is_finished for t in world.trials) >= trials


def test_a_job_ends_when_its_code_changes_and_compares_nothing_across() -> None:
    world = World()
    world.host.now = {"workload": "aaaa", "torch": "2.13.0"}
    world.run(until=lambda: finished(world, 2))
    world.host.now = {"workload": "bbbb", "torch": "2.13.0"}
    world.run()
    assert world.job.state is JobState.FAILED
    assert "code of the job aaaa → bbbb" in world.job.message
    assert "create the job again" in world.job.message
    assert world.store.plans() == []
    taken = {a.fingerprint["workload"] for a in world.store.attempts("job_1")}
    assert taken == {"aaaa"}
    assert all(t.state.is_finished for t in world.trials)


def test_what_runs_beside_is_measured_to_its_end_first() -> None:
    def outcome(gang: Gang) -> FakeOutcome:
        duration_s = 40.0 if batch_of(gang) == 512 else 5.0
        return FakeOutcome(samples_per_s=1000.0, noise=0.0, duration_s=duration_s)

    world = World(
        outcome,
        search={"parallel_trials": 2},
        resources={"cores_per_node": 1},
        measuring={"min_window_s": 30.0},
    )
    world.run(until=lambda: len(world.trials) > 2)
    world.host.now = {"cpu": "another"}
    world.run()
    assert world.job.state is JobState.FAILED
    assert world.executor.running == []
    states = [t.state for t in world.trials if world.store.attempts("job_1", t.number)]
    assert states == [TrialState.COMPLETE] * len(states)


def test_a_new_controller_goes_on_where_nothing_changed() -> None:
    world = World()
    world.run(until=lambda: finished(world, 2))
    world.controller = world.new_controller()
    world.run()
    assert world.job.state is JobState.SUCCEEDED


def test_what_was_intended_before_a_change_is_not_launched_after_it() -> None:
    world = World()
    world.host.now = {"workload": "aaaa"}
    world.run(until=lambda: finished(world, 2))
    (intent, *_) = world.store.attempts("job_1", 1)
    waiting = replace(
        intent, number=7, state=AttemptState.INTENT, handle=None, ended_at=None, measurement=None
    )
    world.store.save(waiting)
    world.host.now = {"workload": "bbbb"}
    world.run()
    assert waiting.launch_key not in world.executor.launched
    assert world.job.state is JobState.FAILED


def test_a_commit_that_leaves_the_code_alone_changes_nothing() -> None:
    world = World()
    world.host.now = {"workload": "aaaa", "git": "1111"}
    world.run(until=lambda: finished(world, 2))
    world.host.now = {"workload": "aaaa", "git": "2222"}
    world.run()
    assert world.job.state is JobState.SUCCEEDED


def test_the_plan_tells_what_its_evidence_was_measured_on() -> None:
    world = World()
    world.run()
    assert world.store.plans()[0].fingerprint == {"cpu": "fake"}


def test_a_change_after_the_last_run_keeps_the_policy_from_applying() -> None:
    world = World(by_workers, apply=AUTO, space=WORKERS)
    world.run(until=lambda: len(world.store.attempts("job_1")) == 2 + 6)
    assert not world.job.state.is_finished
    world.host.now = {"cpu": "another"}
    world.run()
    assert world.job.state is JobState.SUCCEEDED
    assert world.store.applications() == []
    assert "apply --stale" in world.job.message
    assert "processor fake → another" in world.job.message


def test_without_a_change_the_policy_applies() -> None:
    world = World(by_workers, apply=AUTO, space=WORKERS)
    world.run()
    assert len(world.store.applications()) == 1
