"""Failures as a controller sees them, with real gangs: found early, named, cheap."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.memory import MemoryStore
from tests.gangs import end_everything, left_of, python, wait_for
from tests.unit.builders import NOON, spec
from tests.unit.test_controller import make_searcher
from tuner.controller import Controller
from tuner.executors import processes
from tuner.executors.host import LocalHost
from tuner.executors.local import LocalExecutor
from tuner.loop import SystemClock
from tuner.model import Attempt, Failure, FailureKind, Job

pytestmark = pytest.mark.slow

CODE = str(Path(__file__).parents[2])
TELLS = f"import os, sys, time; sys.path.insert(0, {CODE!r}); from tuner import report\n"


class Bench:
    """A controller of one job with real gangs; only the attempts of its default matter."""

    def __init__(
        self, folder: Path, command: tuple[str, ...], nproc: int = 1, **changes: object
    ) -> None:
        self.root = folder / "gangs"
        self.executor = LocalExecutor(self.root, None)
        self.store = MemoryStore()
        workload = {"command": list(command), "launch": "per_rank", "nproc_per_node": nproc}
        job = spec(workload={**workload, "working_dir": CODE}, **changes)
        self.store.save(Job(id="job_1", spec=job, created_at=NOON))
        lease = self.store.acquire_lease("test", 1e9)
        assert lease is not None
        self._controller = Controller(
            self.store,
            self.executor,
            SystemClock(),
            LocalHost(),
            make_searcher=make_searcher,
            epoch=lease.epoch,
        )

    @property
    def attempts(self) -> list[Attempt]:
        return self.store.attempts("job_1", 0)

    def step(self) -> None:
        self._controller.step("job_1")

    def until_ended(self, number: int = 0, limit_s: float = 30.0) -> Attempt:
        """Steps until that attempt has ended."""

        def ended() -> bool:
            self.step()
            return len(self.attempts) > number and self.attempts[number].state.is_finished

        wait_for(ended, limit_s)
        return self.attempts[number]

    def until_failed(self) -> Failure:
        failure = self.until_ended().failure
        assert failure is not None
        return failure


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[MakeBench]:
    made: list[Bench] = []

    def make(command: tuple[str, ...], nproc: int = 1, **changes: object) -> Bench:
        made.append(Bench(tmp_path, command, nproc, **changes))
        return made[-1]

    yield make
    for one in made:
        end_everything(one.executor, one.root)


def rank_pids(root: Path, count: int) -> dict[int, int]:
    """Rank -> pid, once so many run."""
    found = wait_for(lambda: members if len(members := left_of(root)) == count else None)
    return {_rank(process.pid): process.pid for process in found}


def _rank(pid: int) -> int:
    for variable in processes.environ_of(pid):
        if variable.startswith(b"RANK="):
            return int(variable[5:])
    raise AssertionError("no rank")


def test_a_stopped_rank_is_a_stall_within_seconds_and_is_named(bench: MakeBench) -> None:
    command = (sys.executable, "-m", "tests.programs.steps")
    limits = {"stall_s": 2.0, "min_window_s": 60.0}
    one = bench(command, nproc=2, measuring=limits)
    one.step()
    metrics = one.root / "job_1-0-0" / "rank-1.metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") > 5)
    pids = rank_pids(one.root, 2)
    os.kill(pids[1], signal.SIGSTOP)
    began_s = time.monotonic()
    failure = one.until_failed()
    took_s = time.monotonic() - began_s
    assert (failure.kind, failure.rank) == (FailureKind.STALLED, 1)
    assert "rank 1 was held by a signal (SIGSTOP)" in failure.cause
    assert "rank 0 " in failure.cause
    assert 2.0 < took_s < 8.0
    assert not any(processes.look(pid) for pid in pids.values())


def test_a_rank_that_hangs_by_itself_is_named_by_its_steps(bench: MakeBench) -> None:
    code = """
rank, step = int(os.environ["RANK"]), 0
while True:
    step += 1
    if rank == 1 and step == 5:
        time.sleep(600)
    time.sleep(0.03)
    if rank == 0 and step == 9:
        time.sleep(600)
    report.step(samples=1)
"""
    one = bench(python(TELLS + code), nproc=2, measuring={"stall_s": 1.5})
    failure = one.until_failed()
    assert (failure.kind, failure.rank) == (FailureKind.STALLED, 1)
    assert "rank 1 is behind (steps: rank 0 8, rank 1 4)" in failure.cause


def test_a_rank_that_ends_before_the_others_is_named(bench: MakeBench) -> None:
    code = """
for step in range(5):
    time.sleep(0.03)
    report.step(samples=1)
if os.environ["RANK"] == "0":
    time.sleep(600)
"""
    one = bench(python(TELLS + code), nproc=2, measuring={"stall_s": 1.5})
    failure = one.until_failed()
    assert (failure.kind, failure.rank) == (FailureKind.CRASH, 1)
    assert "rank 1 ended with 0 after 5 steps" in failure.cause


def test_a_pause_is_no_stall_until_its_own_limit(bench: MakeBench) -> None:
    code = """
for step in range(10):
    time.sleep(0.03)
    report.step(samples=1)
with report.pause():
    time.sleep(1.8)
for step in range(30):
    time.sleep(0.03)
    report.step(samples=1)
"""
    limits = {"stall_s": 1.0, "pause_s": 20.0, "min_window_s": 30.0}
    one = bench(python(TELLS + code), measuring=limits)
    ended = one.until_ended()
    assert ended.failure is None
    assert ended.measurement is not None
    assert ended.measurement.steps == 40


@pytest.mark.parametrize("how", ["report", "log"])
def test_a_loss_that_is_no_number_ends_a_trial_at_once(bench: MakeBench, how: str) -> None:
    tell = {
        "report": "report.step(samples=1, loss=loss)",
        "log": "print(f'step {step} loss {loss}', flush=True)",
    }[how]
    code = f"""
for step in range(2000):
    time.sleep(0.03)
    loss = 0.5 if step < 10 else float("nan")
    {tell}
"""
    pattern = r"step (?P<step>\d+) loss (?P<loss>\S+)"
    one = bench(python(TELLS + code), measuring={"min_window_s": 60.0})
    if how == "log":
        command = list(python(TELLS + code))
        log = {"format": "report", "patterns": [pattern], "samples_per_step": "8"}
        workload = {"command": command, "launch": "per_rank", "working_dir": CODE, "log": log}
        changed = spec(workload=workload, measuring={"min_window_s": 60.0})
        one.store.save(Job(id="job_1", spec=changed, created_at=NOON))
    began_s = time.monotonic()
    failure = one.until_failed()
    assert failure.kind is FailureKind.DIVERGED
    assert time.monotonic() - began_s < 10


def test_too_much_memory_costs_seconds(bench: MakeBench) -> None:
    code = "held = []\nwhile True:\n    held.append(bytearray(2**23)); time.sleep(0.01)"
    one = bench(python(TELLS + code), resources={"memory_limit_gib": 0.2})
    began_s = time.monotonic()
    assert one.until_failed().kind is FailureKind.HOST_OUT_OF_MEMORY
    assert time.monotonic() - began_s < 6
    assert one.attempts[0].spend.wall_s < 5


def test_a_port_that_was_taken_meanwhile_is_another_one_the_next_time(
    bench: MakeBench, tmp_path: Path
) -> None:
    ports = tmp_path / "ports"
    code = f"""
import socket
port = int(os.environ["MASTER_PORT"])
with open({str(ports)!r}, "a") as file:
    file.write(f"{{port}}\\n")
if len(open({str(ports)!r}).readlines()) == 1:
    # Somebody else was faster.
    taker = socket.create_server(("127.0.0.1", port))
server = socket.create_server(("127.0.0.1", port))
for step in range(30):
    time.sleep(0.03)
    report.step(samples=1)
"""
    one = bench(python(TELLS + code))
    failure = one.until_failed()
    assert failure.kind is FailureKind.INFRASTRUCTURE
    assert "Address already in use" in failure.cause
    assert "another port" in failure.remedy
    assert one.until_ended(1).measurement is not None
    one_port, other_port = ports.read_text().split()[:2]
    assert one_port != other_port
    with socket.socket() as free:
        free.bind(("127.0.0.1", int(one_port)))


def test_a_killed_supervisor_is_a_loss_that_is_made_good_and_charged(bench: MakeBench) -> None:
    code = "for _ in range(80):\n    time.sleep(0.02); report.step(samples=1)"
    one = bench(python(TELLS + code), measuring={"min_window_s": 60.0})
    one.step()
    folder = one.root / "job_1-0-0"
    wait_for((folder / "usage.json").exists)
    identity = processes.read_identity(folder / "supervisor.json")
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    failure = one.until_failed()
    assert failure.kind is FailureKind.LOST
    assert "supervisor died" in failure.cause
    assert one.attempts[0].spend.wall_s > 0
    assert one.until_ended(1).measurement is not None


def test_a_flooding_log_hides_neither_the_time_nor_the_end(bench: MakeBench) -> None:
    code = """
block = (b"noise " * 1365 + b"\\n") * 128
while True:
    os.write(1, block); report.step(samples=1)
"""
    limits = {"max_trial_s": 1.0, "min_window_s": 60.0, "stall_s": 1.0}
    one = bench(python(TELLS + code), measuring=limits)
    longest_s = 0.0
    while not (one.attempts and one.attempts[0].state.is_finished):
        before_s = time.monotonic()
        one.step()
        # The lease of the controller is renewed between steps.
        longest_s = max(longest_s, time.monotonic() - before_s)
        time.sleep(0.02)
    assert longest_s < 5
    [ended] = one.attempts[:1]
    assert ended.measurement is not None
    assert ended.measurement.stopped == "cap"
    assert ended.spend.wall_s < 6
