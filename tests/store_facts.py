"""Facts for the tests of the store: one of every noun, every optional field filled."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tuner.application import Application, ApplicationState
from tuner.interfaces import Fact
from tuner.model import (
    Attempt,
    AttemptState,
    AuditEvent,
    Failure,
    FailureKind,
    Job,
    JobState,
    LaunchCommand,
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
from tuner.space import Choice, Float, Int, Space
from tuner.spec import (
    Budget,
    JobSpec,
    Limit,
    LogSource,
    Objective,
    Quality,
    Resources,
    Search,
    Workload,
)
from tuner.spec_apply import Apply, FileTarget

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


SPEC = JobSpec(
    name="dlrm-nightly",
    workload=Workload(
        command=("python", "train.py", "--batch=${micro_batch_size}", "naïve ✓"),
        env={"OMP_NUM_THREADS": "${threads_per_rank}"},
        working_dir="/srv/dlrm",
        launch="once",
        nproc_per_node=2,
        log=LogSource(format="auto", patterns=("(?P<step>\\d+)",), samples_per_step="nnodes * 64"),
    ),
    space=Space(
        params={
            "micro_batch_size": Int(low=64, high=4096, log=True, default=128, when="nnodes > 0"),
            "nnodes": Int(low=1, high=2, changes_learning=False),
            "learning_rate": Float(low=0.001, high=0.1, log=True, default=0.01),
            "shard_strategy": Choice(options=("row_wise", "table_wise"), default="table_wise"),
            "compile": Choice(options=(False, True)),
            "prefetch": Choice(options=(0, 2, 4.5)),
        },
        constraints=("nnodes * micro_batch_size <= 8192",),
    ),
    objectives=(Objective(metric="samples_per_s", direction="maximize", weight=2.0),),
    limits=(Limit(metric="peak_memory_gib", max=16.0), Limit(metric="auc", min=0.7)),
    quality=Quality(metric="auc", max_loss=0.002),
    budget=Budget(trials=12, minutes=30.0, usd=Decimal("5.0")),
    search=Search(method="bayesian", seed=7, parallel_trials=2),
    resources=Resources(cores_per_node=2, gpus_per_node=0, memory_limit_gib=8.0, lease_s=60.0),
    prices=PriceBook(
        as_of="2026-02-28", source="quote", per_core_hour=Rate(on_demand=Decimal("0.04"))
    ),
    apply=Apply(mode="auto", target=FileTarget(path="/srv/dlrm/plan.json"), pairs=4),
)

MEASUREMENT = Measurement(
    metrics={"samples_per_s": 65012.5, "step_time_s": 0.0157},
    intervals={"samples_per_s": (64000.0, 66000.25)},
    window_s=12.5,
    warmup_s=3.25,
    steps=800,
    samples=819200.0,
    is_stable=False,
    notes=("10 % of the CPU was taken by others",),
    stopped="precise",
)
FAILURE = Failure(
    kind=FailureKind.OUT_OF_MEMORY,
    cause="rank 1 was killed at 7.9 GiB",
    remedy="lower micro_batch_size",
    rank=1,
    log_tail=("Traceback (most recent call last):", 'MemoryError: "é"'),
)
COMMAND = LaunchCommand(
    argv=("python", "-m", "workloads.dlrm", "--batch=1024"),
    env={"OMP_NUM_THREADS": "1"},
    working_dir="/srv/dlrm",
    nnodes=2,
    nproc_per_node=2,
    per_rank=True,
)
PLACEMENT = Placement(cores=((0, 1), (2, 3)), gpus=((0,), ()), gpu_names={0: "H100"})
SPEND = Spend(wall_s=20.5, core_s=41.0, gpu_s=20.5, usd=Decimal("0.25"), energy_j=1234.5)


def job(job_id: str = "job-1") -> Job:
    return Job(
        id=job_id,
        spec=SPEC,
        state=JobState.SEARCHING,
        wish=Wish.PAUSE,
        message="trial 3 of 12",
        created_at=at(0),
        started_at=at(1),
        ended_at=at(2),
        search_ended="nothing is left to try",
    )


def trial(number: int = 0, job_id: str = "job-1") -> Trial:
    return Trial(
        job_id=job_id,
        number=number,
        params={"nnodes": 2, "learning_rate": 1.0, "compile": True, "shard_strategy": "row_wise"},
        state=TrialState.COMPLETE,
        reason="the baseline",
        predicted={"samples_per_s": 60000.0},
        expected_gain=0.0125,
        measurement=MEASUREMENT,
        failure=FAILURE,
        created_at=at(3),
        ended_at=at(4),
    )


def attempt(number: int = 0, trial_number: int = 0, job_id: str = "job-1") -> Attempt:
    return Attempt(
        job_id=job_id,
        trial_number=trial_number,
        number=number,
        purpose="confirm",
        pair=3,
        state=AttemptState.COMPLETE,
        placement=PLACEMENT,
        handle="local:4711:99",
        created_at=at(3.5),
        ended_at=at(3.75),
        measurement=MEASUREMENT,
        failure=FAILURE,
        spend=SPEND,
        fingerprint={"torch": "2.13.0", "workload": "0123456789abcdef (contents of 2 files)"},
    )


def point(
    t_s: float, value: float = 0.5, name: str = "loss", trial_number: int = 0, attempt: int = 0
) -> MetricPoint:
    return MetricPoint(
        job_id="job-1",
        trial_number=trial_number,
        attempt_number=attempt,
        name=name,
        t_s=t_s,
        value=value,
    )


def plan(plan_id: str = "plan-1", job_id: str = "job-1") -> Plan:
    return Plan(
        id=plan_id,
        job_id=job_id,
        verdict="better",
        trial_number=0,
        params={"nnodes": 2},
        baseline_params={"nnodes": 1},
        command=COMMAND,
        placement=PLACEMENT,
        gain_pct=12.5,
        gain_low_pct=10.0,
        gain_high_pct=15.0,
        pairs=(
            Pair(
                number=0,
                candidate_first=True,
                baseline={"samples_per_s": 100.0},
                candidate={"samples_per_s": 112.5},
                gain_pct=12.5,
            ),
        ),
        baseline_metrics={"samples_per_s": 100.0},
        metrics={"samples_per_s": 112.5},
        learning_changes=("learning_rate",),
        quality_ok=True,
        search_spend=SPEND,
        payback_samples=1e9,
        payback_s=3600.0,
        explanation=("It is 12.5 % faster.", "Six pairs agree."),
        created_at=at(5),
        fingerprint={"torch": "2.13.0"},
    )


def application(application_id: str = "application-1", plan_id: str = "plan-1") -> Application:
    return Application(
        id=application_id,
        plan_id=plan_id,
        job_id="job-1",
        target_kind="file",
        target_path="/srv/dlrm/plan.json",
        state=ApplicationState.ROLLING_BACK,
        actor="ada",
        is_stale=True,
        plan_hash="a" * 64,
        before_hash="b" * 64,
        message="waiting",
        created_at=at(6),
        updated_at=at(7),
        applied_at=at(6.25),
        live_at=at(6.5),
        tries=1,
    )


def event(action: str = "plan.apply", job_id: str | None = "job-1") -> AuditEvent:
    return AuditEvent(
        at=at(8),
        actor="ada",
        action=action,
        job_id=job_id,
        subject="plan-1",
        detail="by hand",
        evidence="plan-1",
        before_hash="b" * 64,
        after_hash="a" * 64,
    )


def everything() -> list[Fact]:
    """One of every noun, parents first."""
    return [job(), trial(), attempt(), point(0.5), plan(), application(), event()]
