"""What the API shows: the nouns of `tuner.model`, with what belongs beside them."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request

from tuner.metrics import BY_NAME
from tuner.model import Attempt, Job, Lease, MetricPoint, Plan, Trial
from tuner.progress import Progress
from tuner.service import Service

ACTOR = "http"
"""Who asks, as the audit has it: there is no authentication yet."""


def _service(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


Opened = Annotated[Service, Depends(_service)]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView(Job):
    """A job, with where it stands."""

    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow(Trial):
    """A trial as lists show it."""

    admissible: bool
    """Whether it may win: measured, steady, within every limit, not merely beaten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView(Trial):
    """A trial, with every launch of it."""

    attempts: list[Attempt]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView(Plan):
    """A plan, with the hash of what would run."""

    plan_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A metric of one attempt over time."""

    attempt_number: int
    name: str
    unit: str
    points: list[tuple[float, float]]
    """`[t_s, value]`, `t_s` being seconds after the attempt's first record."""
    sources: list[str]
    """For each point the lines it was read from, as `stream:first-last`."""
    thinned: bool
    """Whether points were left out to keep within `max_points`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """A metric that Trimtab knows."""

    name: str
    unit: str
    better: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The service itself."""

    version: str
    now: datetime
    controller: Lease | None
    """The lease of the controller that is alive; None: wishes wait until there is one."""


def job_view(service: Service, job: Job) -> JobView:
    return JobView(**_fields(job), progress=service.progress(job.id))


def trial_view(service: Service, trial: Trial) -> TrialView:
    return TrialView(**_fields(trial), attempts=service.attempts(trial.job_id, trial.number))


def trial_rows(service: Service, job: str, trials: Iterable[Trial]) -> list[TrialRow]:
    admissible = service.admissible(job)
    return [TrialRow(**_fields(t), admissible=t.number in admissible) for t in trials]


def plan_view(plan: Plan) -> PlanView:
    return PlanView(**_fields(plan), plan_hash=plan.hash)


def series(points: list[MetricPoint], max_points: int) -> list[Series]:
    """Points grouped by attempt and metric, each thinned evenly, first and last kept."""
    groups: dict[tuple[int, str], list[MetricPoint]] = {}
    for point in points:
        group = groups.setdefault((point.attempt_number, point.name), [])
        group.append(point)
    return [
        Series(
            attempt_number=attempt_number,
            name=name,
            unit=BY_NAME[name].unit if name in BY_NAME else "",
            points=[(point.t_s, point.value) for point in _thinned(group, max_points)],
            sources=[point.source for point in _thinned(group, max_points)],
            thinned=len(group) > max_points,
        )
        for (attempt_number, name), group in groups.items()
    ]


def _thinned(points: list[MetricPoint], most: int) -> list[MetricPoint]:
    if len(points) <= most:
        return points
    stride = (len(points) - 1) / (most - 1)
    return [points[round(i * stride)] for i in range(most)]


def _fields(noun: Job | Trial | Plan) -> dict[str, Any]:
    return {field.name: getattr(noun, field.name) for field in fields(noun)}
