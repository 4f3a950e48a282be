"""Plans: list, get, apply."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from tuner.application import Application
from web.api.paging import Page, PageSize, PageToken, cut
from web.api.problems import documented
from web.api.views import ACTOR, Opened, PlanView, plan_view

router = APIRouter(tags=["plans"])


@router.get("/plans", operation_id="plans_list", responses=documented(404))
def plans_list(
    service: Opened,
    job: Annotated[str | None, Query(description="Only those of one job.")] = None,
    page_size: PageSize = 50,
    page_token: PageToken = "",
) -> Page[PlanView]:
    """Every plan, the newest first."""
    plans, token = cut(service.plans(job)[::-1], lambda plan: plan.id, page_size, page_token)
    return Page(items=[plan_view(plan) for plan in plans], next_page_token=token)


@router.get("/plans/{plan}", operation_id="plans_get", responses=documented(404))
def plans_get(service: Opened, plan: str) -> PlanView:
    """A plan by its id, a unique prefix of it, or `@last`."""
    return plan_view(service.plan(plan))


@router.post(
    "/plans/{plan}:apply",
    operation_id="plans_apply",
    status_code=202,
    responses=documented(403, 404, 409, 415),
)
def plans_apply(
    service: Opened,
    plan: str,
    response: Response,
    stale: Annotated[
        bool, Query(description="Although conditions changed since it was measured.")
    ] = False,
) -> Application:
    """Asks for a plan to be put on its target; the application shows how it went."""
    application = service.apply(plan, actor=ACTOR, stale=stale)
    response.headers["Location"] = f"/api/v1/applications/{application.id}"
    return application
