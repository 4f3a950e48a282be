"""Everything a person can ask of Trimtab, and the only module that names concrete classes.

The CLI and the HTTP API parse, call one method here, and print. Methods that change something write
a wish; the controller, in whichever process holds the lease, turns wishes into facts.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from math import expm1
from pathlib import Path
from typing import Protocol, TypeVar

import psutil

from storage.sql import SqlStore
from tuner import cost, decide
from tuner.controller import Controller
from tuner.errors import Conflict, NotFound, StaleLease, TrimtabError
from tuner.executors.host import LocalHost
from tuner.executors.local import LocalExecutor
from tuner.interfaces import Store
from tuner.launch import launch_command
from tuner.model import (
    Application,
    ApplicationState,
    Attempt,
    AuditEvent,
    Job,
    JobState,
    Lease,
    MetricPoint,
    Plan,
    Spend,
    Trial,
    TrialState,
    Wish,
)
from tuner.rollout import Rollout, new_application
from tuner.search import make_searcher
from tuner.spec import JobSpec
from tuner.targets import TARGETS

log = logging.getLogger(__name__)

LEASE_TTL_S = 15.0
STEP_S = 0.25
MAX_ERRORS = 20
"""Steps of a job that may fail in a row (a full disk, a locked store) before it is given up."""


class SystemClock:
    """The real time."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)


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
    """The best admissible trial so far."""
    best_gain_pct: float | None
    """Its screened gain over the baseline; not confirmed yet."""
    running: tuple[int, ...]
    """Numbers of the trials that run now."""


class Service:
    """A home folder, opened. Close it, or use it as a context."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.home = home
        self._store: Store = SqlStore(home / "trimtab.db")
        self._executor = LocalExecutor(home / "attempts")
        self._host = LocalHost()
        self._clock = SystemClock()
        started_s = psutil.Process().create_time()
        self.holder = f"{socket.gethostname()}/{os.getpid()}/{started_s}/{secrets.token_hex(4)}"

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._store.close()

    # Jobs

    def create_job(self, spec: JobSpec, *, actor: str) -> Job:
        """A new job; a target's relative path is taken from the home folder."""
        now = self._clock.now()
        milliseconds = int(now.timestamp() * 1000)
        job = Job(
            id=f"job_{milliseconds:x}{secrets.token_hex(2)}",
            spec=self._with_absolute_target(spec),
            created_at=now,
        )
        self._store.save(job, self._event(actor, "job.create", job.id, job.id, job.name))
        return job

    def _with_absolute_target(self, spec: JobSpec) -> JobSpec:
        target = spec.apply.target
        if target is None:
            return spec
        path = str((self.home / Path(target.path).expanduser()).resolve())
        return replace(spec, apply=replace(spec.apply, target=replace(target, path=path)))

    def jobs(self) -> list[Job]:
        return self._store.jobs()

    def job(self, ref: str) -> Job:
        """By id, unique prefix of one, name (the latest of that name) or `@last`."""
        jobs = self._store.jobs()
        named = [job for job in jobs if job.name == ref]
        return named[-1] if named else _found(jobs, ref, "job", "`trimtab job list`")

    def progress(self, ref: str) -> Progress:
        job = self.job(ref)
        trials, attempts = self._store.trials(job.id), self._store.attempts(job.id)
        best = next(iter(decide.ranking(job.spec, trials)), None)
        baseline = trials[0] if trials else None
        return Progress(
            trials_done=sum(t.state.is_finished for t in trials),
            trials_total=_trials_total(job, trials),
            pairs_done=_pairs_done(attempts),
            pairs_total=job.spec.apply.pairs,
            eta_s=_eta_s(job, trials, attempts),
            spend=cost.total(attempts),
            baseline=baseline,
            best=best,
            best_gain_pct=_gain_pct(job, best, baseline),
            running=tuple(a.trial_number for a in attempts if not a.state.is_finished),
        )

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
        latest = attempts[-1]
        return self._executor.tail(latest.launch_key, rank, max_bytes)

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

    def apply(self, plan_ref: str, *, actor: str) -> Application:
        """Asks for a plan to be put on its job's target."""
        plan = self.plan(plan_ref)
        job = self._store.job(plan.job_id)
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
        return self._store.lease()

    def run(self, stop: threading.Event, *, until_finished: Sequence[str] = ()) -> bool:
        """Controls until `stop` is set, or until the given jobs have finished and every requested
        application is settled. False where another process holds the lease."""
        held = self._store.lease()
        if held is not None and _is_dead(held.holder):
            self._store.release_lease(held.holder)  # nothing happens if another was quicker
        lease = self._store.acquire_lease(self.holder, LEASE_TTL_S)
        if lease is None:
            return False
        clock = SystemClock(stop)
        loop = _Loop(self._store, self._controller(clock, lease), self._rollout(clock, lease))
        renewed_s = time.monotonic()
        try:
            while not stop.is_set():
                if time.monotonic() - renewed_s > LEASE_TTL_S / 4:
                    renewed = self._store.acquire_lease(self.holder, LEASE_TTL_S)
                    if renewed is None or renewed.epoch != lease.epoch:
                        raise StaleLease("the lease was lost")
                    renewed_s = time.monotonic()
                loop.step()
                if until_finished and self._is_settled(until_finished):
                    break
                clock.sleep(STEP_S)
        except StaleLease:
            log.warning("another controller took over")
            return False
        finally:
            self._store.release_lease(self.holder)
        return True

    def _controller(self, clock: SystemClock, lease: Lease) -> Controller:
        return Controller(
            self._store,
            self._executor,
            clock,
            self._host,
            make_searcher=make_searcher,
            epoch=lease.epoch,
        )

    def _rollout(self, clock: SystemClock, lease: Lease) -> Rollout:
        return Rollout(
            self._store,
            clock,
            lambda application: TARGETS[application.target_kind](Path(application.target_path)),
            self._baseline_plan,
            epoch=lease.epoch,
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

    def _is_settled(self, job_ids: Sequence[str]) -> bool:
        finished = all(self._store.job(job_id).state.is_finished for job_id in job_ids)
        open_ones = [
            a
            for a in self._store.applications()
            if not a.state.is_finished and a.state is not ApplicationState.APPLIED
        ]
        return finished and not open_ones

    def _event(self, actor: str, action: str, job_id: str, subject: str, detail: str) -> AuditEvent:
        return AuditEvent(
            at=self._clock.now(),
            actor=actor,
            action=action,
            job_id=job_id,
            subject=subject,
            detail=detail,
        )


def _is_dead(holder: str) -> bool:
    """Whether a holder was a process of this host that is gone (pid and start time)."""
    host, pid, started_s, _ = holder.split("/")
    if host != socket.gethostname():
        return False
    try:
        return psutil.Process(int(pid)).create_time() != float(started_s)
    except psutil.NoSuchProcess:
        return True


class _Loop:
    """One turn over every active job; a job whose steps keep failing is given up, alone."""

    def __init__(self, store: Store, controller: Controller, rollout: Rollout) -> None:
        self._store = store
        self._controller = controller
        self._rollout = rollout
        self._errors: dict[str, int] = {}

    def step(self) -> None:
        for job in self._store.jobs():
            if not job.state.is_finished:
                self._guarded(job.id, partial(self._controller.step, job.id))
        self._guarded("rollout", self._rollout.step)

    def _guarded(self, name: str, step: Callable[[], None]) -> None:
        try:
            step()
            self._errors.pop(name, None)
        except StaleLease:
            raise
        except Exception as error:
            self._errors[name] = self._errors.get(name, 0) + 1
            log.exception("step of %s failed (%d in a row)", name, self._errors[name])
            expected = isinstance(error, TrimtabError)
            if self._errors[name] >= (MAX_ERRORS if expected else 3) and name != "rollout":
                self._controller.give_up(name, f"{type(error).__name__}: {error}")


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


def _trials_total(job: Job, trials: Sequence[Trial]) -> int:
    over = job.state.is_finished or job.state is JobState.CONFIRMING
    return len(trials) if over else max(len(trials), job.spec.budget.trials)


def _pairs_done(attempts: Sequence[Attempt]) -> int:
    done = [a.pair for a in attempts if a.pair is not None and a.state.is_finished]
    return sum(done.count(pair) >= 2 for pair in set(done))


def _eta_s(job: Job, trials: Sequence[Trial], attempts: Sequence[Attempt]) -> float | None:
    """From the mean length of the launches so far; None before the first has ended."""
    ended = [a for a in attempts if a.state.is_finished]
    if job.state.is_finished or not ended:
        return None
    left = _trials_total(job, trials) - sum(t.state.is_finished for t in trials)
    left_pairs = job.spec.apply.pairs - _pairs_done(attempts)
    launches = left / job.spec.search.parallel_trials + 2 * left_pairs
    return launches * sum(a.spend.wall_s for a in ended) / len(ended)


def _gain_pct(job: Job, best: Trial | None, baseline: Trial | None) -> float | None:
    if best is None or baseline is None or best.measurement is None:
        return None
    if baseline.state is not TrialState.COMPLETE or baseline.measurement is None:
        return None
    return 100 * expm1(decide.score(job.spec, best.measurement, baseline.measurement))
