import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuner import report
from tuner.report import Line, Reporter, parse


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(report, "time", clock)
    return clock


@pytest.fixture
def own_reporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The module's reporter made anew, and not flushed at the end of the tests."""
    monkeypatch.setattr(report, "_reporter", None)
    monkeypatch.setattr("atexit.register", lambda function: function)
    yield
    report._current()._stream.close()


def lines_of(stream: io.StringIO) -> list[Line]:
    lines = [parse(text) for text in stream.getvalue().splitlines()]
    return [line for line in lines if line is not None]


def test_what_is_written_can_be_parsed(clock: Clock) -> None:
    stream = io.StringIO()
    Reporter(stream, report.PREFIX, 3).step(32, loss=0.5)
    assert stream.getvalue().startswith("[trimtab] {")
    assert lines_of(stream) == [
        Line(rank=3, t_s=100.0, steps=1, samples=32.0, pause_s=0.0, values={"loss": 0.5})
    ]


def test_quick_steps_are_put_together_and_none_is_lost(clock: Clock) -> None:
    stream = io.StringIO()
    reporter = Reporter(stream, "", 0)
    for step in range(100):
        clock.now_s += 0.001
        reporter.step(8, loss=float(step))
    reporter.flush()
    lines = lines_of(stream)
    assert len(lines) <= 7
    assert sum(line.steps for line in lines) == 100
    assert sum(line.samples for line in lines) == 800.0
    assert lines[-1].values == {"loss": 99.0}
    assert lines[-1].t_s == pytest.approx(clock.now_s, abs=1e-6)


def test_a_value_does_not_wait_and_does_not_take_steps_along(clock: Clock) -> None:
    stream = io.StringIO()
    reporter = Reporter(stream, "", 0)
    reporter.step(8)
    clock.now_s += 0.001
    reporter.step(8)
    reporter.value(auc=0.75)
    assert [(line.steps, line.values) for line in lines_of(stream)] == [
        (1, {}),
        (1, {}),
        (0, {"auc": 0.75}),
    ]


def test_a_pause_is_told_when_it_begins_and_when_it_ends(clock: Clock) -> None:
    stream = io.StringIO()
    reporter = Reporter(stream, "", 0)
    reporter.step(8)
    with reporter.pause():
        clock.now_s += 2.5
    clock.now_s += 1.0
    reporter.step(8)
    lines = lines_of(stream)
    assert [line.pause_s for line in lines] == [0.0, 0.0, 2.5, 0.0]
    assert [line.is_pausing for line in lines] == [False, True, False, False]
    assert [line.t_s for line in lines] == [100.0, 100.0, 102.5, 103.5]


def test_a_pause_that_fails_is_over(clock: Clock) -> None:
    stream = io.StringIO()
    reporter = Reporter(stream, "", 0)
    with pytest.raises(KeyError), reporter.pause():
        raise KeyError
    assert [line.is_pausing for line in lines_of(stream)] == [True, False]


class FullDisk(io.StringIO):
    """Takes what fits, and what came when there was no room is gone."""

    room = 1

    def write(self, text: str) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_full_disk_costs_lines_and_no_more(clock: Clock) -> None:
    stream = FullDisk()
    reporter = Reporter(stream, "", 0)
    for room in (1, 0, 1):
        stream.room = room
        clock.now_s += 1.0
        reporter.step(8)
    assert [line.t_s for line in lines_of(stream)] == [101.0, 103.0]


def test_nothing_to_tell_writes_nothing() -> None:
    stream = io.StringIO()
    Reporter(stream, "", 0).flush()
    assert stream.getvalue() == ""


GOOD = {"t": 1.0, "rank": 0, "n": 1, "samples": 8, "pause_s": 0, "values": {}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        "[]",
        "[trimtab] hello",
        "[" * 100_000,
        "{" * 100_000,
        '{"t": 1' + "0" * 400 + "}",
        *[
            json.dumps({**GOOD, key: value})
            for key, value in (
                ("t", -1),
                ("t", float("nan")),
                ("t", None),
                ("rank", -1),
                ("n", -1),
                ("n", "x"),
                ("n", float("inf")),
                ("samples", -1),
                ("samples", float("inf")),
                ("pause_s", -0.1),
                ("values", [1]),
                ("values", {"a": "x"}),
                ("values", {"a": None}),
            )
        ],
        *[json.dumps({k: v for k, v in GOOD.items() if k != missing}) for missing in GOOD],
    ],
    ids=range(27),
)
def test_anything_else_is_no_line(text: str) -> None:
    assert parse(text) is None


def test_the_prefix_and_blanks_may_be_there() -> None:
    assert parse(f"  [trimtab] {json.dumps(GOOD)}\n") == parse(json.dumps(GOOD))
    assert parse(json.dumps(GOOD)) is not None


def test_a_started_job_writes_to_its_file(
    own_reporter: None, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rank-2.metrics.jsonl"
    monkeypatch.setenv(report.FILE_VARIABLE, str(file))
    monkeypatch.setenv("RANK", "2")
    report.step(samples=16, loss=0.5)
    report.value(auc=0.75)
    with report.pause():
        clock.now_s += 1.0
    report.flush()
    lines = [parse(text) for text in file.read_text().splitlines()]
    assert [(line.rank, line.steps, line.pause_s) for line in lines if line] == [
        (2, 1, 0.0),
        (2, 0, 0.0),
        (2, 0, 0.0),
        (2, 0, 1.0),
    ]


def test_a_job_by_itself_writes_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "_reporter", None)
    monkeypatch.setattr("atexit.register", lambda function: function)
    monkeypatch.delenv(report.FILE_VARIABLE, raising=False)
    monkeypatch.delenv("RANK", raising=False)
    report.step(samples=16)
    assert capsys.readouterr().out.startswith('[trimtab] {"t":')
