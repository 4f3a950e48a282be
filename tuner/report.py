"""How a job tells Trimtab what it does: three lines in a training script, standard library only.

    from tuner import report
    ...
    report.step(samples=batch_size, loss=loss)     # after every step, with this rank's samples
    report.value(auc=0.78)                         # whenever there is something to tell
    for batch in report.loading(batches):          # also tells how long it waited for its input

Both ends of the wire format are in this file. A line is one JSON object; where Trimtab started the
process it goes to the file named by TRIMTAB_METRICS_FILE, otherwise to standard output behind
`[trimtab] `, so that the script also runs by itself. Steps are put together until 20 ms have
passed, which keeps the cost of reporting far below that of any step.
"""

import atexit
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TextIO, TypeVar

T = TypeVar("T")

PREFIX = "[trimtab] "
FILE_VARIABLE = "TRIMTAB_METRICS_FILE"
PLAN_VARIABLE = "TRIMTAB_PLAN_HASH"
PLAN_VALUE = "plan_number"
"""How a process tells which plan it runs: the first 12 digits of its hash as a number."""
_FLUSH_S = 0.02
_SHARE_S = 0.25
"""Shares are told of about equal stretches of time, so that their plain mean is one over time."""


class Line(NamedTuple):
    """One line of the wire format: everything since the rank's line before."""

    rank: int
    t_s: float
    """Monotonic clock of the host at the end of the last step."""
    steps: int
    samples: float
    pause_s: float
    values: dict[str, float]
    is_pausing: bool = False
    """Whether a pause begins here."""


class Reporter:
    """Writes the lines of one rank. Scripts use the functions of this module."""

    def __init__(self, stream: TextIO, prefix: str, rank: int) -> None:
        self._stream = stream
        self._prefix = prefix
        self._rank = rank
        self._written_s = -math.inf
        self._last_step_s = 0.0
        self._steps = 0
        self._samples = 0.0
        self._pause_s = 0.0
        self._told_step_s: float | None = None
        self._wait_s: float | None = None
        self._values: dict[str, float] = {}

    def step(self, samples: float, **values: float) -> None:
        """A step has ended, `samples` being this rank's share; of each value the latest counts."""
        self._last_step_s = time.monotonic()
        self._steps += 1
        self._samples += samples
        self._values.update({name: float(value) for name, value in values.items()})
        if self._last_step_s - self._written_s >= _FLUSH_S:
            self.flush()

    def value(self, **values: float) -> None:
        """Values that belong to no step: a quality figure, a latency."""
        self.flush()
        self._values.update({name: float(value) for name, value in values.items()})
        self._last_step_s = time.monotonic()
        self.flush()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Time inside is no training (evaluation, a checkpoint) and leaves the throughput alone.

        Its begin is told at once, so that nobody takes it for a stall.
        """
        self.flush()
        started_s = self._last_step_s = time.monotonic()
        self._write(is_pausing=True)
        try:
            yield
        finally:
            self._last_step_s = time.monotonic()
            self._pause_s += self._last_step_s - started_s
            self._write()
            if self._told_step_s is not None:
                self._told_step_s, self._wait_s = self._last_step_s, 0.0

    def loading(self, batches: Iterable[T]) -> Iterator[T]:
        """The same batches; the share of the time in which they were waited for is told with the
        steps, as `loader_wait_pct`."""
        items = iter(batches)
        while True:
            began_s = time.monotonic()
            try:
                batch = next(items)
            except StopIteration:
                return
            self._wait_s = (self._wait_s or 0.0) + time.monotonic() - began_s
            yield batch

    def _note_wait(self) -> None:
        """Puts the share since it was last told among the values of a line with steps."""
        if not self._steps or self._wait_s is None:
            return
        if self._told_step_s is not None:
            active_s = self._last_step_s - self._told_step_s
            if active_s < _SHARE_S:
                return
            self._values["loader_wait_pct"] = round(100 * min(1.0, self._wait_s / active_s), 3)
        self._told_step_s, self._wait_s = self._last_step_s, 0.0

    def flush(self) -> None:
        """Writes what has gathered since the last line."""
        if self._steps or self._values or self._pause_s:
            self._write()

    def _write(self, *, is_pausing: bool = False) -> None:
        self._note_wait()
        line: dict[str, object] = {
            "t": round(self._last_step_s, 6),
            "rank": self._rank,
            "n": self._steps,
            "samples": self._samples,
            "pause_s": round(self._pause_s, 6),
            "values": self._values,
        }
        if is_pausing:
            line["pausing"] = True
        # A full disk costs the line, not the training.
        with suppress(OSError):
            self._stream.write(f"{self._prefix}{json.dumps(line, separators=(',', ':'))}\n")
            self._stream.flush()
        self._written_s = self._last_step_s
        self._steps, self._samples, self._pause_s, self._values = 0, 0.0, 0.0, {}


def plan_number(plan_hash: str) -> float:
    """What a process tells of the plan that it runs; exact as a float."""
    return float(int(plan_hash[:12], 16))


def parse(text: str) -> Line | None:
    """A line of the wire format; None where `text` is anything else. Never raises."""
    text = text.strip().removeprefix(PREFIX.strip()).strip()
    if not text.startswith("{"):
        return None
    try:
        data = json.loads(text)
        line = Line(
            rank=int(data["rank"]),
            t_s=float(data["t"]),
            steps=int(data["n"]),
            samples=float(data["samples"]),
            pause_s=float(data["pause_s"]),
            values={str(name): float(value) for name, value in data["values"].items()},
            is_pausing=data.get("pausing", False) is True,
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    counts = (line.t_s, line.samples, line.pause_s)
    sound = all(math.isfinite(x) and x >= 0 for x in counts) and line.steps >= 0 and line.rank >= 0
    return line if sound else None


_reporter: Reporter | None = None


def _current() -> Reporter:
    global _reporter
    if _reporter is None:
        path = os.environ.get(FILE_VARIABLE)
        rank = int(os.environ.get("RANK", "0"))
        # Open for as long as the process lives: there is no place to close it.
        stream = Path(path).open("a", encoding="utf-8") if path else sys.stdout  # noqa: SIM115
        _reporter = Reporter(stream, "" if path else PREFIX, rank)
        plan = os.environ.get(PLAN_VARIABLE)
        if plan and path:
            _reporter.value(**{PLAN_VALUE: plan_number(plan)})
        atexit.register(_reporter.flush)
    return _reporter


def step(samples: float, **values: float) -> None:
    """A step of this rank has ended; `samples` is this rank's share of the batch."""
    _current().step(samples, **values)


def value(**values: float) -> None:
    """Values that belong to no step, e.g. `auc`."""
    _current().value(**values)


def loading(batches: Iterable[T]) -> Iterator[T]:
    """The same batches; the time for which they were waited for is told as `loader_wait_pct`."""
    return _current().loading(batches)


@contextmanager
def pause() -> Iterator[None]:
    """Time inside is no training and does not count against the throughput."""
    with _current().pause():
        yield


def flush() -> None:
    """Writes what has gathered; also done at exit."""
    _current().flush()
