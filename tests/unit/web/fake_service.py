"""A service of made-up jobs, in memory: for tests of the API and pictures of the dashboard."""

import math
import random
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tuner import decide
from tuner.application import Application, ApplicationState
from tuner.errors import Conflict, NotFound
from tuner.explain.explanation import explain
from tuner.explain.nouns import Explanation
from tuner.expression import Value
from tuner.ledger import Ledger, ledger_of
from tuner.model import (
    Attempt,
    AttemptState,
    AuditEvent,
    Failure,
    FailureKind,
    Job,
    JobState,
    LaunchCommand,
    Lease,
    Measurement,
    MetricPoint,
    Pair,
    Placement,
    Plan,
    Spend,
    Trial,
    TrialState,
    Wish,
)
from tuner.prices import PriceBook, Rate
from tuner.progress import Progress
from tuner.service import Service
from tuner.space import Choice, Int, Space
from tuner.spec import Budget, JobSpec, Limit, Objective, Quality, Workload
from tuner.spec_apply import Apply, FileTarget

HOST = "127.0.0.1:8321"
"""Where the tests find the API."""
NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
PLACEMENT = Placement(cores=((0,), (1,)), gpus=((), ()))


def dlrm_spec(name: str, trials: int = 24) -> JobSpec:
    """A job like those that people bring."""
    space = Space(
        params={
            "global_batch_size": Choice(options=(512, 1024, 2048, 4096), default=512),
            "nnodes": Int(low=1, high=2, default=2),
            "shard_strategy": Choice(options=("data_parallel", "table_wise", "row_wise")),
            "precision": Choice(options=("fp32", "bf16")),
            "threads_per_rank": Int(low=1, high=2),
            "loader_workers": Int(low=0, high=4),
        },
        constraints=("nnodes * threads_per_rank <= 2",),
    )
    return JobSpec(
        name=name,
        workload=Workload(name="dlrm"),
        space=space,
        objectives=(Objective(metric="samples_per_s", direction="maximize"),),
        limits=(Limit(metric="peak_memory_gib", max=4.0),),
        quality=Quality(),
        budget=Budget(trials=trials, usd=Decimal("2.0")),
        prices=PriceBook(as_of="2026-02-01", per_core_hour=Rate(on_demand=Decimal("0.048"))),
        apply=Apply(target=FileTarget(path="plans/dlrm.json")),
    )


def measurement(rate: float, rng: random.Random, memory_gib: float = 1.4) -> Measurement:
    half = rate * rng.uniform(0.006, 0.028)
    return Measurement(
        metrics={
            "samples_per_s": rate,
            "step_time_s": 1024 / rate,
            "usd_per_million_samples": 1e6 / rate * 0.096 / 3600,
            "peak_memory_gib": memory_gib,
            "cpu_utilization_pct": rng.uniform(82, 99),
            "time_to_first_step_s": rng.uniform(3, 5),
            "auc": 0.7712 + rng.uniform(-0.002, 0.002),
            "loss": 0.5211 + rng.uniform(-0.004, 0.004),
        },
        intervals={"samples_per_s": (rate - half, rate + half)},
        window_s=rng.uniform(4, 9),
        warmup_s=rng.uniform(0.8, 2.4),
        steps=340,
        samples=348_160,
        stopped="precise",
    )


OUT_OF_MEMORY = Failure(
    kind=FailureKind.HOST_OUT_OF_MEMORY,
    cause="rank 1 was ended at 4.31 GiB, above the limit of 4.00 GiB",
    remedy="Raise resources.memory_limit_gib or lower global_batch_size",
    rank=1,
    log_tail=("step 31 loss 0.6022", "step 32 loss 0.5987", "Killed"),
)
CRASH = Failure(
    kind=FailureKind.CRASH,
    cause="rank 0 ended with exit code 1: ValueError: row_wise needs at least 2 ranks",
    remedy="Add the constraint that the message names, e.g. nnodes >= 2",
    rank=0,
    log_tail=("Traceback (most recent call last):", "ValueError: row_wise needs at least 2 ranks"),
)

_RATE = {"data_parallel": 16_600, "table_wise": 48_000, "row_wise": 29_000}


def _rate(params: dict[str, Value]) -> float:
    batch = float(params["global_batch_size"])
    rate = _RATE[str(params["shard_strategy"])] * (0.55 + 0.15 * math.log2(batch / 512 + 1))
    rate *= 0.12 if params["precision"] == "bf16" else 1.0
    rate *= 0.7 if params["nnodes"] == 1 else 1.0
    return rate * (1 + 0.035 * float(params["loader_workers"]))


def make_trials(job: Job, count: int, running: int = 0) -> list[Trial]:
    """A plausible search: the baseline first, most trials measured, some failed."""
    rng = random.Random(7)
    trials: list[Trial] = []
    seen: list[dict[str, Value]] = []
    while len(trials) < count + running:
        space = job.spec.space
        params = space.default() if not trials else space.sample(rng)
        if params is None or params in seen:
            continue
        seen.append(params)
        trials.append(_trial(job, len(trials), params, rng, len(trials) >= count))
    return trials


def _trial(
    job: Job, number: int, params: dict[str, Value], rng: random.Random, is_running: bool
) -> Trial:
    began = job.created_at + timedelta(seconds=11 * number)
    trial = Trial(
        job_id=job.id,
        number=number,
        params=params,
        reason="the baseline: the default of the space" if number == 0 else "expected improvement",
        created_at=began,
    )
    if is_running:
        return replace(trial, state=TrialState.RUNNING)
    ended_at = began + timedelta(seconds=10)
    if number % 9 == 4:
        failure = OUT_OF_MEMORY if number % 2 else CRASH
        return replace(trial, state=TrialState.FAILED, failure=failure, ended_at=ended_at)
    memory_gib = 4.6 if number % 11 == 6 else 1.4
    measured = measurement(_rate(params) * rng.uniform(0.97, 1.03), rng, memory_gib)
    return replace(trial, state=TrialState.COMPLETE, measurement=measured, ended_at=ended_at)


def make_plan(job: Job, trials: list[Trial]) -> Plan:
    """The best trial against the baseline, confirmed in six pairs."""
    best = max((t for t in trials if t.measurement), key=_throughput)
    rng = random.Random(3)
    pairs = []
    for number in range(6):
        baseline, candidate = (
            _throughput(t) * rng.uniform(0.985, 1.015) for t in (trials[0], best)
        )
        pairs.append(
            Pair(
                number=number,
                candidate_first=rng.random() < 0.5,
                baseline={"samples_per_s": baseline},
                candidate={"samples_per_s": candidate},
                gain_pct=100 * (candidate / baseline - 1),
            )
        )
    gain = sum(pair.gain_pct for pair in pairs) / 6
    assert trials[0].measurement is not None
    assert best.measurement is not None
    return Plan(
        id="plan-7f3a91c2",
        job_id=job.id,
        verdict="better",
        trial_number=best.number,
        params=best.params,
        baseline_params=trials[0].params,
        command=LaunchCommand(
            argv=(
                "python",
                "-m",
                "workloads.dlrm",
                *(f"--{k}={v}" for k, v in best.params.items()),
            ),
            env={"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
            working_dir="/srv/training",
            nnodes=int(best.params["nnodes"]),
            nproc_per_node=1,
            per_rank=True,
        ),
        placement=PLACEMENT,
        gain_pct=gain,
        gain_low_pct=gain - 3.4,
        gain_high_pct=gain + 3.4,
        pairs=tuple(pairs),
        baseline_metrics=trials[0].measurement.metrics,
        metrics=best.measurement.metrics,
        learning_changes=tuple(_learning_changes(job, best)),
        quality_ok=True,
        search_spend=Spend(wall_s=312.0, core_s=624.0, usd=Decimal("0.00832")),
        payback_samples=4_100_000.0,
        payback_s=63.0,
        explanation=(
            f"Trial {best.number} trains {gain:.0f} % more samples per second than the baseline.",
            "It was confirmed in 6 fresh pairs; every one of them was better.",
            "It changes global_batch_size, and so the learning; AUC at equal samples is as good.",
        ),
        created_at=NOW,
    )


def _learning_changes(job: Job, best: Trial) -> list[str]:
    baseline, space = job.spec.space.default(), job.spec.space
    return [n for n, v in best.params.items() if v != baseline.get(n) and space.changes_learning(n)]


def _throughput(trial: Trial) -> float:
    return trial.measurement.metrics["samples_per_s"] if trial.measurement else 0.0


class FakeService(Service):
    """Answers from lists; wishes are granted at once. Only the tests add to it."""

    def __init__(self) -> None:
        self.listed: list[Job] = []
        self.trials_of: dict[str, list[Trial]] = {}
        self.made: list[Plan] = []
        self.tried: list[Application] = []
        self.happened: list[AuditEvent] = []
        self.lease: Lease | None = Lease(
            holder="host-4711", epoch=3, renewed_at=datetime.now(UTC), ttl_s=15.0
        )
        self.runs = 0

    def add(self, spec: JobSpec, state: JobState, done: int, running: int = 0) -> Job:
        """A job with trials; one that succeeded has a plan as well."""
        number = len(self.listed)
        created_at = NOW + timedelta(minutes=number)
        ended_at = created_at + timedelta(seconds=412) if state.is_finished else None
        job = Job(
            id=f"job-{number:04d}-{spec.name}",
            spec=spec,
            state=state,
            created_at=created_at,
            started_at=created_at if done else None,
            ended_at=ended_at,
        )
        self.listed.append(job)
        self.trials_of[job.id] = make_trials(job, done, running) if done else []
        if state is JobState.SUCCEEDED:
            self.made.append(make_plan(job, self.trials_of[job.id]))
        self._noted("job.create", job.id)
        return job

    def _noted(self, action: str, job_id: str, subject: str = "") -> None:
        event = AuditEvent(at=NOW, actor="http", action=action, job_id=job_id, subject=subject)
        self.happened.append(event)

    def create_job(self, spec: JobSpec, *, actor: str) -> Job:
        return self.add(spec, JobState.PENDING, 0)

    def jobs(self) -> list[Job]:
        return list(self.listed)

    def job(self, ref: str) -> Job:
        for job in self.listed:
            if ref in (job.id, job.name):
                return job
        raise NotFound(f"There is no job {ref!r}. Remedy: `trimtab job list` names them")

    def ledger(self, ref: str) -> Ledger:
        return ledger_of(self.job(ref), self.attempts(ref), NOW)

    def explain(self, ref: str) -> Explanation:
        job = self.job(ref)
        return explain(job, self.trials_of[job.id], None, lambda params: None)

    def progress(self, ref: str) -> Progress:
        job = self.job(ref)
        trials = self.trials_of[job.id]
        done = [trial for trial in trials if trial.state.is_finished]
        baseline = trials[0] if done else None
        best = max(done, key=_throughput) if done else None
        ratio = _throughput(best) / _throughput(baseline) if best and baseline else 1.0
        pairs = 6 if job.state is JobState.SUCCEEDED else 0
        return Progress(
            trials_done=len(done),
            trials_total=job.spec.budget.trials,
            pairs_done=pairs,
            pairs_total=6,
            eta_s=None if job.state.is_finished else 11.0 * (job.spec.budget.trials - len(done)),
            spend=Spend(
                wall_s=10.2 * len(done),
                core_s=20.4 * len(done),
                usd=Decimal("0.000272") * len(done),
            ),
            baseline=baseline,
            best=best,
            best_gain_pct=100 * (ratio - 1) if done else None,
            running=tuple(t.number for t in trials if t.state is TrialState.RUNNING),
        )

    def pause(self, ref: str, *, actor: str) -> Job:
        return self._granted(ref, Wish.PAUSE, JobState.PAUSED)

    def resume(self, ref: str, *, actor: str) -> Job:
        return self._granted(ref, Wish.RUN, JobState.SEARCHING)

    def cancel(self, ref: str, *, actor: str) -> Job:
        return self._granted(ref, Wish.CANCEL, JobState.CANCELLED)

    def _granted(self, ref: str, wish: Wish, state: JobState) -> Job:
        job = self.job(ref)
        if job.state.is_finished:
            raise Conflict(f"Job {job.id} is {job.state}: nothing is left to {wish}")
        changed = replace(job, wish=wish, state=state)
        self.listed[self.listed.index(job)] = changed
        self._noted(f"job.{wish}", job.id)
        return changed

    def trials(self, ref: str) -> list[Trial]:
        return self.trials_of[self.job(ref).id]

    def admissible(self, ref: str) -> frozenset[int]:
        job = self.job(ref)
        return frozenset(t.number for t in decide.ranking(job.spec, self.trials_of[job.id]))

    def trial(self, ref: str, number: int) -> Trial:
        trials = self.trials(ref)
        if not 0 <= number < len(trials):
            raise NotFound(f"Job {ref} has no trial {number}")
        return trials[number]

    def attempts(self, ref: str, number: int | None = None) -> list[Attempt]:
        trials = self.trials(ref) if number is None else [self.trial(ref, number)]
        return [_attempt(trial) for trial in trials]

    def points(self, ref: str, number: int, name: str | None = None) -> list[MetricPoint]:
        trial = self.trial(ref, number)
        rng = random.Random(number)
        points = []
        for second in range(60):
            warm = 1 - 0.6 * math.exp(-second / 5)
            values = {
                "samples_per_s": (_throughput(trial) or 30_000) * warm * rng.uniform(0.94, 1.05),
                "loss": 0.69 - 0.17 * (1 - math.exp(-second / 20)) + rng.uniform(-0.005, 0.005),
            }
            points += [
                MetricPoint(
                    job_id=trial.job_id,
                    trial_number=number,
                    attempt_number=0,
                    name=metric,
                    t_s=second / 5,
                    value=value,
                    source=f"rank-0.log:{second + 1}",
                )
                for metric, value in values.items()
                if name in (None, metric)
            ]
        return points

    def log(
        self,
        ref: str,
        number: int,
        *,
        rank: int = 0,
        attempt: int | None = None,
        max_bytes: int = 65536,
    ) -> str:
        self.trial(ref, number)
        head = f"rank {rank}: 26 tables, dim 16, gloo, 2 ranks\n"
        steps = (
            f"step {i:4d}  loss {0.69 - i * 0.0004:.4f}  63,912 samples/s\n" for i in range(300)
        )
        return (head + "".join(steps))[-max_bytes:]

    def line(self, ref: str, number: int, at: str, attempt: int | None = None) -> str:
        if not at.startswith("rank-"):
            raise NotFound(f"{at!r} is no place in a log")
        return f"the line at {at} of trial {self.trial(ref, number).number}"

    def plans(self, ref: str | None = None) -> list[Plan]:
        job = self.job(ref) if ref is not None else None
        return [plan for plan in self.made if job is None or plan.job_id == job.id]

    def plan(self, ref: str) -> Plan:
        for plan in self.made:
            if plan.id == ref:
                return plan
        raise NotFound(f"There is no plan {ref!r}")

    def apply(self, plan_ref: str, *, actor: str, stale: bool = False) -> Application:
        plan = self.plan(plan_ref)
        application = Application(
            id=f"application-{len(self.tried):04d}",
            plan_id=plan.id,
            job_id=plan.job_id,
            target_kind="file",
            target_path="plans/dlrm.json",
            state=ApplicationState.LIVE,
            actor=actor,
            plan_hash=plan.hash,
            created_at=NOW,
            updated_at=NOW,
        )
        self.tried.append(application)
        self._noted("plan.apply", plan.job_id, plan.id)
        return application

    def rollback(self, application_ref: str | None, *, actor: str) -> Application:
        application = self.application(application_ref or "")
        if application.state.is_finished:
            raise Conflict(f"Application {application.id} is {application.state}")
        changed = replace(application, state=ApplicationState.ROLLED_BACK)
        self.tried[self.tried.index(application)] = changed
        return changed

    def applications(self, ref: str | None = None) -> list[Application]:
        job = self.job(ref) if ref is not None else None
        return [a for a in self.tried if job is None or a.job_id == job.id]

    def application(self, ref: str) -> Application:
        for application in self.tried:
            if application.id == ref:
                return application
        raise NotFound(f"There is no application {ref!r}")

    def events(self, ref: str | None = None) -> list[AuditEvent]:
        job = self.job(ref) if ref is not None else None
        return [event for event in self.happened if job is None or event.job_id == job.id]

    def controller(self) -> Lease | None:
        return self.lease

    def run(self, stop: threading.Event, *, until_finished: Sequence[str] = ()) -> bool:
        self.runs += 1
        stop.wait()
        return True


def _attempt(trial: Trial) -> Attempt:
    states = {
        TrialState.COMPLETE: AttemptState.COMPLETE,
        TrialState.FAILED: AttemptState.FAILED,
        TrialState.RUNNING: AttemptState.RUNNING,
    }
    return Attempt(
        job_id=trial.job_id,
        trial_number=trial.number,
        number=0,
        state=states.get(trial.state, AttemptState.INTENT),
        placement=PLACEMENT,
        handle=f"local:{4000 + trial.number}",
        created_at=trial.created_at,
        ended_at=trial.ended_at,
        measurement=trial.measurement,
        failure=trial.failure,
        spend=Spend(wall_s=10.2, core_s=20.4, usd=Decimal("0.000272")),
    )
