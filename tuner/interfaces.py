"""The roles. Whatever implements one passes the suite of that role under `tests/contract/`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from tuner.application import Application, ApplicationWish, Sighting
from tuner.audit import AuditTrail
from tuner.gang import Chunk, Gang, RunStatus
from tuner.model import Attempt, AuditEvent, Job, Lease, MetricPoint, Plan, Suggestion, Trial, Wish
from tuner.spec import JobSpec

Fact = Job | Trial | Attempt | MetricPoint | Plan | Application | AuditEvent


class Clock(Protocol):
    """Time, so that tests can own it."""

    def now(self) -> datetime:
        """The present moment, aware, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Waits; may return early when the process is asked to end."""
        ...


class Searcher(Protocol):
    """Chooses configurations. Built from a job and its trials, so a restart loses nothing.

    The trials it is built with count as told. It never suggests a configuration twice, nor one
    that a trial already has, and every suggestion is a member of the space.
    """

    def ask(self, n: int) -> list[Suggestion]:
        """Up to `n` new configurations; fewer, or none, when nothing is left worth trying."""
        ...

    def tell(self, trial: Trial) -> None:
        """A trial has ended: with a measurement, or with a failure of its configuration."""
        ...


class Executor(Protocol):
    """Runs gangs of processes. A handle is a string that outlives this process."""

    def launch(self, gang: Gang) -> str:
        """Starts a gang and returns its handle, without waiting for it.

        Idempotent by `gang.launch_key`: a second launch with the same key finds the first, whether
        it still runs or has ended. Raises ExecutorError where it cannot be started.
        """
        ...

    def poll(self, handle: str) -> RunStatus:
        """How the gang is doing, at once; also renews its lease. An unknown handle is LOST."""
        ...

    def stop(self, handle: str, reason: str) -> None:
        """Asks for the end of the gang and every descendant; returns at once and may be repeated.

        `poll` tells when it has ended; the reason of the first request is kept in its status.
        """
        ...

    def output(self, handle: str, cursor: Mapping[str, int]) -> list[Chunk]:
        """What the gang wrote beyond `cursor` (stream -> byte offset; absent is 0)."""
        ...

    def tail(self, handle: str, rank: int, max_bytes: int) -> str:
        """The last part of a rank's log as text, control characters removed."""
        ...

    def line(self, handle: str, stream: str, end: int) -> str:
        """The line of a stream that ends at a byte offset, as `tail` gives text; empty where there
        is none, or none any more."""
        ...

    def close(self) -> None:
        """Gives back what this process holds; gangs go on."""
        ...


class Store(Protocol):
    """The one source of truth: durable on return.

    Readers see whole transactions only. Trials and attempts come in the order of their numbers,
    jobs, plans, applications and events in the order of their creation.
    """

    def save(self, *facts: Fact, epoch: int | None = None) -> None:
        """Writes all of them or none. A fact with the identity of an earlier one replaces it;
        metric points and events are added.

        With `epoch`, raises StaleLease unless that is the epoch of the present lease: the
        controller always gives it. Without one (a person's wish: a new job, a requested
        application, its audit event) it is not asked for. Raises StoreError.
        """
        ...

    def wish(self, job_id: str, wish: Wish) -> None:
        """Records what a person wants of a job; raises NotFound."""
        ...

    def ask(self, application_id: str, wish: ApplicationWish) -> None:
        """Records what a person wants of an application; raises NotFound. As with a job's, saving
        the application leaves the wish as it is."""
        ...

    def job(self, job_id: str) -> Job:
        """Raises NotFound."""
        ...

    def jobs(self) -> list[Job]: ...

    def trials(self, job_id: str) -> list[Trial]: ...

    def attempts(self, job_id: str, trial_number: int | None = None) -> list[Attempt]: ...

    def points(self, job_id: str, trial_number: int, name: str | None) -> list[MetricPoint]:
        """By attempt, then time; `name` None means every metric."""
        ...

    def plans(self, job_id: str | None = None) -> list[Plan]: ...

    def applications(self, job_id: str | None = None) -> list[Application]: ...

    def events(self, job_id: str | None = None) -> list[AuditEvent]: ...

    def audit(self) -> AuditTrail:
        """Every event with its link, for `tuner.audit.verify`."""
        ...

    def lease(self) -> Lease | None: ...

    def acquire_lease(self, holder: str, ttl_s: float) -> Lease | None:
        """Takes the lease with a new epoch if it is free or `ttl_s` past its last renewal, by the
        store's own clock, or renews it (same epoch) for its holder. None where another holds it."""
        ...

    def release_lease(self, holder: str) -> None:
        """Gives the lease back at once; nothing happens where another holds it."""
        ...

    def close(self) -> None: ...


DAMAGED = "damaged"
"""What a target shows that holds something, but no whole plan: it may be overwritten."""


class Target(Protocol):
    """Where a plan is applied."""

    def current(self) -> str | None:
        """The hash of the plan that is on the target now; None where there is none, DAMAGED where
        it cannot be made out. Raises TargetError."""
        ...

    def apply(self, plan: Plan, canary_s: float | None) -> None:
        """Brings the plan there, or a step nearer to it: `current` shows when it is there. Returns
        soon, and may be called again and again.

        `canary_s`: the target goes back to the plan before by itself when this has not been called
        for so long (a plan file: when the first start with it fails). None: it is there for good.
        Raises TargetError.
        """
        ...

    def observe(self) -> Sighting:
        """What the workload itself shows, and which plan it reports. Raises TargetError."""
        ...

    def restore(self, plan_hash: str | None) -> None:
        """Puts back an earlier plan by its hash (None: no plan), or brings that a step nearer, as
        `apply`. Raises TargetError if it is not kept."""
        ...


class Host(Protocol):
    """What this computer has for trials."""

    def cores(self) -> Sequence[int]: ...

    def gpus(self) -> Sequence[int]: ...

    def gpu_names(self) -> Mapping[int, str]:
        """The name of each GPU, as the driver gives it: what its price goes by."""
        ...

    def fingerprint(self, spec: JobSpec) -> Mapping[str, str]:
        """What must be equal for two measurements of a job to be comparable, code and data
        included (`tuner.fingerprint`)."""
        ...
