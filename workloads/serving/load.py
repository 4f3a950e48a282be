"""Open-loop load on any HTTP endpoint, and what it shows, told to Trimtab.

    python -m workloads.serving.load --url=http://127.0.0.1:{port}/rank --slo-ms=50 \\
        --start -- python server.py --port={port}

A latency counts from the moment at which its request should have been sent. With `--rate` requests
come at that rate on the average; without it the highest rate is sought at which the 99th percentile
keeps the objective (`goodput_per_s`). With `--start` the command is started first, and ended at the
end; `{port}` is a free port. The load begins when the URL answers.

A sample is an answered request. The load is told as a step every 0.1 s; with a shape that has a
period as one a period, so that every piece of the series holds a whole one.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tuner import report
from workloads.serving import bodies, schedule, wire
from workloads.serving.child import end_with_parent
from workloads.serving.client import Client, Sending
from workloads.serving.options import Parser, UsageError, count, number
from workloads.serving.rate_search import RateSearch, Seen

TICK_S = 0.1
SEARCH_LIMIT_S = 30.0
TELL_AGAIN = 1.25
"""Percentiles of all requests so far are told whenever there are so many times as many: fewer than
twenty times in a run, so that the last counts, which is that of the whole run."""
FIRST_TOLD = 200
NO_ANSWER_S = 10.0
PRINT_S = 1.0
_PORTS = range(15_000, 32_000)
"""Below those that the kernel hands to outgoing connections, so that none of them takes it."""


class ServerError(Exception):
    """The server does not answer, or ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is sent, and for how long."""

    rate: float | None
    shape: str
    period_s: float
    start_rate: float
    warmup_s: float
    ready_s: float
    max_s: float
    figures_url: wire.Url | None

    @property
    def step_s(self) -> float:
        return TICK_S if self.shape == "poisson" else self.period_s


def add_load_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--slo-ms", type=number(0, above=True), default=50.0, help="latency that 99 of 100 keep")
    add("--rate", type=number(0, above=True), help="requests/s; default: the highest is sought")
    add("--shape", choices=[*schedule.SHAPES], default="poisson", help="of the rate over time")
    add("--period-s", type=number(1), default=20.0, help="of a day, or from burst to burst")
    add("--start-rate", type=number(0, above=True), default=50.0, help="where the search begins")
    add("--warmup-s", type=number(0), default=2.0, help="sent before anything is measured")
    add("--timeout-s", type=number(0, above=True), default=5.0, help="then a request has failed")
    add("--ready-s", type=number(0, above=True), default=300.0, help="longest start of the server")
    add("--max-s", type=number(0, above=True), default=float("1e9"), help="ends after so long")
    add("--load-seed", type=count(0), default=0)


def load_of(found: argparse.Namespace, figures_url: wire.Url | None) -> Load:
    """Raises UsageError."""
    if found.rate is None and found.shape != "poisson":
        raise UsageError(f"load: error: --shape={found.shape} needs --rate, its mean")
    return Load(
        rate=found.rate,
        shape=found.shape,
        period_s=found.period_s,
        start_rate=found.start_rate,
        warmup_s=found.warmup_s,
        ready_s=found.ready_s,
        max_s=found.max_s,
        figures_url=figures_url,
    )


def sending_of(found: argparse.Namespace, url: wire.Url, method: str) -> Sending:
    return Sending(
        url=url,
        method=method,
        slo_s=found.slo_ms / 1e3,
        timeout_s=max(found.timeout_s, found.slo_ms / 1e3),
        seed=found.load_seed,
    )


class Measuring:
    """One load from its start to its end."""

    def __init__(
        self, load: Load, client: Client, server: "subprocess.Popen[bytes] | None"
    ) -> None:
        self._load = load
        self._client = client
        self._server = server
        self._figures = wire.Pool(load.figures_url) if load.figures_url is not None else None
        self._told = 0
        self._answered = 0
        self._heard_s = self._printed_s = 0.0
        self._told_figures: dict[str, float] = {}

    async def run(self) -> None:
        """Raises ServerError where there is nothing to measure."""
        await self._ready()
        if self._load.rate is not None:
            await self._at_rate(
                schedule.SHAPES[self._load.shape](self._load.rate, self._load.period_s)
            )
        else:
            await self._search()

    async def _ready(self) -> None:
        end_s = _now() + self._load.ready_s
        last = "it does not answer"
        while _now() < end_s:
            self._check()
            with suppress(wire.WireError, TimeoutError):
                async with asyncio.timeout(10):
                    answer = await self._client.fetch()
                if answer.status < 400:
                    return
                last = f"status {answer.status}: {answer.body[:200].decode(errors='replace')}"
                if answer.status < 500 or answer.status == 501:  # also a method that it lacks
                    raise ServerError(f"the server refuses the request: {last}")
            await asyncio.sleep(0.05)
        raise ServerError(f"the server was not ready within {self._load.ready_s:g} s: {last}")

    async def _at_rate(self, rate_at: schedule.RateAt) -> None:
        sending = asyncio.create_task(self._client.send(rate_at))
        with report.pause():
            await asyncio.sleep(self._load.warmup_s)
        self._client.tally.begin()
        async for _seen, answered, passed_s in self._ticks(self._load.step_s, sending):
            report.step(samples=answered, requests_per_s=answered / passed_s)
            await self._tell()

    async def _search(self) -> None:
        search = RateSearch(self._load.start_rate)
        sending = asyncio.create_task(self._client.send(lambda _t_s: search.rate))
        with report.pause():
            end_s = _now() + SEARCH_LIMIT_S
            async for seen, _answered, _passed_s in self._ticks(TICK_S, sending):
                search.tick(seen)
                if search.is_found or _now() > end_s:
                    break
        self._client.tally.begin()
        async for seen, answered, passed_s in self._ticks(TICK_S, sending):
            search.tick(seen)
            report.step(
                samples=answered, requests_per_s=answered / passed_s, goodput_per_s=search.rate
            )
            await self._tell()

    async def _ticks(
        self, step_s: float, sending: "asyncio.Task[None]"
    ) -> AsyncIterator[tuple[Seen, int, float]]:
        """What became clear, answered requests, and seconds, every `step_s` until the end."""
        self._answered = 0
        began_s = before_s = self._heard_s = _now()
        while before_s - began_s < self._load.max_s:
            await asyncio.sleep(max(0.0, before_s + step_s - _now()))
            now_s = _now()
            if sending.done():
                sending.result()
            self._check()
            tally = self._client.tally
            answered = tally.answered - self._answered
            self._answered = tally.answered
            self._heard_s = now_s if answered else self._heard_s
            if now_s - self._heard_s > max(NO_ANSWER_S, 2 * step_s):
                raise ServerError(f"the server answered nothing for {NO_ANSWER_S:g} s")
            seen = Seen(*tally.decide(now_s), self._client.outstanding)
            yield seen, answered, now_s - before_s
            before_s = now_s

    async def _tell(self) -> None:
        """Figures of all requests so far, now and then, and a line for people."""
        tally = self._client.tally
        ended = len(tally.latencies_s)
        if ended >= max(FIRST_TOLD, TELL_AGAIN * self._told) or self._load.step_s > TICK_S:
            self._told = ended
            self._told_figures = tally.figures()
            report.value(**self._told_figures, **await self._figures_of_server())
        if _now() - self._printed_s >= PRINT_S and ended:
            self._printed_s = _now()
            # What was told last: sorting all latencies anew each second would delay requests.
            told = " ".join(f"{n}={value:.4g}" for n, value in self._told_figures.items())
            print(f"{tally.answered} answered {told}", flush=True)

    async def _figures_of_server(self) -> dict[str, float]:
        if self._figures is None:
            return {}
        try:
            async with asyncio.timeout(2):
                answer = await self._figures.fetch(wire.Request("GET", self._figures.url.path, b""))
            found = json.loads(answer.body)
            return {str(name): float(value) for name, value in found.items()}
        except (wire.WireError, TimeoutError, ValueError, TypeError, AttributeError):
            return {}

    def _check(self) -> None:
        code = self._server.poll() if self._server is not None else None
        if code is not None:
            raise ServerError(f"the server ended with exit code {code}")


def _now() -> float:
    return asyncio.get_running_loop().time()


@contextmanager
def started(command: Sequence[str]) -> "Iterator[subprocess.Popen[bytes] | None]":
    """The server while it is needed; it ends with this process, however that goes."""
    if not command:
        yield None
        return
    try:
        server = subprocess.Popen(
            command, start_new_session=True, preexec_fn=partial(end_with_parent, os.getpid())
        )
    except OSError as error:
        raise ServerError(f"{command[0]!r} cannot be started: {error}") from error
    try:
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def free_port() -> int:
    """A port that nobody listens on. Raises OSError."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port among 100 tried from {_PORTS.start} to {_PORTS.stop - 1}")


def run(load: Load, client: Client, command: Sequence[str]) -> int:
    """The exit code of a load: 1 where the server failed."""
    try:
        with started(command) as server:
            asyncio.run(Measuring(load, client, server).run())
    except ServerError as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    return 0


def main(words: Sequence[str]) -> int:
    place = words.index("--start") if "--start" in words else len(words)
    command = [*words[place + 1 :]]
    if command[:1] == ["--"]:
        del command[0]
    parser = Parser(prog="load", allow_abbrev=False)
    add = parser.add_argument
    add("--url", required=True)
    add("--method", default="POST")
    add("--body", default="", help="what every request sends")
    add("--bodies", type=Path, help="a file of bodies, one a line")
    add("--figures-url", help="answers with a JSON object of numbers, which are told as well")
    add_load_options(parser)
    try:
        found = parser.parse_args(words[:place])
        port = str(free_port()) if "{port}" in found.url else ""
        url = wire.Url.parse(found.url.replace("{port}", port))
        figures = found.figures_url
        figures_url = wire.Url.parse(figures.replace("{port}", port)) if figures else None
        requests = bodies.of_file(found.bodies) if found.bodies else bodies.same(found.body)
        load, sending = load_of(found, figures_url), sending_of(found, url, found.method)
    except (ValueError, OSError) as error:
        told = str(error) if isinstance(error, UsageError) else f"load: error: {error}"
        print(told, file=sys.stderr)
        return 2
    client = Client(sending, requests)
    return run(load, client, [word.replace("{port}", port) for word in command])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
