"""A job as the controller sees it during one step."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tuner.conclude import Evidence
from tuner.interfaces import Fact, Store
from tuner.learning import Curve, curve_of
from tuner.model import (
    Attempt,
    AttemptState,
    AuditEvent,
    Failure,
    Job,
    Measurement,
    Placement,
    Trial,
)


@dataclass(slots=True)
class Snapshot:
    """A job as the store had it when the step began, kept up to date while it goes on."""

    job: Job
    trials: list[Trial]
    attempts: list[Attempt]

    def put(self, *facts: Fact) -> None:
        for fact in facts:
            match fact:
                case Job():
                    self.job = fact
                case Trial():
                    self.trials[fact.number : fact.number + 1] = [fact]
                case Attempt():
                    key = fact.launch_key
                    kept = [a for a in self.attempts if a.launch_key != key]
                    self.attempts = sorted([*kept, fact], key=lambda a: (a.trial_number, a.number))
                case _:
                    pass

    @property
    def live(self) -> list[Attempt]:
        return [a for a in self.attempts if not a.state.is_finished]

    def evidence(self, store: Store, candidate: int | None) -> Evidence:
        """All that a plan is made from."""
        quality = self.job.spec.quality
        curves: list[Curve] = []
        for number in (0, candidate or 0):
            points = store.points(self.job.id, number, None) if quality is not None else []
            curves.append(curve_of(points, quality.metric) if quality is not None else ())
        return Evidence(
            job=self.job,
            trials=self.trials,
            attempts=self.attempts,
            candidate=candidate,
            curves=(curves[0], curves[1]),
        )

    def new_attempt(
        self,
        trial_number: int,
        pair: int | None,
        placement: Placement,
        fingerprint: dict[str, str],
        now: datetime,
    ) -> Attempt:
        """The next launch of a trial; `pair` None is its own measurement."""
        return Attempt(
            job_id=self.job.id,
            trial_number=trial_number,
            number=sum(a.trial_number == trial_number for a in self.attempts),
            purpose="measure" if pair is None else "confirm",
            pair=pair,
            placement=placement,
            created_at=now,
            fingerprint=fingerprint,
        )

    def event(
        self, action: str, at: datetime, about: Attempt | None = None, detail: str = ""
    ) -> AuditEvent:
        """What the controller did, for the audit; a failed attempt gives the detail itself."""
        return AuditEvent(
            at=at,
            actor="controller",
            action=action,
            job_id=self.job.id,
            subject=about.launch_key if about is not None else self.job.id,
            detail=about.failure.cause if about is not None and about.failure else detail,
        )


def devices(attempts: Iterable[Attempt]) -> tuple[set[int], set[int]]:
    """Cores and GPUs that attempts hold now."""
    held = [a.placement for a in attempts if not a.state.is_finished]
    cores = {core for placement in held for node in placement.cores for core in node}
    return cores, {gpu for placement in held for node in placement.gpus for gpu in node}


def ended_as(measurement: Measurement | None, failure: Failure | None) -> AttemptState:
    """The state of an attempt that gave this."""
    if failure is not None:
        return AttemptState.FAILED
    return AttemptState.COMPLETE if measurement is not None else AttemptState.CANCELLED
