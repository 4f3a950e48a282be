import sys

import pytest

from tuner.expression import Value
from tuner.jobfile import load_job
from tuner.launch import launch_command, place
from tuner.model import LaunchCommand, Placement
from tuner.spec import JobSpec


def job(workload: str, resources: str = "{}") -> JobSpec:
    return load_job(
        f"""\
name: x
workload: {workload}
resources: {resources}
space:
  params:
    nnodes: {{low: 1, high: 8}}
    batch_size: {{options: [64, 128]}}
    strategy: {{options: [row_wise], when: nnodes > 1}}
    fused: {{options: [true, false]}}
"""
    )


def command_of(nnodes: int, nproc_per_node: int = 1) -> LaunchCommand:
    return LaunchCommand(
        argv=("x",),
        env={},
        working_dir="/",
        nnodes=nnodes,
        nproc_per_node=nproc_per_node,
        per_rank=True,
    )


def test_a_named_workload_gets_every_parameter_and_then_its_args() -> None:
    spec = job("{name: dlrm, args: {lr: 0.1, log_all: true}, working_dir: /srv}")
    params: dict[str, Value] = {
        "nnodes": 2,
        "batch_size": 64,
        "strategy": "row_wise",
        "fused": False,
    }
    command = launch_command(spec, params)
    assert command.argv == (
        sys.executable,
        "-m",
        "workloads.dlrm",
        "--batch-size=64",
        "--strategy=row_wise",
        "--fused=false",
        "--lr=0.1",
        "--log-all=true",
    )
    assert (command.nnodes, command.nproc_per_node, command.per_rank) == (2, 1, True)
    assert command.working_dir == "/srv"
    assert command.num_processes == 2


def test_a_parameter_that_does_not_apply_leaves_its_word_and_variable_out() -> None:
    workload = "{command: [run, '--s=${strategy}', '${batch_size}'], env: {S: '${strategy}', B: b}}"
    command = launch_command(job(workload), {"nnodes": 1, "batch_size": 64, "fused": True})
    assert command.argv == ("run", "64")
    assert command.env == {"B": "b"}


def test_a_command_is_filled_in_and_started_once() -> None:
    workload = (
        "{command: ['${python}', 'a b', '$$x', '--f=${fused}', '${nnodes}x${nproc_per_node}'], "
        "env: {N: 'n${nnodes}'}, nproc_per_node: 3}"
    )
    command = launch_command(job(workload), {"nnodes": 2, "batch_size": 64, "fused": True})
    assert command.argv == (sys.executable, "a b", "$x", "--f=true", "2x3")
    assert command.env == {"N": "n2"}
    assert not command.per_rank
    assert command.num_processes == 1


@pytest.mark.parametrize(
    ("workload", "per_rank"),
    [
        ("{name: dlrm, launch: once}", False),
        ("{command: [x], launch: per_rank}", True),
    ],
)
def test_how_to_launch_may_be_said(workload: str, per_rank: bool) -> None:
    assert launch_command(job(workload), {}).per_rank is per_rank


@pytest.mark.parametrize("nnodes", [0, 1.5, True, "2"])
def test_nodes_must_be_counted_in_whole_numbers(nnodes: Value) -> None:
    with pytest.raises(ValueError, match="nnodes must be a whole number"):
        launch_command(job("{name: dlrm}"), {"nnodes": nnodes})


def test_values_never_become_more_words() -> None:
    spec = job("{command: [run, '--s=${strategy}']}")
    command = launch_command(spec, {"strategy": "a; rm -rf / $HOME"})
    assert command.argv == ("run", "--s=a; rm -rf / $HOME")


PLACED = [
    # resources, nnodes, free cores, all cores, expected
    ("{}", 1, [0, 1], [0, 1], [(0, 1)]),
    ("{}", 2, [0, 1], [0, 1], [(0,), (1,)]),
    ("{}", 2, range(5), range(5), [(0, 1), (2, 3)]),
    ("{}", 3, [4, 7], [7, 4], [(4,), (7,), (4,)]),
    ("{}", 3, [4], [4, 7], None),
    ("{}", 1, [1], [0, 1], None),
    ("{cores_per_node: 1}", 1, [1], [0, 1], [(1,)]),
    ("{cores_per_node: 2}", 2, [3, 2, 1, 0], [0, 1, 2, 3], [(0, 1), (2, 3)]),
    ("{cores_per_node: 2}", 2, [1, 2, 3], [0, 1, 2, 3], None),
]


@pytest.mark.parametrize(("resources", "nnodes", "free", "everything", "expected"), PLACED)
def test_cores_are_dealt_to_nodes(
    resources: str,
    nnodes: int,
    free: list[int],
    everything: list[int],
    expected: list[tuple[int, ...]] | None,
) -> None:
    spec = job("{name: dlrm}", resources)
    placement = place(spec, command_of(nnodes), free, everything, [], [])
    wanted = None
    if expected is not None:
        wanted = Placement(cores=tuple(expected), gpus=((),) * nnodes)
    assert placement == wanted


@pytest.mark.parametrize(
    ("resources", "nproc", "free", "everything", "expected"),
    [
        ("{}", 1, [], [], ((), ())),
        ("{}", 1, [5, 3], [3, 4, 5], ((3,), (5,))),
        ("{}", 2, [0, 1, 2, 3], [0, 1, 2, 3], ((0, 1), (2, 3))),
        ("{}", 2, [0, 1, 2], [0, 1, 2, 3], None),
        ("{gpus_per_node: 0}", 2, [0], [0], ((), ())),
        ("{gpus_per_node: 1}", 4, [0, 1], [0, 1], ((0,), (1,))),
    ],
)
def test_gpus_are_dealt_by_ranks(
    resources: str,
    nproc: int,
    free: list[int],
    everything: list[int],
    expected: tuple[tuple[int, ...], ...] | None,
) -> None:
    spec = job("{name: dlrm}", resources)
    placement = place(spec, command_of(2, nproc), [0, 1], [0, 1], free, everything)
    assert (placement.gpus if placement else None) == expected


@pytest.mark.parametrize(
    ("resources", "gpus", "message"),
    [
        ("{cores_per_node: 2}", [], "need 4 cores, this computer gives 2; lower .* at most 1"),
        ("{gpus_per_node: 1}", [0], "need 2 GPUs, this computer has 1; set .* at most 1"),
        ("{gpus_per_node: 2}", [], "need 4 GPUs, this computer has 0"),
        ("{}", [0], "need 2 GPUs, this computer has 1"),
    ],
)
def test_what_can_never_fit_is_told_with_numbers(
    resources: str, gpus: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        place(job("{name: dlrm}", resources), command_of(2), [0, 1], [0, 1], gpus, gpus)


def test_a_job_without_gpus_finds_none_of_the_computer() -> None:
    hidden = launch_command(job("{name: dlrm}", "{gpus_per_node: 0}"), {"x": 1})
    assert hidden.env["CUDA_VISIBLE_DEVICES"] == ""
    chosen = "{name: dlrm, env: {CUDA_VISIBLE_DEVICES: '3'}}"
    assert launch_command(job(chosen, "{gpus_per_node: 0}"), {"x": 1}).env == {
        "CUDA_VISIBLE_DEVICES": "3"
    }
    assert "CUDA_VISIBLE_DEVICES" not in launch_command(job("{name: dlrm}"), {"x": 1}).env
