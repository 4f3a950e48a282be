"""What cannot fit into memory is not launched."""

from tests.unit.test_controller import World
from tuner.model import FailureKind, TrialState


def world(work: dict[str, float] | None) -> World:
    """Two batches, and 1 GiB."""
    return World(
        space={
            "params": {"global_batch_size": {"kind": "choice", "options": [256, 1024]}},
        },
        workload={"command": ["train", "--batch=${global_batch_size}"]},
        resources={"memory_limit_gib": 1},
        estimate=work,
    )


def test_a_batch_that_cannot_fit_is_refused_with_the_sum_and_costs_no_launch() -> None:
    tried = world({"activation_bytes_per_sample": 2_000_000})
    tried.run()
    refused = tried.trials[1]
    assert (refused.params["global_batch_size"], refused.state) == (1024, TrialState.FAILED)
    assert refused.failure is not None
    assert refused.failure.kind is FailureKind.INFEASIBLE
    assert refused.failure.cause == "does not fit into memory: activations 1.9 GiB > 1.0 GiB"
    assert not any(key.startswith("job_1-1-") for key in tried.executor.launched)
    assert tried.trials[0].state is TrialState.COMPLETE


def test_a_job_that_tells_nothing_of_its_work_is_launched() -> None:
    tried = world(None)
    tried.run()
    assert {trial.state for trial in tried.trials} == {TrialState.COMPLETE}
