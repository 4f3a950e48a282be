"""What a running gang shows of its plan: its own word for it, its steps, its figures."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from tuner import assess, measure
from tuner.application import Sighting
from tuner.executors.local import NEVER_STARTED
from tuner.expression import Value
from tuner.gang import Gang, RunState, RunStatus
from tuner.interfaces import Executor
from tuner.model import Attempt, Measurement, Trial
from tuner.observe import Watch
from tuner.report import PLAN_VALUE, PLAN_VARIABLE, plan_number
from tuner.spec import JobSpec

LOOK_S = 1.0
"""How often its figures are worked out anew."""
MAX_RECORDS = 50_000
"""A run goes on for days; only the latest count."""


@dataclass(slots=True, kw_only=True)
class RunFigures:
    """One launch of a job outside a search, read as it grows."""

    spec: JobSpec
    gang: Gang
    watch: Watch
    steps: int = 0
    reported: float | None = None
    looked_s: float = field(default=float("-inf"))
    seen: Sighting | None = None

    @classmethod
    def of(cls, spec: JobSpec, params: dict[str, Value], gang: Gang) -> "RunFigures":
        now = datetime.now(UTC)
        trial = Trial(job_id="", number=0, params=params, reason="live", created_at=now)
        attempt = Attempt(
            job_id="", trial_number=0, number=0, placement=gang.placement, created_at=now
        )
        watch = Watch.of(spec, trial, attempt, gang.launch_key)
        return cls(spec=spec, gang=gang, watch=watch)

    def look(self, executor: Executor, status: RunStatus) -> Sighting:
        """What it shows now, at most a second old."""
        over = status.state in (RunState.EXITED, RunState.LOST)
        if self.seen is not None and not over and time.monotonic() - self.looked_s < LOOK_S:
            return self.seen
        self.looked_s = time.monotonic()
        self._read(executor)
        measurement = self._measured(status)
        self.seen = Sighting(
            state=_state(status, self.steps),
            plan_hash=self._plan_hash(),
            steps=self.steps,
            elapsed_s=status.elapsed_s,
            metrics=measurement.metrics if measurement else {},
            intervals=measurement.intervals if measurement else {},
            message=_why(executor, self.gang, status) if over else "",
        )
        return self.seen

    def _read(self, executor: Executor) -> None:
        before = len(self.watch.records)
        self.watch.read(executor)
        for record in self.watch.records[before:]:
            self.steps += record.steps if record.rank == self.watch.records[0].rank else 0
            self.reported = record.values.pop(PLAN_VALUE, self.reported)
        del self.watch.records[:-MAX_RECORDS]

    def _measured(self, status: RunStatus) -> Measurement | None:
        if not self.watch.records:
            return None
        reading = measure.read(self.watch.records)
        used = self.watch.surroundings().in_window(reading.window)
        status = self.watch.completed(status)
        return assess.measurement_of(self.spec, reading, status, self.gang.placement, used)

    def _plan_hash(self) -> str | None:
        """The plan by the workload's own word; where it reports nothing by `tuner.report`, by the
        environment that its processes were given and the steps that they have shown."""
        given = self.gang.command.env.get(PLAN_VARIABLE)
        if given is None or self.steps == 0:
            return None
        if self.reported is None:
            return None if self.spec.workload.log.format == "report" else given
        return given if self.reported == plan_number(given) else f"{int(self.reported):012x}"


def _state(status: RunStatus, steps: int) -> Literal["starting", "running", "ended", "failed"]:
    if status.state is RunState.LOST:
        # Between its request and its supervisor it is nowhere yet.
        return "starting" if status.reason == NEVER_STARTED else "failed"
    if status.state is RunState.EXITED:
        return "ended" if status.reason == "exited" else "failed"
    return "running" if steps else "starting"


def _why(executor: Executor, gang: Gang, status: RunStatus) -> str:
    lines = executor.tail(gang.launch_key, status.first_failed_rank or 0, 2000).splitlines()
    return f"{status.reason}: {lines[-1][:200]}" if lines else status.reason
