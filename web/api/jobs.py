"""Jobs: create, list, get, pause, resume, cancel, progress, events."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from tuner.errors import UserError
from tuner.explain.nouns import Explanation
from tuner.jobfile import load_job
from tuner.ledger import Ledger
from tuner.model import AuditEvent, Job
from tuner.progress import Progress
from tuner.spec import JobSpec
from web.api.paging import Page, PageSize, PageToken, cut
from web.api.problems import documented
from web.api.views import ACTOR, JobView, Opened, job_view

router = APIRouter(tags=["jobs"])

MAX_BODY_BYTES = 1024 * 1024

_SPEC = {"schema": {"$ref": "#/components/schemas/JobSpec"}}
_BODY = {"required": True, "content": {"application/json": _SPEC, "application/yaml": _SPEC}}
_CHANGES = documented(403, 404, 409, 415)


async def _spec(request: Request) -> JobSpec:
    """The job file in the body: YAML, of which JSON is a part."""
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"The body is not UTF-8: {error}. Remedy: send it as UTF-8") from error
    return load_job(text, "request body")


@router.post(
    "/jobs",
    operation_id="jobs_create",
    status_code=202,
    responses=documented(403, 409, 413, 415),
    openapi_extra={"requestBody": _BODY},
    max_body_size=MAX_BODY_BYTES,
)
def jobs_create(
    service: Opened, spec: Annotated[JobSpec, Depends(_spec)], response: Response
) -> JobView:
    """Creates a job; the controller begins it as soon as it can."""
    job = service.create_job(spec, actor=ACTOR)
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return job_view(service, job)


@router.get("/jobs", operation_id="jobs_list")
def jobs_list(
    service: Opened, page_size: PageSize = 50, page_token: PageToken = ""
) -> Page[JobView]:
    """Every job, the newest first."""
    jobs, token = cut(service.jobs()[::-1], lambda job: job.id, page_size, page_token)
    return Page(items=[job_view(service, job) for job in jobs], next_page_token=token)


@router.get("/jobs/{job}", operation_id="jobs_get", responses=documented(404))
def jobs_get(service: Opened, job: str) -> JobView:
    """A job by its id, a unique prefix of it, its name, or `@last`."""
    return job_view(service, service.job(job))


@router.post("/jobs/{job}:pause", operation_id="jobs_pause", status_code=202, responses=_CHANGES)
def jobs_pause(service: Opened, job: str) -> JobView:
    """Asks for no new trials; those that run are finished."""
    return job_view(service, service.pause(job, actor=ACTOR))


@router.post("/jobs/{job}:resume", operation_id="jobs_resume", status_code=202, responses=_CHANGES)
def jobs_resume(service: Opened, job: str) -> JobView:
    """Lets a paused job go on."""
    return job_view(service, service.resume(job, actor=ACTOR))


@router.post("/jobs/{job}:cancel", operation_id="jobs_cancel", status_code=202, responses=_CHANGES)
def jobs_cancel(service: Opened, job: str) -> JobView:
    """Stops the running trials and ends the job; what was measured is kept."""
    return job_view(service, service.cancel(job, actor=ACTOR))


@router.get("/jobs/{job}/progress", operation_id="jobs_progress", responses=documented(404))
def jobs_progress(service: Opened, job: str) -> Progress:
    """Where a job stands: trials, confirming pairs, time left, spend, baseline and best."""
    return service.progress(job)


@router.get("/jobs/{job}/cost", operation_id="jobs_cost", responses=documented(404))
def jobs_cost(service: Opened, job: str) -> Ledger:
    """What a job has spent so far, launch by launch; what runs is charged until now."""
    return service.ledger(job)


@router.get("/jobs/{job}/explain", operation_id="jobs_explain", responses=documented(404))
def jobs_explain(service: Opened, job: str) -> Explanation:
    """What the trials say together: which parameters matter, what happens around the best, and
    which configurations are nearly as good for less."""
    return service.explain(job)


@router.get("/jobs/{job}/events", operation_id="jobs_events", responses=documented(404))
def jobs_events(
    service: Opened, job: str, page_size: PageSize = 50, page_token: PageToken = ""
) -> Page[AuditEvent]:
    """What was decided and done about a job, and by whom, the latest first."""
    found: Job = service.job(job)
    numbered = list(enumerate(service.events(found.id)))[::-1]
    part, token = cut(numbered, lambda pair: str(pair[0]), page_size, page_token)
    return Page(items=[event for _, event in part], next_page_token=token)
