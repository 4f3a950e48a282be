"""The DLRM workload as real processes: ranks, loader workers, signals, exit codes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.gangs import is_running, wait_for
from tuner import report

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SHORT = ("--global-batch-size=512", "--eval-at-samples=1300", "--max-samples=1300")
DEADLINE_S = 90.0


@dataclass(frozen=True)
class Ranks:
    processes: list[subprocess.Popen[bytes]]
    metrics: list[Path]

    def lines(self, rank: int) -> list[report.Line]:
        path = self.metrics[rank]
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [line for line in map(report.parse, text.splitlines()) if line]

    def exit_codes(self, within_s: float = DEADLINE_S) -> list[int]:
        end_s = time.monotonic() + within_s
        return [p.wait(timeout=max(0.0, end_s - time.monotonic())) for p in self.processes]

    def mean_of_last(self, name: str) -> float:
        ranks = range(len(self.metrics))
        last = [[x.values[name] for x in self.lines(r) if name in x.values][-1] for r in ranks]
        return sum(last) / len(last)

    def value(self, name: str) -> float:
        return next(x.values[name] for x in self.lines(0) if name in x.values)


Start = Callable[..., Ranks]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts ranks as a launcher does; ends whatever a test leaves."""
    started: list[subprocess.Popen[bytes]] = []

    def start_ranks(*options: str, world_size: int = 1) -> Ranks:
        port, base = free_port(), len(started)
        metrics = [tmp_path / f"metrics-{base}-{rank}.jsonl" for rank in range(world_size)]
        for rank, path in enumerate(metrics):
            env = {
                **os.environ,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(world_size),
                "LOCAL_WORLD_SIZE": str(world_size),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "CUDA_VISIBLE_DEVICES": "",
                report.FILE_VARIABLE: str(path),
            }
            argv = [sys.executable, "-m", "workloads.dlrm", "--threads-per-rank=1", *options]
            log = path.with_suffix(".log").open("wb")
            started.append(subprocess.Popen(argv, env=env, stdout=log, stderr=log))
            log.close()
        return Ranks(processes=started[base:], metrics=metrics)

    yield start_ranks
    for process in started:
        process.kill()
        process.wait()


def wait_for_steps(ranks: Ranks) -> None:
    every = range(len(ranks.processes))
    wait_for(lambda: all(ranks.lines(rank) for rank in every), DEADLINE_S)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """What one rank learns from 1,300 samples."""
    path = tmp_path_factory.mktemp("alone") / "metrics.jsonl"
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", report.FILE_VARIABLE: str(path)}
    argv = [sys.executable, "-m", "workloads.dlrm", "--threads-per-rank=1", *SHORT]
    subprocess.run(argv, env=env, check=True, timeout=DEADLINE_S)
    values: dict[str, float] = {}
    for line in map(report.parse, path.read_text(encoding="utf-8").splitlines()):
        assert line is not None
        values |= line.values
    return values


@pytest.mark.parametrize(
    "way",
    [("--shard-strategy=table_wise", "--pipeline=ids"), ("--dense-sync=ddp", "--prefetch=2")],
    ids=["table_wise", "ddp"],
)
def test_two_ranks_learn_what_one_learns(
    start: Start, alone: dict[str, float], way: tuple[str, ...]
) -> None:
    ranks = start(*SHORT, *way, world_size=2)
    assert ranks.exit_codes() == [0, 0]
    assert [sum(line.samples for line in ranks.lines(r)) for r in (0, 1)] == [650, 650]
    assert sum(line.steps for line in ranks.lines(0)) == 3
    assert ranks.mean_of_last("loss") == pytest.approx(alone["loss"], abs=1e-5)
    assert ranks.value("loss_test") == pytest.approx(alone["loss_test"], abs=1e-5)
    assert ranks.value("auc") == pytest.approx(alone["auc"], abs=1e-4)
    assert ranks.value("quality_samples") == 1300


def test_loader_workers_bring_the_same_batches(start: Start, alone: dict[str, float]) -> None:
    ranks = start(*SHORT, "--loader-workers=2")
    assert ranks.exit_codes() == [0]
    assert ranks.mean_of_last("loss") == pytest.approx(alone["loss"], abs=1e-6)
    assert ranks.value("auc") == pytest.approx(alone["auc"], abs=1e-6)


def test_it_learns(start: Start) -> None:
    ranks = start("--global-batch-size=512", "--eval-at-samples=60000", "--max-samples=60000")
    assert ranks.exit_codes() == [0]
    lines = ranks.lines(0)
    losses = [line.values["loss"] for line in lines if "loss" in line.values]
    assert losses[0] > 0.64
    assert sum(losses[-5:]) / 5 < 0.6
    assert ranks.value("auc") > 0.73
    assert sum(line.pause_s for line in lines) > 0


def test_bf16_runs_and_learns_about_the_same(start: Start, alone: dict[str, float]) -> None:
    ranks = start(*SHORT, "--precision=bf16")
    assert ranks.exit_codes() == [0]
    assert ranks.value("loss_test") == pytest.approx(alone["loss_test"], abs=0.02)
    assert ranks.value("loss_test") != alone["loss_test"]


def test_a_batch_that_cannot_be_divided_ends_with_code_2(start: Start) -> None:
    ranks = start("--global-batch-size=1023", world_size=2)
    assert ranks.exit_codes() == [2, 2]
    log = ranks.metrics[0].with_suffix(".log").read_text(encoding="utf-8")
    assert "global batch size 1023 cannot be divided among 2 ranks" in log


def test_sigterm_ends_ranks_and_their_loader_workers(start: Start) -> None:
    ranks = start("--shard-strategy=table_wise", "--loader-workers=1", world_size=2)
    wait_for_steps(ranks)
    workers = [child.pid for p in ranks.processes for child in psutil.Process(p.pid).children()]
    assert len(workers) == 2
    for process in ranks.processes:
        process.send_signal(signal.SIGTERM)
    assert ranks.exit_codes(within_s=5) == [-signal.SIGTERM] * 2
    wait_for(lambda: not any(map(is_running, workers)), 2)


def test_sigterm_ends_a_rank_that_waits_for_another(start: Start) -> None:
    ranks = start("--shard-strategy=table_wise", world_size=2)
    wait_for_steps(ranks)
    waiting, halted = ranks.processes
    halted.send_signal(signal.SIGSTOP)
    wait_for(lambda: time.monotonic() - ranks.lines(0)[-1].t_s > 0.5, DEADLINE_S)
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(timeout=5) == -signal.SIGTERM


def test_starting_imports_neither_the_compiler_nor_recbole() -> None:
    """Each would cost a trial seconds before its first step."""
    code = (
        "import sys; from workloads import dlrm; dlrm.main(['--max-samples=2048']); "
        "assert not {'torch._dynamo', 'recbole'} & set(sys.modules)"
    )
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    assert report.PREFIX in done.stdout
