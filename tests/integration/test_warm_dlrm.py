"""The DLRM starts warm, and is the same as cold: ranks, loader workers, losses, signals."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gangs import (
    end_everything,
    left_of,
    make_gang,
    template_sockets,
    templates,
    templates_for_all_tests,
    wait_for,
    wait_for_end,
)
from tuner import report
from tuner.executors.local import LocalExecutor
from tuner.gang import RankExit, RunState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

COMMAND = (sys.executable, "-m", "workloads.dlrm", "--threads-per-rank=1")
SHORT = ("--global-batch-size=512", "--eval-at-samples=1300", "--max-samples=1300")
ENV = {"OMP_WAIT_POLICY": "PASSIVE"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dlrm") / "gangs"


@pytest.fixture(scope="module")
def executor(root: Path) -> Iterator[LocalExecutor]:
    with templates_for_all_tests():
        executor = LocalExecutor(root)
        yield executor
        end_everything(executor, root)


def learned(executor: LocalExecutor, key: str, *options: str) -> list[dict[str, float]]:
    """The values that rank 0 has told, one after the other."""
    gang = make_gang(key, (*COMMAND, *SHORT, *options), nproc_per_node=2, env=ENV)
    executor.launch(gang)
    wait_for(lambda: executor.poll(key).state is RunState.EXITED, limit_s=90)
    ended = wait_for_end(executor, key)
    assert ended.reason == "exited", executor.tail(key, 0, 2000)
    assert ended.ranks == (RankExit(rank=0, exit_code=0), RankExit(rank=1, exit_code=0))
    [chunk] = [c for c in executor.output(key, {}) if c.stream == "rank-0.metrics.jsonl"]
    lines = [report.parse(line) for line in chunk.data.decode().splitlines()]
    return [line.values for line in lines if line is not None]


def last(told: list[dict[str, float]], name: str) -> float:
    return [values[name] for values in told if name in values][-1]


def test_losses_are_those_of_a_cold_start(executor: LocalExecutor, root: Path) -> None:
    cold = learned(executor, "cold")
    [socket] = wait_for(lambda: template_sockets(root), limit_s=60)
    assert "refused" not in {path.name for path in socket.parent.iterdir()}
    for key, options in (("warm", ()), ("workers", ("--loader-workers=2",))):
        warm = learned(executor, key, *options)
        for name in ("loss", "auc", "loss_test"):
            assert last(warm, name) == last(cold, name)


def test_a_warm_gang_ends_when_it_is_stopped(executor: LocalExecutor, root: Path) -> None:
    wait_for(lambda: template_sockets(root), limit_s=60)
    executor.launch(make_gang("stop", (*COMMAND, "--loader-workers=1"), nproc_per_node=2, env=ENV))
    wait_for(lambda: [c for c in executor.output("stop", {}) if "metrics" in c.stream])
    assert len(left_of(root)) == 4
    [pid] = templates(root)
    executor.stop("stop", "enough")
    ended = wait_for_end(executor, "stop")
    assert [rank.exit_code for rank in ended.ranks] == [-15, -15]
    assert left_of(root) == []
    assert templates(root) == [pid]
