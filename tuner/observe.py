"""A gang as the controller watches it: what it printed, what it measured, how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tuner import assess, measure
from tuner.collect.diagnose import diagnose
from tuner.collect.reader import RecordReader
from tuner.gang import Record, RunState, RunStatus
from tuner.interfaces import Executor
from tuner.launch import launch_command
from tuner.model import Attempt, Failure, FailureKind, Measurement, MetricPoint, Trial
from tuner.spec import JobSpec

MAX_POINTS = 120
_TAIL_BYTES = 16_384


@dataclass(slots=True)
class Watch:
    """One running attempt. Everything here is read anew after a restart of the controller."""

    spec: JobSpec
    trial: Trial
    attempt: Attempt
    handle: str
    reader: RecordReader
    records: list[Record] = field(default_factory=list)
    reading: measure.Reading | None = None
    started_s: float | None = None
    measured_at_s: float = 0.0
    passes: int = 0
    is_stopping: bool = False

    @classmethod
    def of(cls, spec: JobSpec, trial: Trial, attempt: Attempt, handle: str) -> "Watch":
        reader = RecordReader(spec.workload.log, trial.params, launch_command(spec, trial.params))
        return cls(spec, trial, attempt, handle, reader)

    def look(self, executor: Executor, status: RunStatus, trials: Sequence[Trial]) -> None:
        """Reads what is new, and asks for the end of the gang when it is time."""
        if status.state is RunState.RUNNING and self.started_s is None:
            self.started_s = status.now_s - status.elapsed_s
        # Measuring costs more the longer a trial runs: at most about 5 % of its time.
        if status.elapsed_s - self.measured_at_s < max(0.4, 0.05 * status.elapsed_s):
            return
        if not self._read(executor, max_turns=4):
            return  # what is not read yet must not pass for silence
        self.measured_at_s = status.elapsed_s
        reading = measure.read(self.records)
        measurement = assess.measurement_of(self.spec, reading, status, self.attempt.placement)
        reason = assess.stop_reason(self.spec, self.attempt, reading, status, measurement, trials)
        self.passes = self.passes + 1 if reason in ("precise", "beaten") else 0
        # Once may be luck: an interval has to be tight on two looks in a row.
        if reason is not None and (self.passes == 0 or self.passes >= 2) and not self.is_stopping:
            self.stop(executor, reason)

    def stop(self, executor: Executor, reason: str) -> None:
        executor.stop(self.handle, reason)
        self.is_stopping = True

    def _read(self, executor: Executor, max_turns: int = 1000) -> bool:
        """Takes in new output, bounded, as a gang may flood its log; whether that was all."""
        for _ in range(max_turns):
            chunks = executor.output(self.handle, self.reader.cursor)
            if not chunks:
                return True
            for chunk in chunks:
                self.records += self.reader.feed(chunk)
        return False

    def result(
        self, executor: Executor, status: RunStatus
    ) -> tuple[Measurement | None, Failure | None]:
        """What an attempt that has ended gave: exactly one of the two is set."""
        self._read(executor)
        self.reading = measure.read(self.records)
        ranks = {rank.rank for rank in status.ranks} or {0}
        tails = {rank: executor.tail(self.handle, rank, _TAIL_BYTES) for rank in sorted(ranks)}
        failure = diagnose(status, tails, num_records=len(self.records))
        if failure is not None:
            return None, failure
        measurement = assess.measurement_of(self.spec, self.reading, status, self.attempt.placement)
        if measurement is None:
            return None, self._no_metrics(tails)
        return self._with_start(measurement), None

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
        curves: dict[str, list[tuple[float, float]]] = {}
        series = self.reading.series
        if series is not None:
            curves["samples_per_s"] = [
                (series.start_s + (i + 1) * series.bin_s - start_s, rate)
                for i, rate in enumerate(series.rates)
            ]
        for record in self.records:
            for name, value in record.values.items():
                if record.rank == self.records[0].rank and name != "samples_per_s":
                    curves.setdefault(name, []).append((record.t_s - start_s, value))
        return [
            MetricPoint(
                job_id=self.attempt.job_id,
                trial_number=self.attempt.trial_number,
                attempt_number=self.attempt.number,
                name=name,
                t_s=max(0.0, t_s),
                value=value,
            )
            for name, curve in curves.items()
            for t_s, value in thinned(curve)
        ]


def thinned(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MAX_POINTS points of a curve: means of equal groups, so that no sum is lost."""
    size = -(-len(curve) // MAX_POINTS)
    groups = [curve[i : i + size] for i in range(0, len(curve), size)]
    return [(group[-1][0], sum(v for _, v in group) / len(group)) for group in groups]
