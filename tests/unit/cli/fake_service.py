"""A service without store or controller: it holds what it is given and notes what it is asked."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from tuner.application import Application, ApplicationState
from tuner.errors import NotFound
from tuner.explain.explanation import explain
from tuner.explain.nouns import Explanation
from tuner.expression import Value
from tuner.ledger import Ledger, ledger_of
from tuner.model import (
    Attempt,
    AttemptState,
    Failure,
    FailureKind,
    Job,
    JobState,
    LaunchCommand,
    Lease,
    Measurement,
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
from tuner.spec import Budget, JobSpec, Limit, Quality, Workload
from tuner.spec_apply import Apply, FileTarget

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BASELINE: dict[str, Value] = {
    "shard_strategy": "data_parallel",
    "nnodes": 1,
    "global_batch_size": 1024,
}
BEST: dict[str, Value] = {"shard_strategy": "table_wise", "nnodes": 2, "global_batch_size": 1024}
LEASE = Lease(holder="serve on host-a", epoch=3, renewed_at=NOW, ttl_s=10)
SPEND = Spend(wall_s=252.0, core_s=504.0, gpu_s=0.0, usd=Decimal("0.0056"))


def make_spec(name: str = "dlrm") -> JobSpec:
    return JobSpec(
        name=name,
        workload=Workload(command=("python", "train.py", "--batch=${global_batch_size}")),
        space=Space(
            params={
                "shard_strategy": Choice(options=("data_parallel", "table_wise")),
                "nnodes": Int(low=1, high=2),
                "global_batch_size": Choice(options=(1024, 4096)),
            }
        ),
        limits=(Limit(metric="peak_memory_gib", max=4.0),),
        quality=Quality(),
        budget=Budget(trials=4),
        prices=PriceBook(as_of="2026-11-01", per_core_hour=Rate(on_demand=Decimal("0.04"))),
        apply=Apply(target=FileTarget(path="/jobs/plan.json")),
    )


def make_job(state: JobState = JobState.SUCCEEDED, job_id: str = "job_aa11") -> Job:
    ended_at = NOW if state.is_finished else None
    return Job(id=job_id, spec=make_spec(), state=state, created_at=NOW, ended_at=ended_at)


def make_measurement(rate: float, **others: float) -> Measurement:
    return Measurement(
        metrics={"samples_per_s": rate, "auc": 0.78, **others},
        intervals={"samples_per_s": (rate * 0.98, rate * 1.02)},
        window_s=4.0,
        warmup_s=1.5,
        steps=120,
        samples=122_880,
    )


def make_trials(job_id: str = "job_aa11") -> list[Trial]:
    def trial(number: int, params: dict[str, Value], **fields: object) -> Trial:
        made = Trial(
            job_id=job_id, number=number, params=dict(params), reason="seeded", created_at=NOW
        )
        return replace(made, **fields)  # type: ignore[arg-type]

    failure = Failure(
        kind=FailureKind.OUT_OF_MEMORY,
        cause="rank 1 needed more than 4 GiB",
        remedy="lower the batch",
        rank=1,
        log_tail=("step 3", "Killed"),
    )
    return [
        trial(0, BASELINE, state=TrialState.COMPLETE, measurement=make_measurement(16_612.0)),
        trial(1, BEST, state=TrialState.COMPLETE, measurement=make_measurement(62_345.0)),
        trial(2, {**BEST, "global_batch_size": 4096}, state=TrialState.FAILED, failure=failure),
        trial(3, {**BASELINE, "nnodes": 2}, state=TrialState.RUNNING),
    ]


def make_plan(job_id: str = "job_aa11") -> Plan:
    pairs = tuple(
        Pair(
            number=number,
            candidate_first=number % 2 == 0,
            baseline={"samples_per_s": 16_600.0},
            candidate={"samples_per_s": 62_300.0},
            gain_pct=275.3,
        )
        for number in range(3)
    )
    return Plan(
        id=f"plan_{job_id.removeprefix('job_')}",
        job_id=job_id,
        verdict="better",
        trial_number=1,
        params=dict(BEST),
        baseline_params=dict(BASELINE),
        command=LaunchCommand(
            argv=("python", "train.py", "--batch=1024"),
            env={"OMP_NUM_THREADS": "1"},
            working_dir="/jobs",
            nnodes=2,
            nproc_per_node=1,
            per_rank=True,
        ),
        placement=Placement(cores=((0,), (1,)), gpus=((), ())),
        gain_pct=274.0,
        gain_low_pct=251.0,
        gain_high_pct=299.0,
        pairs=pairs,
        baseline_metrics={
            "samples_per_s": 16_600.0,
            "auc": 0.7812,
            "usd_per_million_samples": 0.00134,
            "quality_samples": 40_000.0,
        },
        metrics={
            "samples_per_s": 62_300.0,
            "auc": 0.7809,
            "usd_per_million_samples": 0.000357,
            "quality_samples": 40_000.0,
        },
        learning_changes=(),
        quality_ok=True,
        search_spend=SPEND,
        payback_samples=5.7e6,
        payback_s=91.5,
        explanation=("Trial 1 is better: samples_per_s +274 %.", "It was cheap."),
        created_at=NOW,
    )


def make_application(
    state: ApplicationState = ApplicationState.LIVE, job_id: str = "job_aa11"
) -> Application:
    plan = make_plan(job_id)
    return Application(
        id="app_cc33",
        plan_id=plan.id,
        job_id=job_id,
        target_kind="file",
        target_path="/jobs/plan.json",
        state=state,
        actor="ann",
        plan_hash=plan.hash,
        created_at=NOW,
        updated_at=NOW,
    )


class FakeService(Service):
    """`on_run` is what controlling does, `on_look` what happens elsewhere at every look."""

    def __init__(self, *jobs: Job) -> None:
        self.all_jobs = {job.id: job for job in jobs}
        self.all_trials = {job.id: make_trials(job.id) for job in jobs}
        self.all_plans: list[Plan] = []
        self.all_applications: list[Application] = []
        self.lease: Lease | None = None
        self.log_texts = ["line 1\nline 2\nline 3\n"]
        self.wishes: list[tuple[str, str, str]] = []
        self.runs: list[tuple[str, ...]] = []
        self.on_run: Callable[[FakeService, threading.Event], None] = lambda service, stop: None
        self.on_look: Callable[[FakeService], None] = lambda service: None
        self.is_closed = False
        self.stale: bool | None = None
        """What the latest apply said of that."""

    def __enter__(self) -> "FakeService":
        return self

    def __exit__(self, *exc: object) -> None:
        self.is_closed = True

    def set_state(self, job_id: str, state: JobState) -> None:
        self.all_jobs[job_id] = replace(self.all_jobs[job_id], state=state)

    def set_application(self, state: ApplicationState, message: str = "") -> None:
        self.all_applications[-1] = replace(self.all_applications[-1], state=state, message=message)

    def create_job(self, spec: JobSpec, *, actor: str) -> Job:
        job = Job(id="job_new1", spec=spec, created_at=NOW)
        self.all_jobs[job.id] = job
        self.all_trials[job.id] = []
        self.wishes.append(("create", job.id, actor))
        return job

    def jobs(self) -> list[Job]:
        return list(self.all_jobs.values())

    def job(self, ref: str) -> Job:
        if ref == "@last" and self.all_jobs:
            return list(self.all_jobs.values())[-1]
        found = [job for job in self.jobs() if job.id.startswith(ref) or job.name == ref]
        if not found:
            raise NotFound(f"there is no job {ref!r}")
        return found[-1]

    def ledger(self, ref: str) -> Ledger:
        return ledger_of(self.job(ref), self.attempts(ref), NOW)

    def explain(self, ref: str) -> Explanation:
        job = self.job(ref)
        return explain(job, self.trials(ref), None, lambda params: None)

    def progress(self, ref: str) -> Progress:
        self.on_look(self)
        trials = self.trials(ref)
        finished = [trial for trial in trials if trial.state.is_finished]
        return Progress(
            trials_done=len(finished),
            trials_total=4,
            pairs_done=0,
            pairs_total=6,
            eta_s=130.0,
            spend=SPEND,
            baseline=trials[0] if finished else None,
            best=trials[1] if len(finished) > 1 else None,
            best_gain_pct=275.3,
            running=tuple(t.number for t in trials if t.state is TrialState.RUNNING),
        )

    def _wish(self, ref: str, wish: Wish, actor: str) -> Job:
        job = replace(self.job(ref), wish=wish)
        self.all_jobs[job.id] = job
        self.wishes.append((wish, job.id, actor))
        return job

    def pause(self, ref: str, *, actor: str) -> Job:
        return self._wish(ref, Wish.PAUSE, actor)

    def resume(self, ref: str, *, actor: str) -> Job:
        return self._wish(ref, Wish.RUN, actor)

    def cancel(self, ref: str, *, actor: str) -> Job:
        return self._wish(ref, Wish.CANCEL, actor)

    def trials(self, ref: str) -> list[Trial]:
        return self.all_trials[self.job(ref).id]

    def trial(self, ref: str, number: int) -> Trial:
        for trial in self.trials(ref):
            if trial.number == number:
                return trial
        raise NotFound(f"job {ref} has no trial {number}")

    def attempts(self, ref: str, number: int | None = None) -> list[Attempt]:
        launched = [t for t in self.trials(ref) if number in (None, t.number)]
        return [
            Attempt(
                job_id=trial.job_id,
                trial_number=trial.number,
                number=0,
                state=AttemptState.COMPLETE,
                placement=Placement(cores=((0,),), gpus=((),)),
                created_at=NOW,
                spend=Spend(wall_s=12.0, usd=Decimal("0.0003")),
            )
            for trial in launched
        ]

    def log(
        self,
        ref: str,
        number: int,
        *,
        rank: int = 0,
        attempt: int | None = None,
        max_bytes: int = 65536,
    ) -> str:
        return self.log_texts.pop(0) if len(self.log_texts) > 1 else self.log_texts[0]

    def line(self, ref: str, number: int, at: str, attempt: int | None = None) -> str:
        return f"the line at {at} of trial {number}, launch {attempt}"

    def plans(self, ref: str | None = None) -> list[Plan]:
        return [p for p in self.all_plans if ref is None or p.job_id == self.job(ref).id]

    def plan(self, ref: str) -> Plan:
        found = [p for p in self.all_plans if ref == "@last" or p.id.startswith(ref)]
        if not found:
            raise NotFound(f"there is no plan {ref!r}")
        return found[-1]

    def apply(self, plan_ref: str, *, actor: str, stale: bool = False) -> Application:
        self.all_applications.append(make_application(ApplicationState.PROPOSED))
        self.wishes.append(("apply", plan_ref, actor))
        self.stale = stale
        return self.all_applications[-1]

    def rollback(self, application_ref: str | None, *, actor: str) -> Application:
        self.set_application(ApplicationState.ROLLING_BACK)
        self.wishes.append(("rollback", str(application_ref), actor))
        return self.all_applications[-1]

    def applications(self, ref: str | None = None) -> list[Application]:
        return [a for a in self.all_applications if ref is None or a.job_id == self.job(ref).id]

    def application(self, ref: str) -> Application:
        self.on_look(self)
        return next(a for a in self.all_applications if a.id == ref)

    def controller(self) -> Lease | None:
        return self.lease

    def run(self, stop: threading.Event, *, until_finished: Sequence[str] = ()) -> bool:
        self.runs.append(tuple(until_finished))
        self.on_run(self, stop)
        return True
