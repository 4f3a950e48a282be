"""The shapes that others write against: the job file, the metrics."""

from typing import Any

from fastapi import APIRouter

from tuner.jobfile import job_schema
from tuner.metrics import METRICS
from web.api.views import MetricRow

router = APIRouter(tags=["schemas"], prefix="/schemas")


@router.get("/job", operation_id="schemas_job")
def schemas_job() -> dict[str, Any]:
    """JSON Schema of a job file."""
    return job_schema()


@router.get("/metrics", operation_id="schemas_metrics")
def schemas_metrics() -> list[MetricRow]:
    """The metrics that Trimtab knows; a job may report others as well."""
    return [MetricRow(**metric._asdict()) for metric in METRICS]
