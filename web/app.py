"""The HTTP application: the API under `/api/v1`, the dashboard at `/`, health and metrics."""

from collections.abc import Iterable
from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from tuner.errors import TrimtabError
from tuner.service import Service
from web.api import applications, jobs, plans, problems, schemas, system, trials
from web.guard import Guard

_STATIC = Path(__file__).parent / "static"

_DESCRIPTION = """Tunes jobs by measuring real trials. Errors are `application/problem+json`.
Lists come in pages: `page_size`, `page_token`, and `next_page_token`, which is empty at the end."""


def create_app(service: Service, *, allowed_hosts: Iterable[str]) -> FastAPI:
    """The application over an opened service. `allowed_hosts`: values of Host, port included."""
    app = FastAPI(
        title="Trimtab",
        version=system.VERSION,
        description=_DESCRIPTION,
        # The usual documentation pages load scripts from other sites.
        docs_url=None,
        redoc_url=None,
        # Spec and answer share one schema, in which what has a default may be left out.
        separate_input_output_schemas=False,
        responses=problems.documented(421, 422, 500, 503),
    )
    app.state.service = service
    app.add_middleware(
        Guard,
        allowed_hosts=frozenset(host.lower() for host in allowed_hosts),
        max_body_bytes=jobs.MAX_BODY_BYTES,
    )
    for module in (jobs, trials, plans, applications, schemas):
        app.include_router(module.router, prefix="/api/v1")
    app.include_router(system.api_router, prefix="/api/v1")
    app.include_router(system.router)
    app.include_router(problems.router)
    _add_exception_handlers(app)
    _add_dashboard(app)
    return app


def _add_exception_handlers(app: FastAPI) -> None:
    app.add_exception_handler(TrimtabError, problems.on_trimtab_error)
    app.add_exception_handler(RequestValidationError, problems.on_invalid_request)
    app.add_exception_handler(HTTPException, problems.on_http_exception)
    app.add_exception_handler(Exception, problems.on_unexpected)


def _add_dashboard(app: FastAPI) -> None:
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")

    @app.get("/", include_in_schema=False)
    def dashboard() -> FileResponse:
        return FileResponse(_STATIC / "index.html")
