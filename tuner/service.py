"""Everything a person can ask of Trimtab, and the only module that names concrete classes.

The CLI and the HTTP API parse, call one method here, and print. Methods that change something write
a wish; the controller, in whichever process holds the lease, turns wishes into facts.
"""

import logging
import re
import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from storage.sql import SqlStore
from tuner import budget, cost, decide, fingerprint
from tuner.controller import Controller
from tuner.errors import Conflict, NotFound, UserError
from tuner.executors import EXECUTORS
from tuner.executors.host import LocalHost
from tuner.explain.nouns import Explanation
from tuner.interfaces import Clock, Store
from tuner.known import known_gain, placements
from tuner.launch import launch_command
from tuner.ledger import Ledger, ledger_of
from tuner.loop import Loop, SystemClock, is_dead
from tuner.model import (
    Application,
    ApplicationState,
    Attempt,
    AuditEvent,
    Job,
    Lease,
    MetricPoint,
    Plan,
    Trial,
    Wish,
)
from tuner.progress import Progress, progress_of
from tuner.rollout import Rollout, new_application
from tuner.search.remembered import Remembering
from tuner.spec import JobSpec
from tuner.targets import TARGETS

log = logging.getLogger(__name__)


class Service:
    """A home folder, opened. Close it, or use it as a context."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.home = home
        self._store: Store = SqlStore(home / "trimtab.db")
        self._executor = EXECUTORS["local"](home / "attempts")
        self._host = LocalHost()
        self._clock = SystemClock()
        self._searchers = Remembering(self._store)
        self._loop = Loop(self._store, self._controller, self._rollout)

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._executor.close()
        self._store.close()

    # Jobs

    def create_job(self, spec: JobSpec, *, actor: str) -> Job:
        """A new job. Relative paths that are left (a job file's have been resolved by its own
        folder) are taken from the home folder."""
        gpu_names = self._host.gpu_names().values()
        unpriced = spec.missing_price() or budget.unpriced(spec, gpu_names)
        if unpriced is not None:
            raise UserError(unpriced)
        now = self._clock.now()
        milliseconds = int(now.timestamp() * 1000)
        job = Job(
            id=f"job_{milliseconds:x}{secrets.token_hex(2)}",
            spec=self._placed(spec),
            created_at=now,
        )
        self._store.save(job, self._event(actor, "job.create", job.id, job.id, job.name))
        return job

    def _placed(self, spec: JobSpec) -> JobSpec:
        folder = str((self.home / (spec.workload.working_dir or "")).resolve())
        spec = replace(spec, workload=replace(spec.workload, working_dir=folder))
        target = spec.apply.target
        if target is None:
            return spec
        path = str((self.home / Path(target.path).expanduser()).resolve())
        return replace(spec, apply=replace(spec.apply, target=replace(target, path=path)))

    def jobs(self) -> list[Job]:
        return self._store.jobs()

    def job(self, ref: str) -> Job:
        """By id, unique prefix of one, name (the latest of that name) or `@last`."""
        with suppress(NotFound):
            return self._store.job(ref)
        jobs = self._store.jobs()
        named = [job for job in jobs if job.name == ref]
        return named[-1] if named else _found(jobs, ref, "job", "`trimtab job list`")

    def progress(self, ref: str) -> Progress:
        job, now = self.job(ref), self._clock.now()
        attempts = [cost.up_to_now(job.spec, a, now) for a in self._store.attempts(job.id)]
        return progress_of(job, self._store.trials(job.id), attempts)

    def ledger(self, ref: str) -> Ledger:
        """What a job has spent so far, launch by launch."""
        job = self.job(ref)
        return ledger_of(job, self._store.attempts(job.id), self._clock.now())

    def explain(self, ref: str) -> Explanation:
        """What the trials of a job say together: what matters, and what else would do."""
        from tuner.explain.explanation import explain  # its libraries take 0.5 s

        job = self.job(ref)
        known, placed = known_gain(job.spec, self._host), placements(job.spec, self._host)
        return explain(job, self._store.trials(job.id), known, placed)

    def pause(self, ref: str, *, actor: str) -> Job:
        """Launches nothing new; what runs goes on to its end."""
        return self._wish(ref, Wish.PAUSE, actor)

    def resume(self, ref: str, *, actor: str) -> Job:
        return self._wish(ref, Wish.RUN, actor)

    def cancel(self, ref: str, *, actor: str) -> Job:
        """Ends what runs and the job with it."""
        return self._wish(ref, Wish.CANCEL, actor)

    def _wish(self, ref: str, wish: Wish, actor: str) -> Job:
        job = self.job(ref)
        if job.state.is_finished:
            raise Conflict(f"job {job.id} is {job.state} already; create a new one instead")
        if job.wish is Wish.CANCEL and wish is not Wish.CANCEL:
            raise Conflict(f"job {job.id} is being cancelled")
        self._store.wish(job.id, wish)
        self._store.save(self._event(actor, f"job.{wish}", job.id, job.id, ""))
        return self._store.job(job.id)

    # Trials

    def trials(self, ref: str) -> list[Trial]:
        return self._store.trials(self.job(ref).id)

    def trial(self, ref: str, number: int) -> Trial:
        trials = self.trials(ref)
        if not 0 <= number < len(trials):
            known = f"0 to {len(trials) - 1}" if trials else "none yet"
            raise NotFound(f"job {ref} has no trial {number}; its trials: {known}")
        return trials[number]

    def admissible(self, ref: str) -> frozenset[int]:
        """Numbers of the trials that may win: measured, steady, within every limit."""
        job = self.job(ref)
        ranked = decide.ranking(job.spec, self._store.trials(job.id))
        return frozenset(trial.number for trial in ranked)

    def attempts(self, ref: str, number: int | None = None) -> list[Attempt]:
        return self._store.attempts(self.job(ref).id, number)

    def points(self, ref: str, number: int, name: str | None = None) -> list[MetricPoint]:
        return self._store.points(self.job(ref).id, number, name)

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
        launch_key = self._attempt(ref, number, attempt).launch_key
        return self._executor.tail(launch_key, rank, max_bytes)

    def line(self, ref: str, number: int, at: str, attempt: int | None = None) -> str:
        """The line of a source, `stream:offset`; the first one of `stream:offset-offset`.

        `attempt` None is the one that gave the measurement of the trial, else the latest."""
        match = re.fullmatch(r"([^:\s]+):(\d{1,18})(?:-\d+)?", at)
        if match is None:
            raise NotFound(f"{at!r} is no place in a log; give one like `rank-0.log:1234`")
        shown = self.trial(ref, number).measurement
        if attempt is None and shown is not None:
            gave = (a.number for a in self.attempts(ref, number) if a.measurement == shown)
            attempt = next(gave, None)
        launched = self._attempt(ref, number, attempt)
        found = self._executor.line(launched.launch_key, match[1], int(match[2]))
        if not found:
            raise NotFound(
                f"no line of {match[1]} of attempt {launched.number} ends at byte {match[2]}"
            )
        return found

    def _attempt(self, ref: str, number: int, attempt: int | None) -> Attempt:
        trial = self.trial(ref, number)
        attempts = [
            a
            for a in self._store.attempts(trial.job_id, number)
            if attempt is None or a.number == attempt
        ]
        if not attempts:
            raise NotFound(
                f"trial {number} has no attempt {attempt if attempt is not None else ''}"
            )
        return attempts[-1]

    # Plans

    def plans(self, ref: str | None = None) -> list[Plan]:
        return self._store.plans(None if ref is None else self.job(ref).id)

    def plan(self, ref: str) -> Plan:
        """By id, unique prefix of one, or `@last`; also by a job's id or name: its plan."""
        plans = self._store.plans()
        of_job = [p for p in plans if ref in (p.job_id, self._job_name(p.job_id))]
        return of_job[-1] if of_job else _found(plans, ref, "plan", "`trimtab plan list`")

    def _job_name(self, job_id: str) -> str:
        return self._store.job(job_id).name

    def changes(self, plan_ref: str) -> tuple[str, ...]:
        """What has changed since a plan was measured, in words; empty where its evidence holds."""
        plan = self.plan(plan_ref)
        here = self._host.fingerprint(self._store.job(plan.job_id).spec)
        return fingerprint.difference(plan.fingerprint, here)

    def apply(self, plan_ref: str, *, actor: str, stale: bool = False) -> Application:
        """Asks for a plan to be put on its job's target; one that was measured under other
        conditions only where `stale` says so."""
        plan = self.plan(plan_ref)
        job = self._store.job(plan.job_id)
        changes = () if stale else self.changes(plan.id)
        if changes:
            raise Conflict(
                f"plan {plan.id} was measured under other conditions: {'; '.join(changes)}. "
                "Remedy: tune again, or apply it all the same as stale (`--stale`)"
            )
        if job.spec.apply.target is None:
            raise Conflict(
                f"job {job.name} has no target; add `apply: {{target: {{path: plan.json}}}}`"
            )
        self._refuse_while_busy(job.spec.apply.target.path)
        now = self._clock.now()
        application = new_application(
            job, plan, actor=actor, now=now, id_suffix=secrets.token_hex(3)
        )
        event = self._event(actor, "plan.apply", job.id, plan.id, application.id)
        self._store.save(application, event)
        return application

    def _refuse_while_busy(self, path: str) -> None:
        settled = (ApplicationState.APPLIED,)
        for other in self._store.applications():
            busy = not other.state.is_finished and other.state not in settled
            if other.target_path == path and busy:
                raise Conflict(f"application {other.id} to the same target is {other.state}")

    def rollback(self, application_ref: str | None, *, actor: str) -> Application:
        """Asks for the plan before to be put back. None: the application that is in force."""
        applications = self._store.applications()
        if application_ref is None:
            in_force = [a for a in applications if a.state is ApplicationState.APPLIED]
            if not in_force:
                raise NotFound("no application is in force; see `trimtab plan list`")
            application = max(in_force, key=lambda a: a.updated_at)
        else:
            hint = "`trimtab plan get PLAN`"
            application = _found(applications, application_ref, "application", hint)
        if application.state is not ApplicationState.APPLIED:
            raise Conflict(f"application {application.id} is {application.state}, not in force")
        wanted = replace(
            application,
            state=ApplicationState.ROLLBACK_REQUESTED,
            updated_at=self._clock.now(),
        )
        event = self._event(actor, "plan.rollback", application.job_id, application.id, "")
        self._store.save(wanted, event)
        return wanted

    def applications(self, ref: str | None = None) -> list[Application]:
        return self._store.applications(None if ref is None else self.job(ref).id)

    def application(self, ref: str) -> Application:
        return _found(self._store.applications(), ref, "application", "`trimtab plan list`")

    def events(self, ref: str | None = None) -> list[AuditEvent]:
        return self._store.events(None if ref is None else self.job(ref).id)

    # The controller

    def controller(self) -> Lease | None:
        """The lease of the controller that is alive now, in any process."""
        lease = self._store.lease()
        return None if lease is None or is_dead(lease.holder) else lease

    def run(self, stop: threading.Event, *, until_finished: Sequence[str] = ()) -> bool:
        """Controls until `stop` is set, or until the given jobs have finished and every requested
        application is settled. False where another process holds the lease."""
        return self._loop.run(stop, until_finished)

    def _controller(self, clock: Clock, epoch: int) -> Controller:
        return Controller(
            self._store,
            self._executor,
            clock,
            self._host,
            make_searcher=self._searchers,
            epoch=epoch,
        )

    def _rollout(self, clock: Clock, epoch: int) -> Rollout:
        return Rollout(
            self._store,
            clock,
            lambda application: TARGETS[application.target_kind](Path(application.target_path)),
            self._baseline_plan,
            epoch=epoch,
        )

    def _baseline_plan(self, plan: Plan) -> Plan:
        """What a target held before Trimtab: the default configuration, as it was measured."""
        job = self._store.job(plan.job_id)
        placements = [a.placement for a in self._store.attempts(plan.job_id, 0)]
        return replace(
            plan,
            trial_number=0,
            params=plan.baseline_params,
            command=launch_command(job.spec, plan.baseline_params),
            placement=placements[-1] if placements else plan.placement,
            gain_pct=None,
            gain_low_pct=None,
            gain_high_pct=None,
        )

    def _event(self, actor: str, action: str, job_id: str, subject: str, detail: str) -> AuditEvent:
        return AuditEvent(
            at=self._clock.now(),
            actor=actor,
            action=action,
            job_id=job_id,
            subject=subject,
            detail=detail,
        )


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


_Thing = TypeVar("_Thing", bound=_Identified)


def _found(things: Sequence[_Thing], ref: str, noun: str, hint: str) -> _Thing:
    if ref == "@last" and things:
        return things[-1]
    exact = [thing for thing in things if thing.id == ref]
    matching = exact or [thing for thing in things if thing.id.startswith(ref) and ref]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise NotFound(f"{ref!r} fits {len(matching)} {noun}s; give more of the id ({hint})")
    raise NotFound(f"there is no {noun} {ref!r}; {hint} lists them")
