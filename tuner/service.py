"""Everything a person can ask of Trimtab, and the only module that names concrete classes.

The CLI and the HTTP API parse, call one method here, and print. Methods that change something write
a wish; the controller, in whichever process holds the lease, turns wishes into facts.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tuner.model import (
    Application,
    Attempt,
    AuditEvent,
    Job,
    Lease,
    MetricPoint,
    Plan,
    Spend,
    Trial,
)
from tuner.spec import JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a job stands, for a progress line."""

    trials_done: int
    trials_total: int
    pairs_done: int
    pairs_total: int
    eta_s: float | None
    spend: Spend
    baseline: Trial | None
    best: Trial | None
    """The best feasible trial so far."""
    best_gain_pct: float | None
    """Its screened gain over the baseline; not confirmed yet."""
    running: tuple[int, ...]
    """Numbers of the trials that run now."""


class Service:
    """A home folder, opened. Close it, or use it as a context."""

    def __init__(self, home: Path) -> None: ...

    def __enter__(self) -> "Service": ...

    def __exit__(self, *exc: object) -> None: ...

    # jobs; `ref` is an id, a unique prefix of one, a name, or `@last`
    def create_job(self, spec: JobSpec, *, actor: str) -> Job: ...

    def jobs(self) -> list[Job]: ...

    def job(self, ref: str) -> Job: ...

    def progress(self, ref: str) -> Progress: ...

    def pause(self, ref: str, *, actor: str) -> Job: ...

    def resume(self, ref: str, *, actor: str) -> Job: ...

    def cancel(self, ref: str, *, actor: str) -> Job: ...

    # trials
    def trials(self, ref: str) -> list[Trial]: ...

    def trial(self, ref: str, number: int) -> Trial: ...

    def attempts(self, ref: str, number: int | None = None) -> list[Attempt]: ...

    def points(self, ref: str, number: int, name: str | None = None) -> list[MetricPoint]: ...

    def log(
        self,
        ref: str,
        number: int,
        *,
        rank: int = 0,
        attempt: int | None = None,
        max_bytes: int = 65536,
    ) -> str:
        """The tail of a rank's log; `attempt` None is the latest."""

    # plans
    def plans(self, ref: str | None = None) -> list[Plan]: ...

    def plan(self, ref: str) -> Plan:
        """`ref`: a plan's id or unique prefix, or `@last`."""

    def apply(self, plan_ref: str, *, actor: str) -> Application: ...

    def rollback(self, application_ref: str | None, *, actor: str) -> Application:
        """None: the application that is in force last."""

    def applications(self, ref: str | None = None) -> list[Application]: ...

    def application(self, ref: str) -> Application: ...

    def events(self, ref: str | None = None) -> list[AuditEvent]: ...

    # the controller
    def controller(self) -> Lease | None:
        """The lease of the controller that is alive now, in any process."""

    def run(self, stop: threading.Event, *, until_finished: Sequence[str] = ()) -> bool:
        """Controls until `stop` is set, or until the given jobs have finished and every requested
        application is settled. False where another process holds the lease."""
