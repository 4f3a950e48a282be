"""Stand-ins that tests drive: a clock that moves when told, and gangs that run in its time."""

import heapq
import itertools
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tuner.gang import Chunk, Gang, RankExit, RunState, RunStatus

_BOOTED_S = 1000.0
"""What the monotonic clock shows when a fake clock begins."""
_SAMPLE_S = 0.5
_LINE_S = 0.1
"""A line of metrics holds at least so much time."""


class FakeClock:
    """Time that passes by `sleep` only."""

    def __init__(self) -> None:
        self._began = datetime(2026, 1, 1, tzinfo=UTC)
        self._now = self._began

    def now(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=max(0.0, seconds))

    @property
    def monotonic_s(self) -> float:
        return _BOOTED_S + (self._now - self._began).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeOutcome:
    """How a gang does. All seconds count from its launch."""

    samples_per_s: float = 1000.0
    """Of the whole gang; 0 never makes a step."""
    samples_per_step: float = 100.0
    noise: float = 0.01
    """Relative standard deviation from line to line."""
    startup_s: float = 1.0
    """Until the first step begins."""
    slow_s: float = 1.0
    """After that the gang runs at half speed for so long: what warming up looks like."""
    silent_after_s: float | None = None
    """From then on nothing is reported, though the gang lives."""
    nan_after_s: float | None = None
    """From then on the loss is no number."""
    duration_s: float | None = 60.0
    """When the gang ends by itself; None: never."""
    lost_after_s: float | None = None
    stop_s: float = 0.1
    """From `stop` to the end."""
    exit_code: int = 0
    """How `failed_rank` ends; the others then end by SIGTERM."""
    failed_rank: int = 0
    log: str = ""
    """What `failed_rank` prints last."""
    files: Mapping[str, str] = field(default_factory=dict)
    """What it writes into files of its own at once, by their names."""
    auc: float | None = None
    quality_samples: float | None = None
    """After so many samples `auc` is reported; None: when the gang ends by itself."""
    peak_memory_gib: float = 1.0
    oom_kills: int = 0
    other_load_pct: float | None = None
    """What others take of the gang's cores, as its samples of usage tell; None: no samples."""
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Write:
    t_s: float
    stream: str
    data: bytes


@dataclass(slots=True)
class _Run:
    gang: Gang
    outcome: FakeOutcome
    started_s: float
    leased_s: float
    script: Iterator[_Write]
    coming: _Write | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    marks: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    stopped: tuple[float, str] | None = None


class FakeExecutor:
    """An executor in fake time. It stands for the computer, so it outlives a controller: give the
    same object to the next one."""

    def __init__(self, outcome: Callable[[Gang], FakeOutcome], clock: FakeClock) -> None:
        self._outcome = outcome
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self.launched: list[str] = []
        """The key of every gang that was started, in order: none is ever there twice."""
        self.calls: list[str] = []
        """The key of every launch that was asked for."""

    @property
    def running(self) -> list[str]:
        """The keys of the gangs that run now."""
        return [key for key, run in self._runs.items() if self._end(run) is None]

    def gang(self, key: str) -> Gang:
        return self._runs[key].gang

    def launch(self, gang: Gang) -> str:
        self.calls.append(gang.launch_key)
        if gang.launch_key not in self._runs:
            now_s = self._clock.monotonic_s
            outcome = self._outcome(gang)
            script = _script(gang, outcome, now_s)
            self._runs[gang.launch_key] = _Run(gang, outcome, now_s, now_s, script)
            self.launched.append(gang.launch_key)
        return gang.launch_key

    def poll(self, handle: str) -> RunStatus:
        run, now_s = self._runs.get(handle), self._clock.monotonic_s
        if run is None:
            return RunStatus(state=RunState.LOST, now_s=now_s, reason="unknown handle")
        end = self._end(run)
        if end is None:
            run.leased_s = now_s
            elapsed_s = now_s - run.started_s
            return RunStatus(
                state=RunState.RUNNING,
                elapsed_s=elapsed_s,
                now_s=now_s,
                usage=_usage(run, elapsed_s),
            )
        return _ended(run, end, now_s)

    def stop(self, handle: str, reason: str) -> None:
        run = self._runs.get(handle)
        if run is not None and run.stopped is None and self._end(run) is None:
            run.stopped = (self._clock.monotonic_s + run.outcome.stop_s, reason)

    def output(self, handle: str, cursor: Mapping[str, int]) -> list[Chunk]:
        run = self._runs.get(handle)
        if run is None:
            return []
        self._write(run)
        chunks = []
        for stream in sorted(run.files):
            offset = cursor.get(stream, 0)
            data = run.files[stream][offset:]
            marks = tuple(m for m in run.marks[stream] if m[0] > offset)
            if data:
                dated = marks if stream.endswith(".log") else ()
                chunks.append(Chunk(stream=stream, offset=offset, data=data, marks=dated))
        return chunks

    def tail(self, handle: str, rank: int, max_bytes: int) -> str:
        run = self._runs.get(handle)
        if run is None:
            return ""
        self._write(run)
        return run.files.get(f"rank-{rank}.log", b"")[-max_bytes:].decode()

    def line(self, handle: str, stream: str, end: int) -> str:
        run = self._runs.get(handle)
        if run is None:
            return ""
        self._write(run)
        written = run.files.get(stream, b"")[:end]
        ends_there = len(written) == end and written.endswith(b"\n")
        return written.decode().splitlines()[-1] if ends_there else ""

    def close(self) -> None:
        """There is nothing to give back."""

    def _end(self, run: _Run) -> tuple[float, str] | None:
        """When and why a gang ended, if it has."""
        now_s, outcome = self._clock.monotonic_s, run.outcome
        limit_gib = run.gang.memory_limit_gib
        ends = [(run.leased_s + run.gang.lease_s, "controller_lost")]
        if outcome.duration_s is not None:
            reason = "rank_failed" if outcome.exit_code else "exited"
            ends.append((run.started_s + outcome.duration_s, reason))
        if outcome.lost_after_s is not None:
            ends.append((run.started_s + outcome.lost_after_s, "its supervisor died"))
        if limit_gib is not None and outcome.peak_memory_gib > limit_gib:
            ends.append((run.started_s + outcome.startup_s, "memory_limit"))
        if run.stopped is not None:
            ends.append(run.stopped)
        first = min(ends)
        return first if first[0] <= now_s else None

    def _write(self, run: _Run) -> None:
        """Writes what the gang has to say until now, or until it ended."""
        end = self._end(run)
        until_s = self._clock.monotonic_s if end is None else end[0]
        run.coming = run.coming or next(run.script, None)
        while run.coming is not None and run.coming.t_s <= until_s:
            stream, data = run.coming.stream, run.coming.data
            run.files[stream] = run.files.get(stream, b"") + data
            run.marks.setdefault(stream, []).append((len(run.files[stream]), run.coming.t_s))
            run.coming = next(run.script, None)


def _ended(run: _Run, end: tuple[float, str], now_s: float) -> RunStatus:
    end_s, reason = end
    elapsed_s = end_s - run.started_s
    if reason == "its supervisor died":
        return RunStatus(state=RunState.LOST, elapsed_s=elapsed_s, now_s=now_s, reason=reason)
    failed = run.outcome.failed_rank if reason == "rank_failed" else None
    others = {"exited": 0, "memory_limit": -9}.get(reason, -15)
    return RunStatus(
        state=RunState.EXITED,
        elapsed_s=elapsed_s,
        now_s=now_s,
        reason=reason,
        ranks=tuple(
            RankExit(rank=rank, exit_code=run.outcome.exit_code if rank == failed else others)
            for rank in range(run.gang.command.num_processes)
        ),
        first_failed_rank=failed,
        oom_kills=run.outcome.oom_kills,
        usage=_usage(run, elapsed_s),
    )


def _usage(run: _Run, elapsed_s: float) -> dict[str, float]:
    num_cores = sum(len(cores) for cores in run.gang.placement.cores) or 1
    return {
        "peak_memory_gib": run.outcome.peak_memory_gib,
        "cpu_s": elapsed_s * num_cores,
        "cpu_utilization_pct": 100.0,
        "other_cpu_pct": 0.0,
        **run.outcome.usage,
    }


def _script(gang: Gang, outcome: FakeOutcome, started_s: float) -> Iterator[_Write]:
    """Everything the gang would ever write, in order."""
    yield _Write(started_s, "rank-0.log", f"{' '.join(gang.command.argv)}\n".encode())
    for name, text in outcome.files.items():
        yield _Write(started_s, f"files/{name}", text.encode())
    ends_s = math.inf if outcome.duration_s is None else started_s + outcome.duration_s
    silent_s = ends_s
    if outcome.silent_after_s is not None:
        silent_s = min(ends_s, started_s + outcome.silent_after_s)
    if outcome.samples_per_s > 0:
        training = _training(gang, outcome, started_s + outcome.startup_s, silent_s)
        yield from heapq.merge(training, _sampling(gang, outcome, started_s, silent_s), key=_moment)
    if silent_s < ends_s or math.isinf(ends_s):
        return
    if outcome.auc is not None and outcome.quality_samples is None and not outcome.exit_code:
        yield _line(ends_s, 0, values={"auc": outcome.auc})
    if outcome.log:
        text = outcome.log if outcome.log.endswith("\n") else outcome.log + "\n"
        yield _Write(ends_s, f"rank-{outcome.failed_rank}.log", text.encode())


def _training(gang: Gang, outcome: FakeOutcome, first_s: float, until_s: float) -> Iterator[_Write]:
    chance = random.Random(gang.launch_key)
    num_ranks = gang.command.num_processes
    step_s = outcome.samples_per_step / outcome.samples_per_s
    steps = max(1, round(_LINE_S / step_s))
    t_s, samples, told = first_s, 0.0, outcome.quality_samples is None
    while True:
        pace = 2.0 if t_s < first_s + outcome.slow_s else 1.0
        t_s += steps * step_s * pace * max(0.1, 1 + chance.gauss(0, outcome.noise))
        if t_s >= until_s:
            return
        samples += steps * outcome.samples_per_step
        nan_s = math.inf if outcome.nan_after_s is None else outcome.nan_after_s
        is_odd = t_s >= first_s - outcome.startup_s + nan_s
        loss = {"loss": math.nan if is_odd else 0.5 + 0.2 * math.exp(-samples / 10_000)}
        share = steps * outcome.samples_per_step / num_ranks
        for rank in range(num_ranks):
            yield _line(t_s, rank, steps=steps, samples=share, values=loss)
        if not told and outcome.auc is not None and samples >= (outcome.quality_samples or 0.0):
            told = True
            yield _line(t_s, 0, values={"auc": outcome.auc, "quality_samples": samples})


def _sampling(gang: Gang, outcome: FakeOutcome, first_s: float, until_s: float) -> Iterator[_Write]:
    num_cores = sum(len(cores) for cores in gang.placement.cores) or 1
    if outcome.other_load_pct is None:
        return
    for number in itertools.count():
        t_s = first_s + number * _SAMPLE_S
        if t_s >= until_s:
            return
        taken_s = number * _SAMPLE_S * num_cores * outcome.other_load_pct / 100
        line = json.dumps({"t_s": t_s, "other_cpu_s": taken_s})
        yield _Write(t_s, "usage.jsonl", f"{line}\n".encode())


def _moment(write: _Write) -> float:
    return write.t_s


def _line(
    t_s: float, rank: int, *, steps: int = 0, samples: float = 0.0, values: Mapping[str, float]
) -> _Write:
    line = {
        "t": round(t_s, 6),
        "rank": rank,
        "n": steps,
        "samples": samples,
        "pause_s": 0.0,
        "values": dict(values),
    }
    return _Write(t_s, f"rank-{rank}.metrics.jsonl", f"{json.dumps(line)}\n".encode())
