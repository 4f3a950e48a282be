"""HTTP as the servers, the router and the load speak it, and as others do."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import pytest

from workloads.serving import wire

T = TypeVar("T")


async def echo(request: wire.Request) -> wire.Response:
    return wire.Response(200, request.method.encode() + request.body, {"x-path": request.path})


opened: list[asyncio.Server | wire.Pool] = []


def run(work: Coroutine[object, object, T]) -> T:
    async def tidy() -> T:
        try:
            return await work
        finally:
            while opened:
                opened.pop().close()
            for _ in range(10):  # so that both ends see it
                await asyncio.sleep(0)

    return asyncio.run(tidy())


def pool_to(server: asyncio.Server) -> wire.Pool:
    pool = wire.Pool(wire.Url("127.0.0.1", wire.port_of(server), "/", tls=False))
    opened.extend((server, pool))
    return pool


async def pool_of(answer: wire.Answer) -> tuple[wire.Pool, asyncio.Server]:
    server = await wire.serve(answer, "127.0.0.1", 0)
    return pool_to(server), server


async def raw(port: int, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def says(text: bytes) -> wire.Response:
    """What the client makes of a server that says just this and closes."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    return await pool_to(server).fetch(wire.Request("GET", "/", b""))


def test_a_request_and_its_answer_arrive_whole() -> None:
    async def work() -> wire.Response:
        pool, _server = await pool_of(echo)
        return await pool.fetch(wire.Request("PUT", "/a?b=1", b"x" * 200_000))

    response = run(work())
    assert response.status == 200
    assert response.body == b"PUT" + b"x" * 200_000
    assert response.headers["x-path"] == "/a?b=1"


def test_connections_are_kept_and_used_again() -> None:
    async def work() -> int:
        connections = 0
        begin = wire._converse

        async def counted(*args: object) -> None:
            nonlocal connections
            connections += 1
            await begin(*args)  # type: ignore[arg-type]

        wire._converse = counted  # type: ignore[assignment]
        try:
            pool, _server = await pool_of(echo)
            for _ in range(5):
                await pool.fetch(wire.Request("GET", "/", b""))
        finally:
            wire._converse = begin
        return connections

    assert run(work()) == 1


def test_a_kept_connection_that_the_server_closed_is_replaced() -> None:
    async def work() -> int:
        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(once, "127.0.0.1", 0)
        pool = pool_to(server)
        answers = [await pool.fetch(wire.Request("GET", "/", b"")) for _ in range(3)]
        return sum(answer.status == 200 for answer in answers)

    assert run(work()) == 3


def test_answers_of_other_servers_are_read() -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n"
    )
    until_the_end = b"HTTP/1.0 201 Created\r\nServer: old\r\n\r\nall of it"
    assert run(says(chunked)).body == b"abcde"
    assert run(says(until_the_end)) == wire.Response(201, b"all of it", {"server": "old"})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_is_an_error(text: bytes) -> None:
    with pytest.raises(wire.WireError):
        run(says(text))


def test_nobody_there_is_an_error() -> None:
    async def work() -> None:
        pool, server = await pool_of(echo)
        server.close()
        await pool.fetch(wire.Request("GET", "/", b""))

    with pytest.raises(wire.WireError, match=r"127\.0\.0\.1"):
        run(work())


@pytest.mark.parametrize(
    "text", [b"nonsense\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n"]
)
def test_a_request_that_is_none_is_refused(text: bytes) -> None:
    async def work() -> bytes:
        _pool, server = await pool_of(echo)
        return await raw(wire.port_of(server), text)

    assert run(work()).startswith(b"HTTP/1.1 400 ")


def test_a_connection_ends_when_the_client_says_so() -> None:
    async def work() -> bytes:
        _pool, server = await pool_of(echo)
        return await raw(wire.port_of(server), b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")

    answer = run(work())
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://a:81/rank?x=1", wire.Url("a", 81, "/rank?x=1", tls=False)),
        ("https://a", wire.Url("a", 443, "/", tls=True)),
    ],
)
def test_addresses(text: str, expected: wire.Url) -> None:
    assert wire.Url.parse(text) == expected


@pytest.mark.parametrize("text", ["a:81", "ftp://a", "http://", "http://a:b/"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|[Pp]ort"):
        wire.Url.parse(text)
