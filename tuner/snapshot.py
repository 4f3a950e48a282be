"""A job as the controller sees it during one step."""

from dataclasses import dataclass
from datetime import datetime

from tuner.interfaces import Fact
from tuner.model import Attempt, Job, Placement, Trial


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
