"""What every executor promises."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes import FakeClock, FakeExecutor, FakeOutcome
from tests.gangs import PROGRAMS, end_everything, make_gang, program, python, warm_executor
from tuner import report
from tuner.executors import local
from tuner.executors.files import GangFolder
from tuner.executors.local import LocalExecutor
from tuner.gang import Gang, RankExit, RunState, RunStatus
from tuner.interfaces import Executor

TRAINS = """
import os, sys, time
sys.path.insert(0, os.environ["TRIMTAB_CODE"])
from tuner import report
print("training", flush=True)
for step in range(5):
    time.sleep(0.03)
    report.step(samples=10, loss=1.0)
report.value(auc=0.75)
print("trained", flush=True)
"""
FAILS = """
import os, sys, time
if os.environ["RANK"] == "1":
    sys.exit("the trouble")
time.sleep(600)
"""
LASTS = """
import time
print("waiting", flush=True)
time.sleep(600)
"""
CODE = str(Path(report.__file__).parents[1])


@dataclass(frozen=True)
class Bench:
    """An executor, and the way its time passes."""

    executor: Executor
    sleep: Callable[[float], None]
    again: Callable[[], Executor]
    """The executor that a restarted controller would make."""
    command: Callable[[str], tuple[str, ...]] = python

    def until(self, handle: str, *states: RunState) -> RunStatus:
        for _ in range(1000):
            status = self.executor.poll(handle)
            if status.state in states:
                return status
            self.sleep(0.03)
        raise AssertionError(f"{handle} is still {status}")

    def until_ended(self, handle: str) -> RunStatus:
        return self.until(handle, RunState.EXITED)


def _outcome(gang: Gang) -> FakeOutcome:
    code = gang.command.argv[-1]
    if code == FAILS:
        return FakeOutcome(exit_code=1, failed_rank=1, log="the trouble", duration_s=1.0)
    if code == LASTS:
        return FakeOutcome(samples_per_s=0.0, duration_s=None)
    return FakeOutcome(startup_s=0.1, duration_s=2.0, auc=0.75, log="trained")


def _fake(_folder: Path) -> Iterator[Bench]:
    clock = FakeClock()
    executor = FakeExecutor(_outcome, clock)
    yield Bench(executor, clock.sleep, lambda: executor)


def _local(folder: Path) -> Iterator[Bench]:
    executor = LocalExecutor(folder)
    yield Bench(executor, time.sleep, lambda: LocalExecutor(folder))
    end_everything(executor, folder)


def _no_cold_start(folder: GangFolder) -> None:
    raise AssertionError(f"{folder.path.name} was not started warm")


def _warm(folder: Path) -> Iterator[Bench]:
    with warm_executor(folder) as executor, pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "_start_supervisor", _no_cold_start)
        yield Bench(executor, time.sleep, lambda: LocalExecutor(folder, PROGRAMS), program)


@pytest.fixture(params=[_fake, _local, _warm], ids=["fake", "local", "warm"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    yield from request.param(tmp_path / "gangs")


Make = Callable[..., Gang]


@pytest.fixture
def gang(bench: Bench) -> Make:
    def make(code: str, key: str = "job-0-0", lease_s: float = 60.0) -> Gang:
        env = {"TRIMTAB_CODE": CODE}
        return make_gang(key, bench.command(code), nproc_per_node=2, env=env, lease_s=lease_s)

    return make


def test_a_line_is_found_by_where_it_ends(bench: Bench, gang: Make) -> None:
    handle = bench.executor.launch(gang(TRAINS))
    bench.until_ended(handle)
    (stream, data), *_ = read_all(bench.executor, handle, {}).items()
    first = data.index(b"\n") + 1
    assert bench.executor.line(handle, stream, first) == data[: first - 1].decode()
    assert bench.executor.line(handle, stream, len(data)) == data.splitlines()[-1].decode()
    for wrong in (0, first - 1, len(data) + 1):
        assert bench.executor.line(handle, stream, wrong) == ""
    assert bench.executor.line(handle, "request.json", first) == ""
    assert bench.executor.line("nobody-0-0", stream, first) == ""


def read_all(executor: Executor, handle: str, cursor: dict[str, int]) -> dict[str, bytes]:
    """Everything from the cursor on, which moves along."""
    found: dict[str, bytes] = {}
    while chunks := executor.output(handle, cursor):
        for chunk in chunks:
            assert chunk.offset == cursor.get(chunk.stream, 0)
            found[chunk.stream] = found.get(chunk.stream, b"") + chunk.data
            cursor[chunk.stream] = chunk.offset + len(chunk.data)
    return found


def test_gang_runs_to_its_end(bench: Bench, gang: Make) -> None:
    handle = bench.executor.launch(gang(TRAINS))
    assert bench.executor.poll(handle).state in (RunState.STARTING, RunState.RUNNING)
    status = bench.until_ended(handle)
    assert status.reason == "exited"
    assert status.ranks == (RankExit(rank=0, exit_code=0), RankExit(rank=1, exit_code=0))
    assert status.first_failed_rank is None
    assert 0 < status.elapsed_s < 60
    assert status.usage["peak_memory_gib"] > 0
    assert status.usage["cpu_s"] > 0


def test_status_of_an_ended_gang_stays(bench: Bench, gang: Make) -> None:
    handle = bench.executor.launch(gang(TRAINS))
    first = bench.until_ended(handle)
    bench.sleep(0.1)
    later = bench.again().poll(handle)
    assert later.now_s > first.now_s
    assert (later.elapsed_s, later.ranks) == (first.elapsed_s, first.ranks)


def test_elapsed_time_grows_with_the_hosts_clock(bench: Bench, gang: Make) -> None:
    handle = bench.executor.launch(gang(LASTS))
    first = bench.until(handle, RunState.RUNNING)
    bench.sleep(0.1)
    second = bench.executor.poll(handle)
    passed_s = second.now_s - first.now_s
    assert passed_s >= 0.09
    assert second.elapsed_s - first.elapsed_s == pytest.approx(passed_s, abs=0.01)


def test_ranks_report_in_the_wire_format(bench: Bench, gang: Make) -> None:
    handle = bench.executor.launch(gang(TRAINS))
    status = bench.until_ended(handle)
    written = read_all(bench.executor, handle, {})
    for rank in (0, 1):
        text = written[f"rank-{rank}.metrics.jsonl"].decode()
        lines = [line for each in text.splitlines() if (line := report.parse(each))]
        assert {line.rank for line in lines} == {rank}
        assert sum(line.samples for line in lines) >= 50
        assert all(0 < line.t_s < status.now_s for line in lines)
    values = [report.parse(line) for line in written["rank-0.metrics.jsonl"].decode().splitlines()]
    assert any(line is not None and line.values.get("auc") == 0.75 for line in values)


def test_output_comes_piece_by_piece_and_each_piece_once(bench: Bench, gang: Make) -> None:
    handle = bench.executor.launch(gang(TRAINS))
    cursor: dict[str, int] = {}
    pieces: dict[str, bytes] = {}
    while bench.executor.poll(handle).state is not RunState.EXITED:
        for stream, data in read_all(bench.executor, handle, cursor).items():
            pieces[stream] = pieces.get(stream, b"") + data
        bench.sleep(0.05)
    for stream, data in read_all(bench.executor, handle, cursor).items():
        pieces[stream] = pieces.get(stream, b"") + data
    assert pieces == read_all(bench.again(), handle, {})
    assert bench.executor.output(handle, cursor) == []


def test_every_byte_of_a_log_is_dated(bench: Bench, gang: Make) -> None:
    handle = bench.executor.launch(gang(TRAINS))
    status = bench.until_ended(handle)
    logs = [c for c in bench.executor.output(handle, {}) if c.stream.endswith(".log")]
    assert logs
    for chunk in logs:
        offsets = [offset for offset, _ in chunk.marks]
        seconds = [second for _, second in chunk.marks]
        assert offsets == sorted(offsets)
        assert offsets[-1] == chunk.offset + len(chunk.data)
        assert seconds == sorted(seconds)
        assert status.now_s - 60 < seconds[0] <= seconds[-1] <= status.now_s


def test_tail_is_the_end_of_a_ranks_log(bench: Bench, gang: Make) -> None:
    handle = bench.executor.launch(gang(TRAINS))
    bench.until_ended(handle)
    assert bench.executor.tail(handle, 0, 8) == "trained\n"
    assert bench.executor.tail(handle, 0, 4096).endswith("trained\n")
    assert bench.executor.tail(handle, 7, 100) == ""


def test_a_failed_rank_ends_the_gang(bench: Bench, gang: Make) -> None:
    handle = bench.executor.launch(gang(FAILS))
    status = bench.until_ended(handle)
    assert status.reason == "rank_failed"
    assert status.first_failed_rank == 1
    assert status.ranks == (RankExit(rank=0, exit_code=-15), RankExit(rank=1, exit_code=1))
    assert "the trouble" in bench.executor.tail(handle, 1, 4096)


def test_launching_again_finds_the_running_gang(bench: Bench, gang: Make) -> None:
    handle = bench.executor.launch(gang(LASTS))
    bench.until(handle, RunState.RUNNING)
    before = bench.executor.poll(handle)
    assert bench.again().launch(gang(LASTS)) == handle
    assert bench.executor.poll(handle).elapsed_s >= before.elapsed_s


def test_launching_again_finds_the_ended_gang(bench: Bench, gang: Make) -> None:
    handle = bench.executor.launch(gang(TRAINS))
    ended = bench.until_ended(handle)
    written = read_all(bench.executor, handle, {})
    assert bench.again().launch(gang(TRAINS)) == handle
    bench.sleep(0.3)
    assert bench.executor.poll(handle).elapsed_s == ended.elapsed_s
    assert read_all(bench.executor, handle, {}) == written


def test_gangs_are_apart(bench: Bench, gang: Make) -> None:
    first = bench.executor.launch(gang(LASTS, "job-0-0"))
    second = bench.executor.launch(gang(LASTS, "job-0-1"))
    bench.executor.stop(first, "enough")
    bench.until_ended(first)
    assert bench.executor.poll(second).state is not RunState.EXITED


def test_stop_keeps_the_first_reason(bench: Bench, gang: Make) -> None:
    handle = bench.executor.launch(gang(LASTS))
    bench.until(handle, RunState.RUNNING)
    bench.executor.stop(handle, "beaten")
    bench.again().stop(handle, "later")
    status = bench.until_ended(handle)
    bench.executor.stop(handle, "after its end")
    assert (status.reason, status.first_failed_rank) == ("beaten", None)
    assert bench.executor.poll(handle).reason == "beaten"
    assert [rank.exit_code for rank in status.ranks] == [-15, -15]


def test_a_gang_without_controller_ends_by_itself(bench: Bench, gang: Make) -> None:
    handle = bench.executor.launch(gang(LASTS, lease_s=1.0))
    bench.until(handle, RunState.RUNNING)
    bench.sleep(2.0)
    assert bench.until_ended(handle).reason == "controller_lost"


def test_polling_keeps_a_gang_alive(bench: Bench, gang: Make) -> None:
    handle = bench.executor.launch(gang(LASTS, lease_s=2.0))
    for _ in range(30):
        bench.sleep(0.1)
        assert bench.executor.poll(handle).state is not RunState.EXITED


def test_an_unknown_handle_is_lost(bench: Bench) -> None:
    for handle in ("nobody-0-0", "../elsewhere", ""):
        assert bench.executor.poll(handle).state is RunState.LOST
        bench.executor.stop(handle, "no matter")
        assert bench.executor.output(handle, {}) == []
        assert bench.executor.tail(handle, 0, 100) == ""
