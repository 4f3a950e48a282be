"""The loop over one job: observe what runs, learn from what has ended, launch what comes next.

`step` never blocks. Write, act, write: an attempt is committed as an intent with its launch key
before the executor is asked, and launching is idempotent by that key, so that a controller killed
at any point is continued by the next one, with nothing lost and nothing run twice.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from tuner import budget, conclude, cost, decide, fingerprint, stopping
from tuner.application import Application
from tuner.disturbance import is_repeated, usual_load_pct
from tuner.errors import ExecutorError, TrimtabError
from tuner.estimate.refusal import memory_refusal
from tuner.gang import Gang, RunState, RunStatus
from tuner.interfaces import Clock, Executor, Fact, Host, Searcher, Store
from tuner.known import Known, known_gain
from tuner.launch import held, launch_command, place
from tuner.model import (
    Attempt,
    AttemptState,
    Failure,
    FailureKind,
    JobState,
    Plan,
    Suggestion,
    Trial,
    TrialState,
    Wish,
)
from tuner.observe import Watch
from tuner.policy import request_by_policy
from tuner.snapshot import Snapshot, devices, ended_as
from tuner.spec import JobSpec

log = logging.getLogger(__name__)

EXECUTOR_PATIENCE_S = 60.0
"""How long an executor that cannot start a gang is asked again before the attempt is lost."""

MakeSearcher = Callable[[JobSpec, Sequence[Trial], Known | None], Searcher]


class Controller:
    """Turns the wishes of one job into facts."""

    def __init__(
        self,
        store: Store,
        executor: Executor,
        clock: Clock,
        host: Host,
        *,
        make_searcher: MakeSearcher,
        epoch: int,
    ) -> None:
        self._store = store
        self._executor = executor
        self._clock = clock
        self._host = host
        self._make_searcher = make_searcher
        self._epoch = epoch
        self._watches: dict[str, Watch] = {}

    def step(self, job_id: str) -> None:
        """Observes, learns and launches, once. Raises StaleLease where another controller leads."""
        now = Snapshot(
            self._store.job(job_id), self._store.trials(job_id), self._store.attempts(job_id)
        )
        if now.job.state.is_finished:
            return
        for attempt in now.live:
            self._observe(now, attempt)
        room = budget.room(now.job.spec, now.trials, now.attempts)
        if room.is_spent or room.must_confirm:  # whatever is wished
            self._stop_live(now, "budget")
        if now.job.wish is Wish.CANCEL:
            self._cancel(now)
        elif now.job.wish is Wish.PAUSE:
            self._enter(now, JobState.PAUSED, "paused: nothing new is launched")
        else:
            self._advance(now)

    def give_up(self, job_id: str, cause: str) -> None:
        """Fails a job that cannot be stepped. What cannot even be stopped ends with its lease."""
        job = self._store.job(job_id)
        for attempt in self._store.attempts(job_id):
            if attempt.handle is not None and not attempt.state.is_finished:
                with suppress(TrimtabError):
                    self._executor.stop(attempt.handle, "cancelled")
        now = Snapshot(job, self._store.trials(job_id), [])
        self._end(now, JobState.FAILED, f"given up after repeated errors: {cause}")

    # Observing

    def _observe(self, now: Snapshot, attempt: Attempt) -> None:
        if attempt.handle is None:  # the controller before this one stopped between two writes
            here = self._host.fingerprint(now.job.spec)
            if fingerprint.difference(attempt.fingerprint, here):
                self._lose(now, attempt, "conditions changed before it was launched")
            else:
                self._start(now, attempt)
            return
        watch = self._watches.get(attempt.launch_key)
        if watch is None:
            trial = now.trials[attempt.trial_number]
            watch = Watch.of(now.job.spec, trial, attempt, attempt.handle)
            watch.usual_load_pct = usual_load_pct(now.job.spec, now.attempts)
            self._watches[attempt.launch_key] = watch
        status = self._executor.poll(attempt.handle)
        if status.state in (RunState.STARTING, RunState.RUNNING):
            used = watch.completed(status)
            spend = cost.spend_of(now.job.spec, attempt, used, self._clock.now())
            now.put(replace(attempt, spend=spend))
            watch.look(self._executor, status, now.trials)
        elif watch.read(self._executor):
            self._finish(now, watch, status)

    def _finish(self, now: Snapshot, watch: Watch, status: RunStatus) -> None:
        measurement, failure = watch.result(self._executor, status)
        # Cut short by us before it showed anything: nothing is known of the configuration.
        cut = status.reason == "budget" and measurement is None
        if cut or status.reason == "cancelled":
            measurement, failure = None, None
        if measurement is not None:
            measurement = replace(measurement, fingerprint=watch.attempt.fingerprint)
        attempt = replace(
            watch.attempt,
            state=ended_as(measurement, failure),
            ended_at=self._clock.now(),
            measurement=measurement,
            failure=failure,
            spend=cost.spend_of(
                now.job.spec, watch.attempt, watch.completed(status), self._clock.now()
            ),
        )
        now.put(attempt)
        facts: list[Fact] = [attempt, *watch.points()]
        if attempt.purpose == "measure":
            facts.append(self._concluded(now, attempt))
        self._save(now, *facts, event=f"{attempt.purpose}.{attempt.state}", about=attempt)
        del self._watches[attempt.launch_key]

    def _concluded(self, now: Snapshot, attempt: Attempt) -> Trial:
        """The trial after its own attempt has ended; one that something outside spoilt waits to be
        launched again."""
        trial = now.trials[attempt.trial_number]
        lost = attempt.failure is not None and attempt.failure.kind.is_infrastructure
        retried = lost and decide.retries_left(now.attempts, trial.number)
        if retried or is_repeated(attempt, now.attempts):
            return replace(trial, state=TrialState.WAITING)
        return replace(
            trial,
            state=TrialState(attempt.state),
            measurement=attempt.measurement,
            failure=attempt.failure,
            ended_at=attempt.ended_at,
        )

    # Going on

    def _advance(self, now: Snapshot) -> None:
        spec = now.job.spec
        if now.job.state is JobState.PAUSED:
            self._enter(now, JobState.SEARCHING, "resumed")
        if not now.trials:
            default = Suggestion(params=spec.space.default(), reason="the default: the baseline")
            self._suggest(now, default)
        while self._act(
            now, decide.next_action(spec, now.trials, now.attempts, self._situation(now))
        ):
            pass

    def _act(self, now: Snapshot, action: decide.Action) -> bool:
        """Does one thing; whether there may be another at once."""
        match action:
            case decide.Wait():
                return False
            case decide.Ask():
                self._ask(now)
                return True
            case decide.Launch(trial_number=number, pair=pair):
                if pair is not None:
                    self._end_search(now)
                return self._launch(now, number, pair)
            case decide.Conclude(candidate=candidate):
                self._end_search(now)
                self._conclude(now, candidate)
                return False

    def _situation(self, now: Snapshot) -> decide.Situation:
        room = budget.room(now.job.spec, now.trials, now.attempts)
        return decide.Situation(
            search_over=bool(now.job.search_ended)
            or stopping.why_over(now.job.spec, now.trials, now.attempts) is not None,
            out_of_budget=room.is_spent,
            may_measure=room.may_measure,
            may_pair=room.may_pair,
        )

    def _ask(self, now: Snapshot) -> None:
        known = known_gain(now.job.spec, self._host)
        suggestions = self._make_searcher(now.job.spec, now.trials, known).ask(1)
        suggestion = suggestions[0] if suggestions else None
        why = stopping.why_refused(now.job.spec, now.trials, now.attempts, suggestion)
        if suggestion is not None and why is None:
            self._suggest(now, suggestion)
        else:
            self._end_search(now, why)

    def _end_search(self, now: Snapshot, why: str | None = None) -> None:
        """Writes down, once, why nothing more is searched."""
        if now.job.search_ended:
            return
        spec, trials, attempts = now.job.spec, now.trials, now.attempts
        why = why or stopping.why_over(spec, trials, attempts) or stopping.why_spent(spec, attempts)
        event = now.event("search.end", self._clock.now(), detail=why)
        self._save(now, replace(now.job, search_ended=why), event)

    def _suggest(self, now: Snapshot, suggestion: Suggestion) -> None:
        trial = Trial(
            job_id=now.job.id,
            number=len(now.trials),
            params=suggestion.params,
            reason=suggestion.reason,
            predicted=suggestion.predicted,
            expected_gain=suggestion.expected_gain,
            created_at=self._clock.now(),
        )
        self._save(now, replace(now.job, state=JobState.SEARCHING, message="searching"), trial)

    def _launch(self, now: Snapshot, number: int, pair: int | None) -> bool:
        """Whether something changed; False where the machine has no room at the moment."""
        trial, spec = now.trials[number], now.job.spec
        gpus = budget.usable_gpus(spec, self._host.gpus(), self._host.gpu_names())
        cores, (taken_cores, taken_gpus) = self._host.cores(), self._taken()
        try:
            command = launch_command(spec, trial.params)
            placement = place(
                spec,
                command,
                free_cores=[c for c in cores if c not in taken_cores],
                all_cores=cores,
                free_gpus=[g for g in gpus if g not in taken_gpus],
                all_gpus=gpus,
            )
        except ValueError as error:
            self._refuse(now, trial, str(error))
            return True
        if placement is None:
            self._enter(now, now.job.state, "waiting for cores or GPUs that other trials hold")
            return False
        placement = replace(placement, gpu_names=held(self._host.gpu_names(), placement))
        refusal = budget.refusal(spec, now.attempts, placement)
        if pair is None and refusal is not None:
            self._refuse(now, trial, refusal, "raise the budget, or complete the price book")
            return True
        here = dict(self._host.fingerprint(spec))
        too_large = memory_refusal(spec, trial.params, placement, here)
        if pair is None and too_large is not None:
            self._refuse(now, trial, too_large)
            return True
        changes = fingerprint.difference(fingerprint.of_job(now.attempts), here)
        if changes:
            return self._end_changed(now, changes)
        attempt = now.new_attempt(number, pair, placement, here, self._clock.now())
        facts: list[Fact] = [attempt]
        if pair is None:
            facts.append(replace(trial, state=TrialState.RUNNING))
        # The clock of the budget starts with the first launch, not while it waits for room.
        state = JobState.SEARCHING if pair is None else JobState.CONFIRMING
        ended = f"confirming the winner; the search ended: {now.job.search_ended}"
        message = "searching" if pair is None else ended
        started_at = now.job.started_at or self._clock.now()
        facts.append(replace(now.job, state=state, message=message, started_at=started_at))
        self._save(now, *facts)
        self._start(now, attempt)
        return True

    def _end_changed(self, now: Snapshot, changes: Sequence[str]) -> bool:
        """Figures from before and after a change are not compared: the job ends with what runs."""
        if not now.live:
            self._end(now, JobState.FAILED, fingerprint.broken_off(changes))
        return False

    def _start(self, now: Snapshot, attempt: Attempt) -> None:
        """Asks the executor for an intended attempt; safe to repeat."""
        resources = now.job.spec.resources
        gang = Gang(
            launch_key=attempt.launch_key,
            command=launch_command(now.job.spec, now.trials[attempt.trial_number].params),
            placement=attempt.placement,
            lease_s=resources.lease_s,
            memory_limit_gib=resources.memory_limit_gib,
            files=tuple(file.path for file in now.job.spec.workload.log.files),
        )
        try:
            handle = self._executor.launch(gang)
        except ExecutorError as error:
            # The intent stays: the next step asks again, for a minute.
            if self._clock.now() - attempt.created_at > timedelta(seconds=EXECUTOR_PATIENCE_S):
                self._lose(now, attempt, str(error))
            return
        self._save(now, replace(attempt, state=AttemptState.RUNNING, handle=handle))

    def _lose(self, now: Snapshot, attempt: Attempt, cause: str) -> None:
        failure = Failure(
            kind=FailureKind.LOST, cause=cause, remedy="see the log of the controller"
        )
        ended = replace(
            attempt, state=AttemptState.FAILED, failure=failure, ended_at=self._clock.now()
        )
        now.put(ended)
        facts: list[Fact] = [ended]
        if ended.purpose == "measure":
            facts.append(self._concluded(now, ended))
        self._save(now, *facts, event="measure.failed", about=ended)

    def _refuse(
        self,
        now: Snapshot,
        trial: Trial,
        cause: str,
        remedy: str = "take it out of the space, or add a constraint",
    ) -> None:
        """A configuration that can never run here costs no launch."""
        failure = Failure(kind=FailureKind.INFEASIBLE, cause=cause, remedy=remedy)
        self._save(
            now,
            replace(trial, state=TrialState.FAILED, failure=failure, ended_at=self._clock.now()),
        )

    def _taken(self) -> tuple[set[int], set[int]]:
        """Cores and GPUs that attempts of any job hold now."""
        active = [job.id for job in self._store.jobs() if not job.state.is_finished]
        return devices(a for job_id in active for a in self._store.attempts(job_id))

    # Ending

    def _conclude(self, now: Snapshot, candidate: int | None) -> None:
        plan = conclude.make_plan(now.evidence(self._store, candidate), self._clock.now())
        if plan is None:
            self._end(now, JobState.FAILED, conclude.why_no_plan(now.trials))
            return
        here = self._host.fingerprint(now.job.spec)
        changes = fingerprint.difference(plan.fingerprint, here)
        application, why_not = request_by_policy(now.job, plan, self._clock.now(), changes)
        facts: list[Plan | Application] = [plan]
        if application is not None:
            facts.append(application)
        said = [plan.explanation[0], conclude.why_ended(now.job), why_not]
        message = " ".join(part for part in said if part)
        self._end(now, JobState.SUCCEEDED, message, *facts)

    def _cancel(self, now: Snapshot) -> None:
        self._stop_live(now, "cancelled")
        if not now.live:
            self._end(now, JobState.CANCELLED, "cancelled on request")

    def _stop_live(self, now: Snapshot, reason: str) -> None:
        for attempt in now.live:
            watch = self._watches.get(attempt.launch_key)
            if watch is not None and not watch.is_stopping:
                watch.stop(self._executor, reason)

    def _end(self, now: Snapshot, state: JobState, message: str, *facts: Fact) -> None:
        ended_at = self._clock.now()
        waiting = [
            replace(t, state=TrialState.CANCELLED, ended_at=ended_at)
            for t in now.trials
            if not t.state.is_finished
        ]
        job = replace(now.job, state=state, message=message, ended_at=ended_at)
        self._save(now, *facts, *waiting, job, event=f"job.{state}")
        log.info("job %s %s: %s", job.id, state, message)

    def _enter(self, now: Snapshot, state: JobState, message: str) -> None:
        if now.job.state is not state or now.job.message != message:
            self._save(now, replace(now.job, state=state, message=message))

    def _save(
        self, now: Snapshot, *facts: Fact, event: str = "", about: Attempt | None = None
    ) -> None:
        """One transaction, with its audit event."""
        written = list(facts)
        if event:
            written.append(now.event(event, self._clock.now(), about))
        self._store.save(*written, epoch=self._epoch)
        now.put(*facts)
