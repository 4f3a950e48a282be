"""What differs from rank to rank in the variables of a job file."""

import pytest

from tuner.errors import InvalidJob
from tuner.jobfile import load_job
from tuner.launch import launch_command
from tuner.spec import JobSpec


def job(workload: str, params: str = "{batch: {low: 1, high: 2}}") -> JobSpec:
    return load_job(f"name: x\nworkload: {workload}\nspace: {{params: {params}}}\n")


def env_of(workload: str, params: str = "{batch: {low: 1, high: 2}}") -> dict[str, str]:
    spec = job(workload, params)
    return launch_command(spec, spec.space.default()).env


def test_it_is_left_for_where_ranks_are_started() -> None:
    workload = "{command: [x], launch: per_rank, env: {A: '${rank}/${world_size}, ${batch}, $$x'}}"
    assert env_of(workload) == {"A": "${rank}/${world_size}, 1, $x"}


def test_a_workload_of_trimtab_has_ranks_too() -> None:
    assert env_of("{name: dlrm, env: {A: '${workers}'}}") == {"A": "${workers}"}


def test_a_parameter_of_that_name_goes_first() -> None:
    workload = "{command: [x], launch: per_rank, env: {A: '${rank}', B: '${local_rank}'}}"
    params = "{rank: {options: [8, 16]}}"
    assert env_of(workload, params) == {"A": "8", "B": "${local_rank}"}


@pytest.mark.parametrize(
    "workload",
    [
        "{command: [x], env: {A: '${rank}'}}",
        "{command: [x, '--rank=${rank}'], launch: per_rank}",
    ],
)
def test_elsewhere_it_is_refused_with_the_remedy(workload: str) -> None:
    with pytest.raises(InvalidJob, match=r"known only where a rank is started.*launch: per_rank"):
        job(workload)
