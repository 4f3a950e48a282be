"""The sequential recommender on real ranks: every strategy learns the same, cold and warm."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gangs import (
    end_everything,
    make_gang,
    template_sockets,
    templates_for_all_tests,
    wait_for,
    wait_for_end,
)
from tuner import report
from tuner.executors.local import LocalExecutor
from tuner.gang import RunState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

COMMAND = (sys.executable, "-m", "workloads.sequential", "--threads-per-rank=1")
TINY = ("--dim=16", "--max-length=16", "--blocks=2", "--global-batch-size=32", "--lr=0.03")
SHORT = ("--eval-at-samples=80", "--max-samples=80")
ENV = {"OMP_WAIT_POLICY": "PASSIVE"}
NAMES = ("loss", "ndcg_at_10", "hr_at_10")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sequential") / "gangs"


@pytest.fixture(scope="module")
def executor(root: Path) -> Iterator[LocalExecutor]:
    with templates_for_all_tests():
        executor = LocalExecutor(root)
        yield executor
        end_everything(executor, root)


def lines_of(
    executor: LocalExecutor, key: str, *options: str, nnodes: int = 1, ranks: int = 1
) -> list[list[report.Line]]:
    """What each rank has told, by the time that all of them have ended well."""
    argv = (*COMMAND, *TINY, *SHORT, *options)
    per_node = ranks // nnodes
    executor.launch(make_gang(key, argv, nnodes=nnodes, nproc_per_node=per_node, env=ENV))
    wait_for(lambda: executor.poll(key).state is RunState.EXITED, limit_s=90)
    ended = wait_for_end(executor, key)
    assert [rank.exit_code for rank in ended.ranks] == [0] * ranks, executor.tail(key, 0, 4000)
    chunks = {c.stream: c.data for c in executor.output(key, {})}
    texts = [chunks[f"rank-{rank}.metrics.jsonl"].decode() for rank in range(ranks)]
    return [[x for x in map(report.parse, text.splitlines()) if x] for text in texts]


def last(lines: list[report.Line], name: str) -> float:
    return [line.values[name] for line in lines if name in line.values][-1]


@pytest.fixture(scope="module")
def alone(executor: LocalExecutor, root: Path) -> list[report.Line]:
    """What one rank has told, started cold; there is a template afterwards."""
    [lines] = lines_of(executor, "alone")
    [socket] = wait_for(lambda: template_sockets(root), limit_s=60)
    assert "refused" not in {path.name for path in socket.parent.iterdir()}
    return lines


def test_a_warm_start_learns_what_a_cold_one_does(
    executor: LocalExecutor, alone: list[report.Line]
) -> None:
    [warm] = lines_of(executor, "warm")
    assert [last(warm, name) for name in NAMES] == [last(alone, name) for name in NAMES]
    assert last(warm, "quality_samples") == 80


@pytest.mark.parametrize(
    "options",
    [
        ("--strategy=ddp",),
        ("--strategy=zero1", "--micro-batch-size=5", "--activation-checkpointing=all"),
        ("--strategy=fsdp", "--micro-batch-size=8", "--length-bucketing=true"),
        ("--strategy=fsdp", "--reshard-after-forward=false", "--activation-checkpointing=all"),
        ("--strategy=tensor_parallel", "--micro-batch-size=12", "--length-bucketing=true"),
        ("--strategy=tensor_parallel", "--activation-checkpointing=alternate"),
    ],
    ids=lambda options: "-".join(word.strip("-").partition("=")[2] for word in options),
)
def test_two_ranks_learn_what_one_learns(
    executor: LocalExecutor, alone: list[report.Line], options: tuple[str, ...]
) -> None:
    key = "-".join(word.partition("=")[2] for word in options)
    ranks = lines_of(executor, key, *options, ranks=2)
    assert_learned(ranks, alone)


def test_four_ranks_on_two_nodes_learn_the_same_with_hsdp(
    executor: LocalExecutor, alone: list[report.Line]
) -> None:
    options = ("--strategy=hsdp", "--micro-batch-size=4")
    assert_learned(lines_of(executor, "hsdp", *options, nnodes=2, ranks=4), alone)


def assert_learned(ranks: list[list[report.Line]], alone: list[report.Line]) -> None:
    share = 80 / len(ranks)
    assert [sum(line.samples for line in lines) for lines in ranks] == [share] * len(ranks)
    assert [sum(line.steps for line in lines) for lines in ranks] == [3] * len(ranks)
    for lines in ranks:
        assert last(lines, "loss") == pytest.approx(last(alone, "loss"), abs=1e-4)
        assert last(lines, "ndcg_at_10") == pytest.approx(last(alone, "ndcg_at_10"), abs=2e-3)
        assert last(lines, "hr_at_10") == pytest.approx(last(alone, "hr_at_10"), abs=3e-3)
