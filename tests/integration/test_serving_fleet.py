"""A fleet of real replicas: rolling replacement, probation, death; no request is lost."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from tests.gangs import is_running
from workloads.serving import bodies, schedule, wire
from workloads.serving.client import Client, Sending

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

T = TypeVar("T")
SMALL = ("--users=40", "--items=200", "--tables=3", "--table-rows=50", "--dim=8", "--history=6")
DEADLINE_S = 90.0
RATE = 60.0


@dataclass(frozen=True)
class Running:
    """A fleet's process and the ways to it."""

    process: asyncio.subprocess.Process
    url: wire.Url
    admin: wire.Pool

    async def ask(
        self, method: str, path: str, value: object = None
    ) -> tuple[int, dict[str, object]]:
        body = b"" if value is None else json.dumps(value).encode()
        answer = await self.admin.fetch(wire.Request(method, path, body))
        return answer.status, json.loads(answer.body)

    async def until(self, true: Callable[[dict[str, object]], bool]) -> dict[str, object]:
        """The fleet's state once it is as wished."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                _, state = await self.ask("GET", "/fleet")
                if true(state):
                    return state
                await asyncio.sleep(0.05)


@asynccontextmanager
async def fleet(*words: str) -> AsyncIterator[Running]:
    argv = ["-m", "workloads.serving.fleet", "--port=0", "--admin-port=0", *SMALL, *words]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *argv, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        told = json.loads(await process.stdout.readline())
        admin = wire.Pool(wire.Url("127.0.0.1", told["admin_port"], "/", tls=False))
        running = Running(process, wire.Url("127.0.0.1", told["port"], "/rank", tls=False), admin)
        await running.until(is_steady)
        yield running
        admin.close()
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), 30)


def is_steady(state: dict[str, object]) -> bool:
    return state["state"] == "steady"


def runs(plan_hash: str) -> Callable[[dict[str, object]], bool]:
    return lambda state: is_steady(state) and state["plan_hash"] == plan_hash


def rows(state: dict[str, object]) -> list[dict[str, object]]:
    found = state["replicas"]
    assert isinstance(found, list)
    return found


def pids(state: dict[str, object]) -> set[int]:
    return {int(str(row["pid"])) for row in rows(state)}


async def under_load(running: Running, work: Callable[[], Awaitable[T]]) -> tuple[T, Client]:
    """Does something while requests flow; then waits until every request has its answer."""
    sending = Sending(url=running.url, method="POST", slo_s=1, timeout_s=60, seed=1)
    client = Client(sending, bodies.rankings(40, 200, 8, 1.0, 1))
    flowing = asyncio.create_task(client.send(schedule.poisson(RATE, 1)))
    done = await work()
    while client.tally.answered < RATE:  # some before, some during, some after
        await asyncio.sleep(0.05)
    flowing.cancel()
    while client.outstanding:
        await asyncio.sleep(0.05)
    client.close()
    return done, client


def run(work: Coroutine[object, object, T]) -> T:
    return asyncio.run(work)


def test_a_plan_replaces_every_replica_without_losing_a_request() -> None:
    async def work() -> None:
        async with fleet("--replicas=2", "--plan-hash=old") as running:
            before = await running.until(runs("old"))
            plan = {"plan_hash": "new", "params": {"replicas": 2, "max_batch": 4, "max_wait_ms": 1}}

            async def apply() -> dict[str, object]:
                status, told = await running.ask("PUT", "/plan", plan)
                assert status == 202
                assert told["plan_hash"] != "new", "it is said to be in force when it is"
                return await running.until(runs("new"))

            after, client = await under_load(running, apply)
            assert client.tally.failed == 0
            assert client.tally.answered >= RATE
            assert not pids(before) & pids(after)
            assert not any(is_running(pid) for pid in pids(before))
            assert {row["plan_hash"] for row in rows(after)} == {"new"}
            _, seen = await running.ask("GET", "/plans/new")
            assert int(str(seen["requests"])) > 0
            assert seen["errors"] == 0

    run(work())


def test_a_plan_on_probation_is_taken_back_when_nobody_renews_it() -> None:
    async def work() -> None:
        async with fleet("--plan-hash=old") as running:
            plan = {"plan_hash": "new", "params": {"max_batch": 4}, "probation_s": 600}
            await running.ask("PUT", "/plan", plan)
            await running.until(runs("new"))
            # Whoever put it there has gone: the time to renew it is over at once.
            await running.ask("PUT", "/plan", {"plan_hash": "new", "probation_s": 0.01})
            state = await running.until(runs("old"))
            assert "nobody renewed it" in str(state["failure"])
            # It is known by its hash now, and may come for good.
            status, _ = await running.ask("PUT", "/plan", {"plan_hash": "new"})
            assert status == 202
            await running.until(runs("new"))

    run(work())


def test_a_plan_that_does_not_start_leaves_the_one_before_in_force(tmp_path: Path) -> None:
    async def work() -> None:
        async with fleet("--plan-hash=old") as running:
            before = await running.until(runs("old"))
            params = {"weights": str(tmp_path / "missing.pt")}

            async def apply() -> dict[str, object]:
                await running.ask("PUT", "/plan", {"plan_hash": "bad", "params": params})
                return await running.until(lambda s: is_steady(s) and bool(s["failure"]))

            after, client = await under_load(running, apply)
            assert client.tally.failed == 0
            assert pids(after) == pids(before)
            assert (after["plan_hash"], after["wanted_plan_hash"]) == ("old", "old")

    run(work())


def test_a_killed_replica_is_replaced_and_its_requests_are_answered_by_others() -> None:
    async def work() -> None:
        async with fleet("--replicas=2", "--routing=least_outstanding") as running:
            before = await running.until(is_steady)
            victim = min(pids(before))

            async def kill() -> dict[str, object]:
                os.kill(victim, signal.SIGKILL)
                return await running.until(
                    lambda state: victim not in pids(state) and len(pids(state)) == 2
                )

            _, client = await under_load(running, kill)
            assert client.tally.failed == 0

    run(work())


def test_settings_change_at_once_and_with_the_same_processes() -> None:
    async def work() -> None:
        async with fleet("--replicas=1", "--plan-hash=plan") as running:
            before = await running.until(is_steady)
            status, _ = await running.ask("PUT", "/settings", {"max_batch": 32, "cache_users": 20})
            assert status == 200
            (row,) = rows(before)
            replica = wire.Pool(wire.Url.parse(str(row["url"])))
            health = json.loads((await replica.fetch(wire.Request("GET", "/healthz", b""))).body)
            replica.close()
            assert (health["max_batch"], health["cache_users"]) == (32, 20)
            assert health["plan_hash"] == "plan"
            await running.ask("PUT", "/settings", {"replicas": 2})
            more = await running.until(lambda state: is_steady(state) and len(rows(state)) == 2)
            assert pids(before) < pids(more)
            refused, why = await running.ask("PUT", "/settings", {"max_batch": 0})
            assert refused == 400
            assert "max_batch" in str(why["error"]) or "'0'" in str(why["error"])
            unknown = {"plan_hash": "x"}
            for path, value, code in (
                ("/plan", {}, 404),
                ("/plan", unknown, 400),
                ("/replicas", {}, 404),
            ):
                status, why = await running.ask("PUT" if path == "/plan" else "POST", path, value)
                assert status == code, (path, value)
                assert why["error"]

    run(work())


def test_other_servers_join_by_their_address_and_leave_when_they_have_answered() -> None:
    async def work() -> None:
        async def other(request: wire.Request) -> wire.Response:
            return wire.as_json({"items": [], "scores": []})

        server = await wire.serve(other, "127.0.0.1", 0)
        async with fleet("--replicas=1", "--routing=round_robin") as running:
            url = f"http://127.0.0.1:{wire.port_of(server)}"
            status, _ = await running.ask("POST", "/replicas", {"id": "other", "url": url})
            assert status == 200
            _, client = await under_load(running, lambda: asyncio.sleep(0))
            _, state = await running.ask("GET", "/fleet")
            by_id = {row["id"]: row for row in rows(state)}
            assert int(str(by_id["other"]["answered"])) > 0
            await running.ask("POST", "/replicas/other/drain")
            status, state = await running.ask("DELETE", "/replicas/other")
            assert (status, [row["id"] for row in rows(state)]) == (200, ["replica-0"])
            assert (await running.ask("DELETE", "/replicas/other"))[0] == 404
            assert client.tally.failed == 0
        server.close()

    run(work())


def test_nothing_is_left_of_a_fleet_that_is_killed() -> None:
    async def work() -> set[int]:
        async with fleet("--replicas=2") as running:
            state = await running.until(is_steady)
            running.process.kill()
            await running.process.wait()
            return pids(state)

    left = [psutil.Process(pid) for pid in run(work()) if is_running(pid)]
    _, alive = psutil.wait_procs(left, timeout=30)
    assert alive == []


def test_a_fleet_that_cannot_start_says_so() -> None:
    argv = [sys.executable, "-m", "workloads.serving.fleet", "--port=0", "--admin-port=0"]
    ended = subprocess.run(
        [*argv, "--weights=/does/not/exist"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode == 1
    assert "a replica did not start" in ended.stderr
    assert "/does/not/exist" in ended.stderr, "the reason of the replica itself is there to read"
