"""Every error as `application/problem+json` (RFC 9457), in one place."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from tuner import errors

MEDIA_TYPE = "application/problem+json"

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; object-src 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_log = logging.getLogger(__name__)


class Kind(NamedTuple):
    """A kind of problem: the end of its `type`, its status and its title."""

    slug: str
    status: int
    title: str


KINDS: dict[type[errors.TrimtabError], Kind] = {
    errors.TrimtabError: Kind("trimtab-error", 500, "Trimtab could not do this"),
    errors.UserError: Kind("user-error", 422, "The request is wrong"),
    errors.InvalidJob: Kind("invalid-job", 422, "The job specification cannot be used"),
    errors.NotFound: Kind("not-found", 404, "Not found"),
    errors.Conflict: Kind("conflict", 409, "Not possible in the present state"),
    errors.ExecutorError: Kind("executor-error", 503, "The executor failed"),
    errors.StoreError: Kind("store-error", 503, "The store cannot be used"),
    errors.StaleLease: Kind("stale-lease", 409, "Another controller took over"),
    errors.TargetError: Kind("target-error", 409, "The target could not be changed"),
}


class Fault(BaseModel):
    """One thing wrong with the request."""

    detail: str
    pointer: str | None = None
    """JSON pointer into the body."""
    parameter: str | None = None
    """Name of the path or query parameter."""
    value: str | None = None
    remedy: str | None = None
    line: int | None = None
    """Line of the body, counted from 1."""


class ProblemDocument(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    type: str
    """`/problems/...`, or `about:blank` where the status says it all."""
    title: str
    status: int
    detail: str
    instance: str | None = None
    """The path that was asked for."""
    errors: list[Fault] = []


def kind_of(error: errors.TrimtabError) -> Kind:
    """The kind of the nearest class that has one."""
    return next(KINDS[cls] for cls in type(error).__mro__ if cls in KINDS)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for the problems that a route may answer with."""
    schema = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}}
        for status in statuses
    }


def response(
    document: ProblemDocument, request: Request | None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    if request is not None:
        document = document.model_copy(update={"instance": request.url.path})
    content = document.model_dump(exclude_none=True)
    return JSONResponse(
        content,
        document.status,
        headers={**SECURITY_HEADERS, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def by_status(status: int, detail: str, faults: Iterable[Fault] = ()) -> ProblemDocument:
    """A problem whose status says it all."""
    title = HTTPStatus(status).phrase
    return ProblemDocument(
        type="about:blank", title=title, status=status, detail=detail, errors=list(faults)
    )


async def on_trimtab_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.TrimtabError)
    kind = kind_of(error)
    faults = error.problems if isinstance(error, errors.InvalidJob) else []
    document = ProblemDocument(
        type=f"/problems/{kind.slug}",
        title=kind.title,
        status=kind.status,
        detail=str(error) or kind.title,
        errors=[_job_fault(fault) for fault in faults],
    )
    return response(document, request)


async def on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = [_request_fault(e["loc"], e["msg"]) for e in error.errors()]
    detail = "; ".join(f"{fault.parameter or fault.pointer}: {fault.detail}" for fault in faults)
    return response(by_status(422, detail, faults), request)


async def on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == 404 and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"There is nothing at {request.url.path}; /openapi.json lists every path."
    return response(by_status(error.status_code, detail), request, error.headers)


async def on_unexpected(request: Request, error: Exception) -> JSONResponse:
    """The caller learns nothing of the inside; the log of the service has it all."""
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    detail = "Trimtab met an error that it did not expect; the log of the service says more."
    return response(by_status(500, detail), request)


def _job_fault(problem: errors.Problem) -> Fault:
    # `space.params.batch` and `objectives[0].metric` both become a JSON pointer.
    parts = problem.field.replace("[", ".").replace("]", "").split(".")
    return Fault(
        detail=problem.message,
        pointer=_pointer([part for part in parts if part]),
        value=problem.value or None,
        remedy=problem.remedy,
        line=problem.line,
    )


def _request_fault(loc: Sequence[str | int], message: str) -> Fault:
    place, *rest = loc
    if place == "body":
        return Fault(detail=message, pointer=_pointer(rest))
    return Fault(detail=message, parameter=".".join(map(str, rest)))


def _pointer(parts: Sequence[str | int]) -> str:
    escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in parts)
    return "".join(["#", *(f"/{part}" for part in escaped)])


router = APIRouter(tags=["problems"])


@router.get("/problems/{slug}", operation_id="problems_get", responses=documented(404))
def problems_get(slug: Annotated[str, Path()]) -> ProblemDocument:
    """What a type of problem means."""
    for error, kind in KINDS.items():
        if kind.slug == slug:
            meaning = (error.__doc__ or "").strip()
            return ProblemDocument(
                type=f"/problems/{slug}", title=kind.title, status=kind.status, detail=meaning
            )
    raise errors.NotFound(f"There is no type of problem {slug!r}")
