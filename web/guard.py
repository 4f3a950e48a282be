"""Turns away requests that a page of another site could have made, and sets the security headers.

There is no authentication yet, so whoever reaches the port may do everything, starting programs
included. Three rules keep the pages of other sites out: the Host must be one of ours (DNS
rebinding), what changes something must come from our own page or from no page at all (a shell),
and its content type must be one that a form cannot send.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.api import problems

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
CONTENT_TYPES = frozenset(
    {"application/json", "application/yaml", "application/x-yaml", "text/yaml"}
)


class _Refusal(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Guard:
    """ASGI middleware; `allowed_hosts` are values of the Host header, port included."""

    def __init__(self, app: ASGIApp, *, allowed_hosts: frozenset[str], max_body_bytes: int) -> None:
        self._app = app
        self._allowed_hosts = allowed_hosts
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _set_headers(MutableHeaders(scope=message), scope["path"])
            await send(message)

        try:
            self._check(scope["method"], Headers(scope=scope))
        except _Refusal as refusal:
            document = problems.by_status(refusal.status, refusal.detail)
            await problems.response(document, Request(scope))(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _check(self, method: str, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._allowed_hosts:
            allowed = ", ".join(sorted(self._allowed_hosts))
            raise _Refusal(421, f"Host {hosts} is not served here; use one of {allowed}.")
        if method not in _SAFE:
            _check_origin(headers, hosts[0].lower())
            _check_content_type(headers)
        # A body without a declared length is counted as it comes, by the route that reads it.
        if int(headers.get("content-length", "0")) > self._max_body_bytes:
            raise _Refusal(413, f"A body may have {self._max_body_bytes} bytes at most.")


def _check_origin(headers: Headers, host: str) -> None:
    """A browser says where a request comes from; a shell says nothing."""
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host}":
        raise _Refusal(403, f"Requests of the page {origin} may change nothing here.")
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin"):
        raise _Refusal(403, f"Requests of another page ({site}) may change nothing here.")


def _check_content_type(headers: Headers) -> None:
    content_type = headers.get("content-type")
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if content_type is None and not has_body:
        return
    if (content_type or "").partition(";")[0].strip().lower() not in CONTENT_TYPES:
        raise _Refusal(
            415,
            f"Content type {content_type!r} is not read here; "
            "send application/json or application/yaml.",
        )


def _set_headers(headers: MutableHeaders, path: str) -> None:
    headers.update(problems.SECURITY_HEADERS)
    # A page that stays open over an upgrade must not run old modules: everything is asked for anew.
    headers["Cache-Control"] = "no-cache" if path.startswith("/static/") else "no-store"
