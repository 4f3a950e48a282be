"""Which configuration is tried, and when enough of it was seen."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tests.unit.builders import NOON, spec, trial
from tuner import smoke
from tuner.errors import UserError
from tuner.gang import Record, RunState, RunStatus
from tuner.launch import launch_command
from tuner.model import Attempt, Placement
from tuner.observe import Watch
from tuner.spec import JobSpec

STATUS = RunStatus(state=RunState.RUNNING, elapsed_s=2.0, now_s=102.0)


class Computer:
    """A host of so many cores."""

    def __init__(self, cores: int) -> None:
        self._cores = cores

    def cores(self) -> Sequence[int]:
        return range(self._cores)

    def gpus(self) -> Sequence[int]:
        return ()

    def gpu_names(self) -> Mapping[int, str]:
        return {}

    def fingerprint(self, spec: JobSpec) -> Mapping[str, str]:
        return {}


def space(**params: object) -> dict[str, object]:
    return {"params": {"threads": {"kind": "int", "low": 1, "high": 4}, **params}}


RANKS = {"kind": "int", "low": 1, "high": 4}
COMMAND = {"command": ["train"], "launch": "per_rank"}
ONCE = {"command": ["train"], "launch": "once"}


@pytest.mark.parametrize(
    ("workload", "params", "expected"),
    [
        (COMMAND, {"nproc_per_node": RANKS}, (1, 2)),
        (COMMAND, {"nnodes": RANKS}, (2, 1)),
        (COMMAND, {"nproc_per_node": {**RANKS, "low": 3}}, (1, 3)),
        (COMMAND, {}, (1, 2)),
        (ONCE, {}, (1, 1)),
        (ONCE, {"nproc_per_node": RANKS}, (1, 2)),
    ],
)
def test_two_ranks_where_the_job_may_have_them(
    workload: dict[str, object], params: dict[str, object], expected: tuple[int, int]
) -> None:
    job = spec(workload=workload, space=space(**params))
    chosen, found, _ = smoke._fitting(Computer(2), job)
    command = launch_command(chosen, found)
    assert (command.nnodes, command.nproc_per_node) == expected


def test_a_constraint_may_keep_it_at_one() -> None:
    limited = {**space(nproc_per_node=RANKS), "constraints": ["nproc_per_node < 2"]}
    _, params, _ = smoke._fitting(Computer(2), spec(workload=COMMAND, space=limited))
    assert params["nproc_per_node"] == 1


def test_where_two_nodes_have_no_room_the_default_is_tried_and_else_refused() -> None:
    job = spec(workload=COMMAND, space=space(nnodes=RANKS), resources={"cores_per_node": 2})
    assert smoke._fitting(Computer(4), job)[1]["nnodes"] == 2
    assert smoke._fitting(Computer(2), job)[1]["nnodes"] == 1
    with pytest.raises(UserError, match="no room on this computer"):
        smoke._fitting(Computer(1), job)


def watch_of(records: list[Record], objective: str = "samples_per_s") -> Watch:
    """Of two ranks."""
    objectives = [{"metric": objective, "direction": "maximize"}]
    job = spec(workload={**COMMAND, "nproc_per_node": 2}, objectives=objectives)
    placement = Placement(cores=((0, 1),), gpus=((),))
    attempt = Attempt(
        job_id="check", trial_number=0, number=0, placement=placement, created_at=NOON
    )
    watch = Watch.of(job, replace(trial(0), params=job.space.default()), attempt, "h")
    watch.records = records
    watch.standings.note(records)
    return watch


def steps(rank: int, count: int, start_s: float = 101.9) -> list[Record]:
    return [Record(rank=rank, t_s=start_s + 0.01 * n, steps=1, samples=8.0) for n in range(count)]


def test_every_rank_has_to_make_its_steps() -> None:
    assert not smoke.is_enough(watch_of([]), STATUS)
    assert not smoke.is_enough(watch_of([*steps(0, 3), *steps(1, 2)]), STATUS)
    assert smoke.is_enough(watch_of([*steps(0, 3), *steps(1, 3)]), STATUS)


def test_a_rank_that_stays_silent_leaves_it_to_the_others() -> None:
    assert not smoke.is_enough(watch_of(steps(0, 9)), STATUS)
    assert smoke.is_enough(watch_of(steps(0, 9, start_s=99.0)), STATUS)


def test_a_job_of_values_only_has_to_tell_its_objective() -> None:
    told = Record(rank=0, t_s=99.0, values={"requests_per_s": 20.0})
    assert smoke.is_enough(watch_of([told], "requests_per_s"), STATUS)
    assert not smoke.is_enough(watch_of([told], "p99_latency_ms"), STATUS)
