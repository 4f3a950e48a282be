"""A gang as the controller watches it: what it printed, what it measured, how it ended."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from tuner import assess, cost, measure
from tuner.collect.diagnose import diagnose
from tuner.collect.reader import RecordReader
from tuner.collect.sources import sources_of, thinned
from tuner.collect.standing import Standings
from tuner.disturbance import Surroundings, marked
from tuner.gang import Record, RunState, RunStatus
from tuner.interfaces import Executor
from tuner.launch import launch_command
from tuner.model import Attempt, Failure, FailureKind, Measurement, MetricPoint, Trial
from tuner.spec import JobSpec

MAX_POINTS = 120
MAX_BAD_SHARE = 0.01
"""Beyond it too much is missing from the records to trust what is there."""
MIN_BAD_LINES = 3
"""A torn line or two happen to everybody."""
_TAIL_BYTES = 16_384
_TURNS = 4
"""So often at most the executor is asked for output before others get their turn."""


@dataclass(slots=True)
class Watch:
    """One running attempt. Everything here is read anew after a restart of the controller."""

    spec: JobSpec
    trial: Trial
    attempt: Attempt
    handle: str
    reader: RecordReader
    usual_load_pct: float | None = None
    """What other processes usually take of the cores; None: not looked at."""
    records: list[Record] = field(default_factory=list)
    standings: Standings = field(default_factory=Standings)
    reading: measure.Reading | None = None
    started_s: float | None = None
    measured_at_s: float = 0.0
    look_s: float = 0.0
    """What the latest look took."""
    passes: int = 0
    is_caught_up: bool = True
    is_stopping: bool = False

    @classmethod
    def of(cls, spec: JobSpec, trial: Trial, attempt: Attempt, handle: str) -> Self:
        reader = RecordReader(spec.workload.log, trial.params, launch_command(spec, trial.params))
        return cls(spec, trial, attempt, handle, reader)

    def look(self, executor: Executor, status: RunStatus, trials: Sequence[Trial]) -> None:
        """Reads what is new, and asks for the end of the gang when it is time."""
        if status.state is RunState.RUNNING and self.started_s is None:
            self.started_s = status.now_s - status.elapsed_s
        # Measuring costs more the longer a trial runs: a look takes at most 5 % of the time.
        gap_s = max(0.4, 0.05 * status.elapsed_s, 20 * self.look_s)
        is_due = status.elapsed_s - self.measured_at_s >= gap_s
        if is_due or not self.is_caught_up:
            self.is_caught_up = self.read(executor)
        if not is_due:
            return
        self.measured_at_s = status.elapsed_s
        began_s = time.perf_counter()
        reading = measure.read(self.records)
        measurement = self._measured(reading, status)
        self.look_s = time.perf_counter() - began_s
        reason = self.standings.trouble(
            self.spec.measuring, status, caught_up=self.is_caught_up
        ) or assess.stop_reason(self.spec, self.attempt, reading, status, measurement, trials)
        self.passes = self.passes + 1 if reason in ("precise", "beaten") else 0
        # Once may be luck: an interval has to be tight on two looks in a row.
        if reason is not None and (self.passes == 0 or self.passes >= 2) and not self.is_stopping:
            self.stop(executor, reason)

    def stop(self, executor: Executor, reason: str) -> None:
        executor.stop(self.handle, reason)
        self.is_stopping = True

    def read(self, executor: Executor) -> bool:
        """Takes in new output, a part at a time, as a gang may flood its log; whether that was
        all."""
        for _ in range(_TURNS):
            chunks = executor.output(self.handle, self.reader.cursor)
            if not chunks:
                return True
            for chunk in chunks:
                found = self.reader.feed(chunk)
                self.standings.note(found)
                self.records += found
        return False

    def result(
        self, executor: Executor, status: RunStatus
    ) -> tuple[Measurement | None, Failure | None]:
        """What an attempt that has ended, and was read, gave: exactly one of the two is set."""
        self.reading = measure.read(self.records)
        ranks = {rank.rank for rank in status.ranks} or {0}
        tails = {rank: executor.tail(self.handle, rank, _TAIL_BYTES) for rank in sorted(ranks)}
        failure = diagnose(status, tails, self.standings)
        if failure is not None:
            return None, failure
        measurement = self._measured(self.reading, status)
        if measurement is None:
            return None, self._no_metrics(tails)
        return self._traced(self._with_start(measurement), status), None

    def _traced(self, measurement: Measurement, status: RunStatus) -> Measurement:
        window = self.reading.window if self.reading is not None else None
        sources = self.reader.usage_sources(status) | sources_of(self.records, window)
        known = {name: source for name, source in sources.items() if name in measurement.metrics}
        notes = (*measurement.notes, *self.reader.notes())
        return replace(measurement, sources=known, notes=notes)

    def _measured(self, reading: measure.Reading, status: RunStatus) -> Measurement | None:
        status = self.completed(status)
        placement, around = self.attempt.placement, self.surroundings()
        used = around.in_window(reading.window)
        doubts = self._doubts()
        found = assess.measurement_of(self.spec, reading, status, placement, used, doubts)
        return marked(found, reading, around) if found is not None else None

    def completed(self, status: RunStatus) -> RunStatus:
        """A status with what files of the job tell of its usage."""
        return self.reader.completed(status)

    def surroundings(self) -> Surroundings:
        """What the system has shown until now."""
        return Surroundings(
            samples=self.reader.usage,
            num_cores=cost.num_cores(self.attempt.placement),
            usual_load_pct=self.usual_load_pct,
        )

    def _doubts(self) -> list[str]:
        if self.reader.bad_lines < MIN_BAD_LINES or self.reader.bad_share <= MAX_BAD_SHARE:
            return []
        return [f"{100 * self.reader.bad_share:.0f} % of the lines could not be read as they are"]

    def _with_start(self, measurement: Measurement) -> Measurement:
        if self.reading is None or self.reading.first_step_s is None or self.started_s is None:
            return measurement
        start_s = self.reading.first_step_s - self.started_s
        metrics = {**measurement.metrics, "time_to_first_step_s": start_s}
        return replace(measurement, metrics=metrics)

    def _no_metrics(self, tails: dict[int, str]) -> Failure:
        wanted = ", ".join(o.metric for o in self.spec.objectives)
        found = sorted({name for record in self.records for name in record.values})
        steps = sum(record.steps for record in self.records)
        return Failure(
            kind=FailureKind.NO_METRICS,
            cause=f"{wanted} was not measured; found {steps} steps and values {found}",
            remedy="report samples with each step, or give workload.log.samples_per_step",
            log_tail=tuple(tails.get(0, "").splitlines()[-15:]),
        )

    def points(self) -> list[MetricPoint]:
        """Throughput and loss over time, thinned for charts."""
        if self.reading is None or not self.records:
            return []
        start_s = self.records[0].t_s
        curves: dict[str, list[tuple[float, float, str]]] = {}
        series = self.reading.series
        if series is not None:
            source = sources_of(self.records).get("samples_per_s", "")
            curves["samples_per_s"] = [
                (series.start_s + (i + 1) * series.bin_s - start_s, rate, source)
                for i, rate in enumerate(series.rates)
            ]
        for record in self.records:
            for name, value in record.values.items():
                if record.rank == self.records[0].rank and name != "samples_per_s":
                    curves.setdefault(name, []).append((record.t_s - start_s, value, record.source))
        return [
            MetricPoint(
                job_id=self.attempt.job_id,
                trial_number=self.attempt.trial_number,
                attempt_number=self.attempt.number,
                name=name,
                t_s=max(0.0, t_s),
                value=value,
                source=source,
            )
            for name, curve in curves.items()
            for t_s, value, source in thinned(curve, MAX_POINTS)
        ]
