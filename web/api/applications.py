"""Applications of plans: list, get, roll back."""

from typing import Annotated

from fastapi import APIRouter, Query

from tuner.application import Application
from web.api.paging import Page, PageSize, PageToken, cut
from web.api.problems import documented
from web.api.views import ACTOR, Opened

router = APIRouter(tags=["applications"])


@router.get("/applications", operation_id="applications_list", responses=documented(404))
def applications_list(
    service: Opened,
    job: Annotated[str | None, Query(description="Only those of one job.")] = None,
    page_size: PageSize = 50,
    page_token: PageToken = "",
) -> Page[Application]:
    """Every try to put a plan on a target, the newest first."""
    newest_first = service.applications(job)[::-1]
    part, token = cut(newest_first, lambda application: application.id, page_size, page_token)
    return Page(items=list(part), next_page_token=token)


@router.get(
    "/applications/{application}", operation_id="applications_get", responses=documented(404)
)
def applications_get(service: Opened, application: str) -> Application:
    """How one try stands."""
    return service.application(application)


@router.post(
    "/applications/{application}:rollback",
    operation_id="applications_rollback",
    status_code=202,
    responses=documented(403, 404, 409, 415),
)
def applications_rollback(service: Opened, application: str) -> Application:
    """Asks for what was on the target before to be put back."""
    return service.rollback(application, actor=ACTOR)
