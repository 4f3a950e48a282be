"""How long a rank waited for its input."""

import io
import time
from collections.abc import Callable, Iterator

import pytest

from tuner import report


class Hands:
    """A monotonic clock that only moves when it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(time, "monotonic", hands)
    return hands


def told(stream: io.StringIO) -> list[report.Line]:
    lines = [report.parse(line) for line in stream.getvalue().splitlines()]
    return [line for line in lines if line is not None]


def trained(
    clock: Hands, load_s: float, step_s: float, pause: Callable[[report.Reporter], None]
) -> list[report.Line]:
    stream = io.StringIO()
    reporter = report.Reporter(stream, "", 0)

    def batches() -> Iterator[int]:
        for number in range(4):
            clock.now_s += load_s
            yield number

    for number in reporter.loading(batches()):
        clock.now_s += step_s
        reporter.step(1)
        if number == 1:
            pause(reporter)
    return told(stream)


def test_the_share_of_waiting_is_told_from_the_second_line_on(clock: Hands) -> None:
    lines = trained(clock, 0.3, 0.7, lambda _: None)
    assert "loader_wait_pct" not in lines[0].values
    assert [line.values["loader_wait_pct"] for line in lines[1:]] == [30.0, 30.0, 30.0]


def test_short_steps_count_together_by_their_time(clock: Hands) -> None:
    """One long wait among short steps weighs as much as it took."""
    stream = io.StringIO()
    reporter = report.Reporter(stream, "", 0)

    def batches() -> Iterator[int]:
        for number in range(61):
            clock.now_s += 0.1 if number % 20 == 10 else 0.0
            yield number

    for _ in reporter.loading(batches()):
        clock.now_s += 0.01
        reporter.step(1)
    shares = [x.values["loader_wait_pct"] for x in told(stream) if "loader_wait_pct" in x.values]
    assert sum(shares) / len(shares) == pytest.approx(100 * 0.1 / 0.3, rel=0.25)


def test_a_pause_is_neither_work_nor_waiting(clock: Hands) -> None:
    def evaluate(reporter: report.Reporter) -> None:
        with reporter.pause():
            clock.now_s += 50
        reporter.value(auc=0.7)

    lines = trained(clock, 0.3, 0.7, evaluate)
    shares = [x.values["loader_wait_pct"] for x in lines if "loader_wait_pct" in x.values]
    assert shares == [30.0, 30.0, 30.0]


def test_a_script_that_does_not_ask_tells_nothing_of_it(clock: Hands) -> None:
    stream = io.StringIO()
    reporter = report.Reporter(stream, "", 0)
    for _ in range(3):
        clock.now_s += 1
        reporter.step(1)
    assert all("loader_wait_pct" not in line.values for line in told(stream))
