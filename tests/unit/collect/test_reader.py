import json
import random
import tracemalloc
from collections.abc import Sequence

import pytest

from tuner.collect import patterns
from tuner.collect.patterns import MAX_TIMEOUTS, UserPatterns
from tuner.collect.reader import RecordReader
from tuner.gang import FILES, Chunk, Record, RunState, RunStatus
from tuner.model import LaunchCommand
from tuner.spec import LogFile, LogSource

LOG, METRICS = "rank-0.log", "rank-0.metrics.jsonl"


def reader_of(world_size: int = 1, batch: int = 32, **log: object) -> RecordReader:
    command = LaunchCommand(
        argv=("x",),
        env={},
        working_dir="/",
        nnodes=1,
        nproc_per_node=world_size,
        per_rank=True,
    )
    return RecordReader(LogSource(**log), {"batch": batch}, command)  # type: ignore[arg-type]


def reported(t: float, n: int = 1, rank: int = 0, **values: float) -> str:
    line = {"t": t, "rank": rank, "n": n, "samples": 8.0 * n, "pause_s": 0.5, "values": values}
    return json.dumps(line)


def log_chunk(lines: Sequence[str], stream: str = LOG, offset: int = 0, t_s: float = 1.0) -> Chunk:
    """Every line whole by its own second."""
    data, marks = b"", []
    for index, line in enumerate(lines):
        data += line.encode() + b"\n"
        marks.append((offset + len(data), t_s + index))
    return Chunk(stream=stream, offset=offset, data=data, marks=tuple(marks))


def steps_and_samples(records: Sequence[Record]) -> list[tuple[int, float]]:
    return [(r.steps, r.samples) for r in records]


def test_reported_lines_become_records() -> None:
    data = f"{reported(5.0, n=2, loss=0.5)}\n{reported(6.0, rank=1)}\n".encode()
    reader = reader_of()
    first, second = reader.feed(Chunk(stream=METRICS, offset=0, data=data))
    assert first == Record(
        rank=0,
        t_s=5.0,
        steps=2,
        samples=16.0,
        pause_s=0.5,
        values={"loss": 0.5},
        source=f"{METRICS}:{data.index(b'}}') + 3}",
    )
    assert (second.rank, second.t_s) == (1, 6.0)
    assert reader.cursor == {METRICS: len(data)}
    assert reader.bad_lines == 0


def test_a_rank_that_steps_back_in_time_is_dropped_and_counted() -> None:
    lines = [reported(5.0), reported(4.0), reported(4.5, rank=1), reported(5.0)]
    reader = reader_of()
    records = reader.feed(log_chunk(lines, METRICS))
    assert [(r.rank, r.t_s) for r in records] == [(0, 5.0), (1, 4.5), (0, 5.0)]
    assert reader.bad_lines == 1


def test_values_that_are_no_numbers_are_dropped_and_counted() -> None:
    lines = [
        reported(1.0, loss=float("nan"), auc=0.5),
        reported(float("nan")),
        reported(2.0, n=-1),
        "{",
        "null",
    ]
    reader = reader_of()
    (record,) = reader.feed(log_chunk(lines, METRICS))
    assert record.values == {"auc": 0.5}
    assert reader.bad_lines == 5


def test_reported_lines_are_found_in_the_log_as_well() -> None:
    lines = ["hello", f"[trimtab] {reported(3.0)}", f"[rank1]: [trimtab] {reported(4.0, rank=1)}"]
    assert [(r.rank, r.t_s) for r in reader_of().feed(log_chunk(lines))] == [(0, 3.0), (1, 4.0)]


def test_beside_a_named_format_reports_add_values_only() -> None:
    reader = reader_of(format="key_value")
    (record,) = reader.feed(log_chunk([reported(3.0, auc=0.75)], METRICS))
    assert (record.steps, record.samples, record.values) == (0, 0.0, {"auc": 0.75})


def test_with_auto_a_job_that_reports_is_not_counted_twice() -> None:
    reader = reader_of(format="auto", samples_per_step="batch")
    reader.feed(log_chunk([reported(3.0)], METRICS))
    assert reader.feed(log_chunk([f"step={n}" for n in range(9)])) == []


def test_steps_and_samples_are_those_since_the_line_before() -> None:
    reader = reader_of(format="key_value", samples_per_step="2 * batch")
    records = reader.feed(log_chunk(["step=10 loss=0.5", "step=10", "step=15", "x", "step=16"]))
    assert steps_and_samples(records) == [(1, 0.0), (5, 320.0), (1, 64.0)]
    assert [r.t_s for r in records] == [1.0, 3.0, 5.0]
    assert records[0].values == {"loss": 0.5}
    assert records[1].source == f"{LOG}:{len('step=10 loss=0.5#step=10#step=15#')}"


def test_a_rate_in_the_line_is_kept_as_a_value() -> None:
    reader = reader_of(format="key_value")
    records = reader.feed(log_chunk(["step=1 throughput=1,000", "step=2 throughput=2000"]))
    assert [r.values["samples_per_s"] for r in records] == [1000.0, 2000.0]
    assert steps_and_samples(records) == [(1, 0.0), (1, 0.0)]


def test_counted_samples_need_no_batch_size() -> None:
    reader = reader_of(patterns=(r"seen (?P<samples>\d+)",))
    records = reader.feed(log_chunk(["seen 100", "seen 300", "seen 300", "seen 700"]))
    assert steps_and_samples(records) == [(1, 0.0), (1, 200.0), (1, 400.0)]


def test_a_counter_that_starts_anew_pauses_the_clock() -> None:
    reader = reader_of(format="key_value", samples_per_step="batch")
    records = reader.feed(log_chunk(["step=80", "step=90", "step=5", "step=15"]))
    assert steps_and_samples(records) == [(1, 0.0), (10, 320.0), (0, 0.0), (10, 320.0)]
    assert [r.pause_s for r in records] == [0.0, 0.0, 1.0, 0.0]
    assert reader.bad_lines == 0


def test_a_line_that_straggles_is_dropped_and_counted() -> None:
    reader = reader_of(format="key_value", samples_per_step="batch")
    records = reader.feed(log_chunk(["step=80", "step=90", "step=85", "step=100"]))
    assert steps_and_samples(records) == [(1, 0.0), (10, 320.0), (10, 320.0)]
    assert reader.bad_lines == 1


def test_evaluation_between_lines_is_a_pause() -> None:
    lines = [
        "10%|# | 10/100 [00:01<00:10, 9.5it/s]",
        "20%|# | 20/100 [00:01<00:10, 9.5it/s]",
        "Validation: 50%|# | 5/10 [00:01<00:10, 9.5it/s]",
        "80%|# | 4/5 [00:01<00:10, 9.5it/s]",
        "30%|# | 30/100 [00:01<00:10, 9.5it/s]",
        "40%|# | 40/100 [00:01<00:10, 9.5it/s]",
    ]
    records = reader_of(format="tqdm", samples_per_step="batch").feed(log_chunk(lines))
    assert steps_and_samples(records) == [(1, 0.0), (10, 320.0), (0, 0.0), (10, 320.0)]
    assert sum(r.pause_s for r in records) == 3.0


def test_a_pause_that_the_log_times_itself_keeps_the_steps() -> None:
    lines = [
        "Iter: 100 Time(100 iters): 2.5s Loss: 0.25",
        "Eval Time for 30 iters: 0.5s",
        "Iter: 200 Time(100 iters): 2.5s Loss: 0.25",
    ]
    records = reader_of(format="hugectr", samples_per_step="batch").feed(log_chunk(lines))
    assert steps_and_samples(records) == [(1, 0.0), (0, 0.0), (100, 3200.0)]
    assert [r.pause_s for r in records] == [0.0, 0.5, 0.0]


def test_numbers_that_cannot_be_are_dropped_and_counted() -> None:
    reader = reader_of(format="key_value")
    records = reader.feed(log_chunk(["loss=nan auc=0.5", "throughput=-5", "step=-1"]))
    assert [r.values for r in records] == [{"auc": 0.5}]
    assert reader.bad_lines == 3


def test_lines_without_a_time_are_told_with_the_next_that_has_one() -> None:
    text = b"step=1\nloss=0.5\nstep=5\nstep=9\n"
    marks = ((len(b"step=1\n"), 1.0),)
    reader = reader_of(format="key_value", samples_per_step="batch")
    records = reader.feed(Chunk(stream=LOG, offset=0, data=text, marks=marks))
    assert steps_and_samples(records) == [(1, 0.0)]
    (late,) = reader.feed(log_chunk(["step=11"], offset=len(text), t_s=3.0))
    assert (late.steps, late.samples, late.values) == (10, 320.0, {"loss": 0.5})


def test_a_line_is_dated_by_the_first_mark_behind_it() -> None:
    marks = ((3, 1.0), (8, 2.0), (14, 3.0))
    chunk = Chunk(stream=LOG, offset=0, data=b"step=1\nstep=2\n", marks=marks)
    records = reader_of(format="key_value").feed(chunk)
    assert [r.t_s for r in records] == [2.0, 3.0]


def test_marks_that_step_back_are_dropped_and_counted() -> None:
    marks = ((7, 5.0), (14, 4.0))
    reader = reader_of(format="key_value")
    chunk = Chunk(stream=LOG, offset=0, data=b"step=1\nstep=2\n", marks=marks)
    assert len(reader.feed(chunk)) == 1
    assert reader.bad_lines == 1


def test_ranks_that_print_the_same_lines_count_once() -> None:
    reader = reader_of(world_size=2, format="key_value", samples_per_step="batch")
    lines = ["step=1", "step=2", "auc=0.5"]
    first = reader.feed(log_chunk(lines, "rank-0.log"))
    second = reader.feed(log_chunk(lines, "rank-1.log"))
    assert steps_and_samples(first) == [(1, 0.0), (1, 32.0), (0, 0.0)]
    assert [(r.rank, r.steps, r.samples) for r in second] == [
        (1, 1, 0.0),
        (1, 1, 0.0),
        (0, 0, 0.0),
    ]


def test_the_prefix_of_a_launcher_names_the_rank() -> None:
    reader = reader_of(format="key_value")
    records = reader.feed(log_chunk(["[default1]:step=1", "[rank1]: step=2", "step=1"]))
    assert [(r.rank, r.steps) for r in records] == [(1, 1), (1, 1), (0, 1)]


def test_a_rate_per_rank_is_multiplied_by_the_ranks() -> None:
    line = "step: 1  loss: 8.0  memory: 1.0GiB(1%)  tps: 1,000"
    (record,) = reader_of(world_size=4, format="torchtitan").feed(log_chunk([line]))
    assert record.values["tokens_per_s"] == 4000.0
    assert "samples_per_s" not in record.values


def test_auto_keeps_the_first_format_that_recognises_two_lines() -> None:
    reader = reader_of(format="auto", samples_per_step="batch")
    lines = [
        "lr=0.1 world_size=2",
        "step=1",
        "Finished training it 10/100 of epoch 0, 12.5 ms/it, loss 0.5",
        "Finished training it 20/100 of epoch 0, 12.5 ms/it, loss 0.5",
        "step=2 step=3",
        "Finished training it 30/100 of epoch 0, 12.5 ms/it, loss 0.5",
    ]
    records = reader.feed(log_chunk(lines))
    assert [(r.t_s, r.steps) for r in records] == [(3.0, 1), (4.0, 10), (6.0, 10)]


def test_patterns_come_before_the_format() -> None:
    reader = reader_of(
        format="key_value",
        patterns=(
            r"it (?P<step>\d+) took (?P<step_time_ms>[\d.]+)ms",
            r"mem (?P<peak_memory_mb>\S+)",
        ),
    )
    lines = ["it 3 took 12.5ms mem x loss=0.5", "loss=0.25"]
    records = reader.feed(log_chunk(lines))
    assert [r.values for r in records] == [{"step_time_s": 0.0125}, {"loss": 0.25}]


def test_a_pattern_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "TIMEOUT_S", 0.01)
    slow = UserPatterns([r"(?P<x>(?:1|11)+)$", r"^(?P<step>\d)"])
    line = "1" * 60 + "!"
    for _ in range(MAX_TIMEOUTS + 2):
        assert slow.read(line) == {"step": 1.0}
    assert slow.timeouts == MAX_TIMEOUTS


CATASTROPHIC = r"step (?P<step>(?:\d|\d\d)+) done$"
"""Two ways to read each pair of digits, so that the time grows exponentially with their number."""


def test_a_catastrophic_pattern_is_switched_off_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "TIMEOUT_S", 0.05)
    line = f"step {'1' * 60} done!"
    reader = reader_of(format="key_value", patterns=(CATASTROPHIC, r"auc (?P<auc>[\d.]+)"))
    assert reader.feed(log_chunk([line] * 1000)) == []
    assert reader.bad_lines == MAX_TIMEOUTS
    (note,) = reader.notes()
    assert CATASTROPHIC in note
    assert "no longer tried" in note
    (record,) = reader.feed(log_chunk(["auc 0.75"], offset=reader.cursor[LOG]))
    assert record.values == {"auc": 0.75}


def test_the_share_of_bad_lines_is_of_all_lines() -> None:
    reader = reader_of(format="key_value")
    assert reader.bad_share == 0.0
    reader.feed(log_chunk(["loss=nan", *["hello"] * 97, "x" * 70_000, "step=1"]))
    assert (reader.bad_lines, reader.bad_share) == (2, 0.02)


def own(stream: str, lines: Sequence[str], t_s: float = 1.0, offset: int = 0) -> Chunk:
    return log_chunk(lines, FILES + stream, offset, t_s)


def test_what_a_tool_measured_completes_the_usage() -> None:
    reader = reader_of(files=(LogFile(path="gpu.csv", format="nvidia_smi"),))
    header = "index, utilization.gpu [%], power.draw [W]"
    assert reader.feed(own("gpu.csv", [header, "0, 50 %, 100 W", "0, 70 %, 300 W"])) == []
    status = RunStatus(state=RunState.EXITED, usage={"gpu_power_w": 7.0, "cpu_s": 1.0})
    completed = reader.completed(status)
    assert completed.usage == pytest.approx(
        # The executor's own figure comes first.
        {"gpu_power_w": 7, "cpu_s": 1, "gpu_utilization_pct": 60, "energy_j": 200}
    )
    first = len(header) + 1 + len("0, 50 %, 100 W") + 1
    source = f"files/gpu.csv:{first}-{first + len('0, 70 %, 300 W') + 1}"
    assert reader.usage_sources(status)["gpu_utilization_pct"] == source


def test_the_first_of_two_files_that_tell_the_same_is_believed() -> None:
    files = (
        LogFile(path="a", format="dcgm", columns=("GPUTL",)),
        LogFile(path="b", format="dcgm", columns=("GPUTL", "POWER")),
    )
    reader = reader_of(files=files)
    reader.feed(own("b", ["GPU 0  90  100"]))
    reader.feed(own("a", ["GPU 0  10"]))
    status = reader.completed(RunStatus(state=RunState.EXITED))
    assert status.usage == {"gpu_utilization_pct": 10, "gpu_power_w": 100}
    assert reader.usage_sources(RunStatus(state=RunState.EXITED)) == {
        "gpu_utilization_pct": "files/a:10",
        "gpu_power_w": "files/b:15",
    }


@pytest.mark.parametrize("format_", ["key_value", "report", "auto"])
def test_a_file_with_a_log_format_counts_the_steps(format_: str) -> None:
    files = (LogFile(path="dll.json", format="dllogger"),)
    patterns = (r"auc=(?P<auc>\S+) at (?P<step>\d+)",)
    reader = reader_of(format=format_, samples_per_step="batch", files=files, patterns=patterns)
    lines = [f'DLLL {{"type": "LOG", "step": {n}, "data": {{"loss": 0.5}}}}' for n in (10, 30)]
    assert steps_and_samples(reader.feed(own("dll.json", lines))) == [(1, 0.0), (20, 640.0)]
    (record,) = reader.feed(log_chunk(["auc=0.5 at 99"]))
    assert (record.steps, record.samples, record.values) == (0, 0.0, {"auc": 0.5})
    (record,) = reader.feed(log_chunk([reported(9.0, n=3, loss=0.25)], METRICS))
    assert (record.steps, record.samples, record.values) == (0, 0.0, {"loss": 0.25})


def test_a_file_that_nobody_named_is_passed_over() -> None:
    assert reader_of(format="key_value").feed(own("other.log", ["step=1"])) == []


def test_every_way_of_cutting_gives_the_same_records() -> None:
    lines = [f"\x1b[32mstep={n}\x1b[0m loss=0.{n}\r" for n in range(1, 40)] + ["日本 step=40\r\n\n"]
    whole = log_chunk(lines)
    expected = reader_of(format="key_value").feed(whole)
    assert len(expected) == 40
    rng = random.Random(7)
    for _ in range(20):
        reader = reader_of(format="key_value")
        records: list[Record] = []
        while (start := reader.cursor.get(LOG, 0)) < len(whole.data):
            size = rng.choice((1, 2, 7, 100, 1000))
            piece = whole.data[start : start + size]
            records += reader.feed(Chunk(stream=LOG, offset=start, data=piece, marks=whole.marks))
        assert records == expected


def test_what_was_fed_before_is_passed_over() -> None:
    chunk = log_chunk(["step=1", "step=2"])
    reader = reader_of(format="key_value")
    assert len(reader.feed(chunk)) == 2
    assert reader.feed(chunk) == []
    assert reader.cursor == {LOG: len(chunk.data)}


def test_a_missing_piece_costs_the_line_it_is_in() -> None:
    reader = reader_of(format="key_value")
    reader.feed(Chunk(stream=LOG, offset=0, data=b"step=1\nstep", marks=((11, 1.0),)))
    later = Chunk(stream=LOG, offset=50, data=b"=7\nstep=8\n", marks=((60, 2.0),))
    assert steps_and_samples(reader.feed(later)) == [(7, 0.0)]
    assert reader.bad_lines == 1
    assert reader.cursor == {LOG: 60}


def test_garbage_is_no_progress() -> None:
    data = random.Random(1).randbytes(100_000) + b"\nstep=3\n"
    marks = ((len(data), 1.0),)
    records = reader_of(format="key_value").feed(
        Chunk(stream=LOG, offset=0, data=data, marks=marks)
    )
    assert records[-1].steps == 1


def test_an_endless_line_neither_grows_memory_nor_hides_the_next() -> None:
    reader = reader_of(format="key_value")
    block, offset = b"x" * 2**20, 0
    tracemalloc.start()
    for _ in range(64):
        reader.feed(Chunk(stream=LOG, offset=offset, data=block))
        offset += len(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20
    marks = ((offset + 100, 9.0),)
    (record,) = reader.feed(Chunk(stream=LOG, offset=offset, data=b"\nstep=3\n", marks=marks))
    assert record.t_s == 9.0
    assert reader.bad_lines == 1


def test_streams_of_no_rank_are_passed_over() -> None:
    reader = reader_of(format="key_value")
    assert reader.feed(log_chunk(["step=1"], "supervisor.log")) == []
    assert reader.cursor == {"supervisor.log": 7}


def test_samples_per_step_must_be_a_number() -> None:
    with pytest.raises(ValueError, match="not a number"):
        reader_of(format="tqdm", samples_per_step="'x'")
