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

from storage.sql import SqlStore
from tuner import budget, cost, decide
from tuner.application import Application
from tuner.applying import Rollout, Surroundings
from tuner.controller import Controller
from tuner.errors import Conflict, NotFound, UserError
from tuner.executors import EXECUTORS
from tuner.executors.host import LocalHost
from tuner.explain.nouns import Explanation
from tuner.interfaces import Clock, Store, Target
from tuner.known import known_gain, placements
from tuner.launch import launch_command
from tuner.ledger import Ledger, ledger_of
from tuner.loop import Loop, SystemClock, is_dead
from tuner.model import Attempt, Job, Lease, MetricPoint, Plan, Trial, Wish
from tuner.progress import Progress, progress_of
from tuner.requests import HALTED, PlanRequests, found
from tuner.search.remembered import Remembering
from tuner.spec import JobSpec
from tuner.spec_apply import placed
from tuner.targets import open_target

log = logging.getLogger(__name__)


class Service(PlanRequests):
    """A home folder, opened. Close it, or use it as a context."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.home = home
        self._store: Store = SqlStore(home / "trimtab.db")
        self._executor = EXECUTORS["local"](home / "attempts")
        self._host = LocalHost()
        self._clock = SystemClock()
        self._searchers = Remembering(self._store)
        self._targets: dict[str, Target] = {}
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
        return replace(spec, apply=placed(spec.apply, self.home))

    def jobs(self) -> list[Job]:
        return self._store.jobs()

    def job(self, ref: str) -> Job:
        """By id, unique prefix of one, name (the latest of that name) or `@last`."""
        with suppress(NotFound):
            return self._store.job(ref)
        jobs = self._store.jobs()
        named = [job for job in jobs if job.name == ref]
        return named[-1] if named else found(jobs, ref, "job", "`trimtab job list`")

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
            Surroundings(
                open_target=self._target,
                baseline_plan=self._baseline_plan,
                changes=self.changes_of,
                is_halted=(self.home / HALTED).exists,
            ),
            epoch=epoch,
        )

    def _target(self, application: Application) -> Target:
        """Kept open, as it may have read far into the logs of what runs there."""
        opened = self._targets.get(application.id)
        if opened is None:
            opened = open_target(self._store.job(application.job_id).spec)
            self._targets[application.id] = opened
        return opened

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
