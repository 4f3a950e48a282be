"""HTTP/1.1 with kept connections over asyncio: as much of it as servers and load need.

Small on purpose: a router and a load client take their time from the models beside them.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import NamedTuple, Self
from urllib.parse import urlsplit

MAX_BODY = 16 * 2**20
_REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    404: "Not Found",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class WireError(Exception):
    """The other end is not there, has gone, or does not speak HTTP."""


class Request(NamedTuple):
    method: str
    path: str
    body: bytes


class Response(NamedTuple):
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


Answer = Callable[[Request], Awaitable[Response]]


def as_json(value: object, status: int = 200) -> Response:
    return Response(status, json.dumps(value, separators=(",", ":")).encode())


class Url(NamedTuple):
    """Where a request goes."""

    host: str
    port: int
    path: str
    tls: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError where it is no address of HTTP."""
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{text!r} is no address such as http://127.0.0.1:8000/rank")
        tls = parts.scheme == "https"
        path = parts.path or "/"
        path = f"{path}?{parts.query}" if parts.query else path
        return cls(parts.hostname, parts.port or (443 if tls else 80), path, tls)


# A server


async def serve(answer: Answer, host: str, port: int) -> asyncio.Server:
    """Answers what comes to an address; port 0 takes a free one. Raises OSError."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # A cancelled connection is none to complain about: Python 3.11 does.
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await _converse(answer, reader, writer)
        finally:
            writer.close()

    return await asyncio.start_server(converse, host, port, backlog=1024)


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


async def _converse(
    answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while True:
        try:
            first, headers = await _head(reader)
            method, path, _version = first.split(" ")
            request = Request(method, path, await _body(reader, headers, is_response=False))
        except (WireError, ValueError):
            writer.write(_encoded(Response(400), keep=False))
            return
        keep = headers.get("connection", "").lower() != "close"
        writer.write(_encoded(await answer(request), keep=keep))
        await writer.drain()
        if not keep:
            return


def _encoded(response: Response, *, keep: bool) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Other')}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines.append(f"content-length: {len(response.body)}")
    lines.append("content-type: application/json")
    lines += [] if keep else ["connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + response.body


# A client


class Pool:
    """Kept connections to one server; as many as there are requests at once."""

    def __init__(self, url: Url) -> None:
        self.url = url
        self._idle: list[_Connection] = []
        self._tls = ssl.create_default_context() if url.tls else None
        self._is_closed = False

    async def fetch(self, request: Request) -> Response:
        """Raises WireError. A kept connection may have been closed by the server a moment ago:
        where nothing came back on it, the request goes out once more on a new one."""
        kept = self._kept()
        if kept is not None:
            try:
                return await self._on(kept, request)
            except _ClosedError:
                pass
        try:
            opened = asyncio.open_connection(self.url.host, self.url.port, ssl=self._tls)
            connection = _Connection(*await opened)
        except OSError as error:
            raise WireError(f"{self.url.host}:{self.url.port}: {error}") from error
        return await self._on(connection, request)

    def close(self) -> None:
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def _kept(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
            connection.close()
        return None

    async def _on(self, connection: "_Connection", request: Request) -> Response:
        try:
            response = await connection.fetch(request, self.url.host)
        except BaseException:  # cut off in the middle, it can carry no other request
            connection.close()
            raise
        if self._is_closed or response.headers.get("connection", "").lower() == "close":
            connection.close()
        else:
            self._idle.append(connection)
        return response


class _ClosedError(WireError):
    """The server closed the connection before it said anything."""


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def is_open(self) -> bool:
        return not self._reader.at_eof() and not self._writer.is_closing()

    async def fetch(self, request: Request, host: str) -> Response:
        head = f"{request.method} {request.path} HTTP/1.1\r\nhost: {host}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(request.body)}\r\n\r\n"
        try:
            self._writer.write(head.encode("latin-1") + request.body)
            first, headers = await _head(self._reader)
            _version, status, *_reason = first.split(" ")
            body = await _body(self._reader, headers, is_response=True)
            return Response(int(status), body, headers)
        except asyncio.IncompleteReadError as error:
            kind = WireError if error.partial else _ClosedError
            raise kind("the server closed the connection") from error
        except (OSError, ValueError) as error:
            kind = _ClosedError if isinstance(error, ConnectionError) else WireError
            raise kind(str(error)) from error

    def close(self) -> None:
        self._writer.close()


# Messages


async def _head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.LimitOverrunError as error:
        raise WireError("a head of more than 64 KiB") from error
    first, *lines = text.split("\r\n")[:-2]
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return first, headers


async def _body(
    reader: asyncio.StreamReader, headers: Mapping[str, str], *, is_response: bool
) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader)
    length = headers.get("content-length")
    if length is not None:
        return await reader.readexactly(_size(length, 10))
    return await reader.read(MAX_BODY) if is_response else b""


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := _size((await reader.readuntil(b"\r\n")).split(b";")[0].decode("latin-1"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
        if len(body) > MAX_BODY:
            raise WireError(f"a body of more than {MAX_BODY} bytes")
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return body


def _size(text: str, base: int) -> int:
    size = int(text, base)
    if not 0 <= size <= MAX_BODY:
        raise WireError(f"a body of {size} bytes; at most {MAX_BODY} are read")
    return size
