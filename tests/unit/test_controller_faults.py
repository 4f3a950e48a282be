"""What a controller does about failures: who is told, what is run again, what it costs."""

from dataclasses import replace

import pytest

from tests.fakes import FakeOutcome
from tests.unit.test_controller import World, batch_of, by_batch
from tuner.gang import Gang
from tuner.model import Attempt, AttemptState, FailureKind, TrialState

INFRASTRUCTURE: dict[str, tuple[FailureKind, dict[str, object]]] = {
    "lost": (FailureKind.LOST, {"lost_after_s": 1.9}),
    "port": (
        FailureKind.INFRASTRUCTURE,
        {"exit_code": 1, "log": "OSError: [Errno 98] Address already in use"},
    ),
    "disk": (
        FailureKind.INFRASTRUCTURE,
        {"exit_code": 1, "log": "OSError: [Errno 28] No space left on device"},
    ),
    "gpu": (
        FailureKind.INFRASTRUCTURE,
        {"exit_code": 1, "log": "RuntimeError: CUDA error: uncorrectable ECC error encountered"},
    ),
    "xid": (
        FailureKind.INFRASTRUCTURE,
        {
            "exit_code": 1,
            "log": "RuntimeError: CUDA error: unspecified launch failure",
            "usage": {"gpu_xid_errors": 1.0, "gpu_first_xid": 79.0},
        },
    ),
    "killed": (FailureKind.INFRASTRUCTURE, {"exit_code": -9}),
}
CONFIGURATION = {
    "memory": (FailureKind.OUT_OF_MEMORY, "torch.OutOfMemoryError: CUDA out of memory."),
    "host memory": (FailureKind.HOST_OUT_OF_MEMORY, "MemoryError"),
    "NaN": (FailureKind.DIVERGED, "FloatingPointError: loss is nan"),
    "options": (FailureKind.INFEASIBLE, "usage: train [-h]\ntrain: error: batch too large"),
    "crash": (FailureKind.CRASH, "KeyError: 'user_id'"),
}
TRIAL = 1
"""The trial that is struck, and again: its key begins so."""
KEY = f"job_1-{TRIAL}-"


def measured(world: World) -> list[Attempt]:
    return [a for a in world.store.attempts("job_1", TRIAL) if a.purpose == "measure"]


def struck(changes: dict[str, object], times: int) -> World:
    """A world in which a trial's first attempts fail like this after 2 s."""
    keys = {f"{KEY}{number}" for number in range(times)}

    def outcome(gang: Gang) -> FakeOutcome:
        good = by_batch(gang)
        if gang.launch_key not in keys:
            return good
        return replace(good, duration_s=2.0, **changes)  # type: ignore[arg-type]

    world = World(outcome)
    world.run()
    return world


@pytest.mark.parametrize("how", INFRASTRUCTURE)
def test_what_the_computer_spoilt_is_run_again_with_the_same_params(how: str) -> None:
    kind, changes = INFRASTRUCTURE[how]
    world = struck(changes, times=2)
    attempts = measured(world)
    states = [AttemptState.FAILED, AttemptState.FAILED, AttemptState.COMPLETE]
    assert [a.state for a in attempts] == states
    assert [a.failure.kind for a in attempts if a.failure] == [kind, kind]
    assert world.trials[TRIAL].state is TrialState.COMPLETE
    commands = {world.executor.gang(a.launch_key).command.argv for a in attempts}
    assert len(commands) == 1
    # What was spoilt has cost its time.
    assert all(a.spend.wall_s >= 1.8 for a in attempts)


@pytest.mark.parametrize("how", INFRASTRUCTURE)
def test_it_is_run_again_twice_at_most_and_nobody_is_told(how: str) -> None:
    kind, changes = INFRASTRUCTURE[how]
    world = struck(changes, times=9)
    assert len(measured(world)) == 3
    failure = world.trials[TRIAL].failure
    assert failure is not None
    assert failure.kind is kind
    assert failure.kind.is_infrastructure


@pytest.mark.parametrize("how", CONFIGURATION)
def test_what_a_configuration_spoils_is_told_once_and_not_run_again(how: str) -> None:
    kind, log = CONFIGURATION[how]
    code = 2 if kind is FailureKind.INFEASIBLE else 1
    world = struck({"exit_code": code, "log": log}, times=9)
    [attempt] = measured(world)
    assert attempt.failure is not None
    assert attempt.failure.kind is kind
    assert not kind.is_infrastructure
    assert attempt.failure.cause
    assert attempt.failure.remedy
    assert attempt.failure.log_tail
    assert world.trials[TRIAL].failure == attempt.failure
    assert batch_of(world.executor.gang(f"{KEY}0")) > 0


def test_a_loss_that_is_no_number_ends_a_trial_early() -> None:
    def outcome(gang: Gang) -> FakeOutcome:
        good = by_batch(gang)
        is_struck = gang.launch_key.startswith(KEY)
        return replace(good, nan_after_s=1.5 if is_struck else None, duration_s=None)

    world = World(outcome, measuring={"min_window_s": 30.0, "max_window_s": 40.0})
    world.run(until=lambda: len(world.trials) > TRIAL and world.trials[TRIAL].state.is_finished)
    [attempt] = measured(world)
    assert attempt.failure is not None
    assert attempt.failure.kind is FailureKind.DIVERGED
    assert attempt.spend.wall_s < 5


@pytest.mark.parametrize(("log", "count"), [("Boom: no table", 3), ("loss is nan", 6)])
def test_a_broken_job_is_given_up_and_one_that_diverges_is_not(log: str, count: int) -> None:
    def outcome(gang: Gang) -> FakeOutcome:
        return FakeOutcome(samples_per_s=0, duration_s=1.0, exit_code=1, log=log)

    world = World(outcome, budget={"trials": 6})
    world.run()
    assert len(world.trials) == count
