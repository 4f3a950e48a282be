"""The service itself: health, readiness, version, Prometheus metrics."""

from datetime import UTC, datetime
from importlib.metadata import version

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from web.api.problems import documented
from web.api.views import Opened, System
from web.prometheus import CONTENT_TYPE, exposition

router = APIRouter(tags=["system"])
api_router = APIRouter(tags=["system"])

VERSION = version("trimtab")


@router.get("/healthz", operation_id="healthz")
def healthz() -> dict[str, str]:
    """Whether the process is alive."""
    return {"status": "ok"}


@router.get("/readyz", operation_id="readyz")
def readyz(service: Opened) -> dict[str, str]:
    """Whether the store can be read and a controller is alive."""
    if service.controller() is None:
        raise HTTPException(503, "No controller is alive. Remedy: run `trimtab serve`")
    return {"status": "ready"}


@router.get("/version", operation_id="version")
def version_get() -> dict[str, str]:
    """The version of Trimtab."""
    return {"version": VERSION}


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(service: Opened) -> PlainTextResponse:
    """Figures of the service for Prometheus."""
    return PlainTextResponse(exposition(service), media_type=CONTENT_TYPE)


@api_router.get("/system", operation_id="system_get", responses=documented(503))
def system_get(service: Opened) -> System:
    """The version, the clock and the controller."""
    return System(version=VERSION, now=datetime.now(UTC), controller=service.controller())
