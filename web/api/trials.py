"""Trials of a job: list, get, metrics over time, logs."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse

from web.api.paging import Page, PageSize, PageToken, cut
from web.api.problems import documented
from web.api.views import Opened, Series, TrialRow, TrialView, series, trial_rows, trial_view

router = APIRouter(tags=["trials"], prefix="/jobs/{job}/trials", responses=documented(404))

MAX_LOG_BYTES = 262_144


@router.get("", operation_id="trials_list")
def trials_list(
    service: Opened, job: str, page_size: PageSize = 100, page_token: PageToken = ""
) -> Page[TrialRow]:
    """The trials of a job by number; number 0 is the baseline."""
    trials, token = cut(service.trials(job), lambda trial: str(trial.number), page_size, page_token)
    return Page(items=trial_rows(service, job, trials), next_page_token=token)


@router.get("/{number}", operation_id="trials_get")
def trials_get(service: Opened, job: str, number: int) -> TrialView:
    """A trial and every launch of it."""
    return trial_view(service, service.trial(job, number))


@router.get("/{number}/metrics", operation_id="trials_metrics")
def trials_metrics(
    service: Opened,
    job: str,
    number: int,
    name: Annotated[str | None, Query(description="One metric; all of them without it.")] = None,
    max_points: Annotated[int, Query(ge=2, le=10_000, description="For each series.")] = 1000,
) -> list[Series]:
    """What was measured over time, a series for each attempt and metric."""
    return series(service.points(job, number, name), max_points)


_PLAIN: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get(
    "/{number}/line",
    operation_id="trials_line",
    response_class=PlainTextResponse,
    responses=_PLAIN,
)
def trials_line(
    service: Opened,
    job: str,
    number: int,
    at: Annotated[str, Query(description="The source of a figure: `rank-0.log:1234`.")],
    attempt: Annotated[
        int | None, Query(ge=0, description="Without it the one that measured the trial.")
    ] = None,
) -> str:
    """The line that a figure was read from; of several the first."""
    return service.line(job, number, at, attempt) + "\n"


@router.get(
    "/{number}/logs",
    operation_id="trials_logs",
    response_class=PlainTextResponse,
    responses=_PLAIN,
)
def trials_logs(
    service: Opened,
    job: str,
    number: int,
    rank: Annotated[int, Query(ge=0)] = 0,
    attempt: Annotated[int | None, Query(ge=0, description="The latest without it.")] = None,
    tail: Annotated[int, Query(ge=1, le=5000, description="Lines, within the last 256 KiB.")] = 200,
) -> str:
    """The last lines that a rank printed."""
    text = service.log(job, number, rank=rank, attempt=attempt, max_bytes=MAX_LOG_BYTES)
    return "".join(text.splitlines(keepends=True)[-tail:])
