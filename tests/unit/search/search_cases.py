"""Jobs and trials for the tests of the search."""

from datetime import UTC, datetime

from hypothesis import HealthCheck, settings

from tuner.expression import Value
from tuner.model import Failure, FailureKind, Measurement, Trial, TrialState
from tuner.space import Choice, Float, Int, Space
from tuner.spec import JobSpec, Limit, Objective, Search, Workload

patiently = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
"""For properties: the same examples everywhere, however busy the computer is."""

TINY = Space(
    params={"nproc": Int(low=1, high=3), "strategy": Choice(options=("data_parallel", "row_wise"))}
)
CONDITIONAL = Space(
    params={
        "nnodes": Int(low=1, high=4),
        "batch": Choice(options=(1024, 256, 512, 2048), default=256),
        "strategy": Choice(options=("data_parallel", "table_wise", "row_wise")),
        "columns": Int(low=1, high=3, when='strategy == "table_wise"'),
        "fused": Choice(options=(False, True)),
    },
    constraints=("nnodes * batch <= 4096", "columns != 2 or nnodes > 1"),
)
REAL = Space(
    params={
        "learning_rate": Float(low=1e-4, high=1e-1, log=True),
        "share": Float(low=0.0, high=1.0),
        "workers": Int(low=2, high=33, step=3, log=True),
    },
    constraints=("share * workers < 20",),
)
BIG = Space(params={name: Choice(options=tuple(range(100))) for name in ("a", "b", "c")})


def job(
    space: Space,
    *,
    method: str = "random",
    seed: int = 0,
    objectives: tuple[Objective, ...] = (Objective(metric="samples_per_s", direction="maximize"),),
    limits: tuple[Limit, ...] = (),
) -> JobSpec:
    return JobSpec(
        name="job",
        workload=Workload(command=("train",)),
        space=space,
        objectives=objectives,
        limits=limits,
        search=Search(method=method, seed=seed),  # type: ignore[arg-type]
    )


def waiting(number: int, params: dict[str, Value]) -> Trial:
    return Trial(
        job_id="job",
        number=number,
        params=params,
        reason="because",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def ended(
    number: int, params: dict[str, Value], *, is_stable: bool = True, **metrics: float
) -> Trial:
    return Trial(
        job_id="job",
        number=number,
        params=params,
        state=TrialState.COMPLETE,
        reason="because",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        measurement=Measurement(
            metrics=metrics, window_s=10, warmup_s=1, steps=100, samples=1e5, is_stable=is_stable
        ),
    )


def failed(
    number: int, params: dict[str, Value], kind: FailureKind = FailureKind.OUT_OF_MEMORY
) -> Trial:
    return Trial(
        job_id="job",
        number=number,
        params=params,
        state=TrialState.FAILED,
        reason="because",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        failure=Failure(kind=kind, cause="it did", remedy="use less"),
    )
