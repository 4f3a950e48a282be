"""Which replica gets a request, and that none is lost when replicas come, go and fail."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

import pytest

from workloads.serving import router as router_module
from workloads.serving import wire
from workloads.serving.policy import POLICIES, LeastOutstanding, PowerOfTwo, RoundRobin
from workloads.serving.router import Backend, Router, described

T = TypeVar("T")
ASK = wire.Request("POST", "/rank", b"{}")


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


opened: list[asyncio.Server | wire.Pool] = []


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_policy_picks_one_that_is_there(name: str, count: int) -> None:
    policy = POLICIES[name]()
    picked = {policy.pick([0] * count) for _ in range(200)}
    assert picked == set(range(count))


def test_round_robin_takes_turns_also_when_one_goes() -> None:
    policy = RoundRobin()
    assert [policy.pick([9, 0, 0]) for _ in range(4)] == [0, 1, 2, 0]
    assert [policy.pick([0, 0]) for _ in range(3)] == [1, 0, 1]


def test_least_outstanding_takes_the_idlest_and_turns_among_equals() -> None:
    policy = LeastOutstanding()
    assert policy.pick([3, 1, 2]) == 1
    assert [policy.pick([1, 1, 1]) for _ in range(3)] == [2, 0, 1]


def test_power_of_two_never_takes_the_busiest_of_three_and_spreads_the_rest() -> None:
    policy = PowerOfTwo(seed=1)
    picked = Counter(policy.pick([0, 5, 1]) for _ in range(300))
    assert picked[1] == 0
    assert picked[0] > picked[2] > 50  # 2 in 3 draws have the idlest in them


class Fake:
    """Replicas within this process."""

    def __init__(self) -> None:
        self.servers: list[asyncio.Server] = []

    async def start(self, answer: Callable[[wire.Request], Awaitable[wire.Response]]) -> wire.Pool:
        server = await wire.serve(answer, "127.0.0.1", 0)
        pool = wire.Pool(wire.Url("127.0.0.1", wire.port_of(server), "/", tls=False))
        self.servers.append(server)
        opened.extend((server, pool))
        return pool


async def named(name: str, fake: Fake, plan: str | None = None) -> Backend:
    async def answer(request: wire.Request) -> wire.Response:
        headers = {"x-plan-hash": plan} if plan else {}
        return wire.as_json(name)._replace(headers=headers)

    return Backend(name, await fake.start(answer), plan_hash=plan)


async def gone(name: str, fake: Fake) -> Backend:
    backend = await named(name, fake)
    fake.servers[-1].close()
    return backend


def test_a_request_goes_to_another_replica_when_one_is_gone() -> None:
    async def work() -> list[tuple[int, bytes]]:
        fake, router = Fake(), Router("round_robin")
        router.add(await gone("dead", fake))
        router.add(await named("alive", fake))
        answers = [await router.answer(ASK) for _ in range(4)]
        assert router.backends["dead"].failed == 1, "it is passed over for a while"
        return [(a.status, a.body) for a in answers]

    assert run(work()) == [(200, b'"alive"')] * 4


def test_where_all_fail_the_answer_names_them() -> None:
    async def work() -> wire.Response:
        fake, router = Fake(), Router("least_outstanding")
        router.add(await gone("a", fake))
        router.add(await gone("b", fake))
        return await router.answer(ASK)

    response = run(work())
    assert response.status == 502
    assert b"a, b" in response.body


def test_without_a_replica_a_request_waits_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> tuple[int, int]:
        fake, router = Fake(), Router("round_robin")
        waiting = asyncio.create_task(router.answer(ASK))
        await asyncio.sleep(0)
        router.add(await named("late", fake))
        first = (await waiting).status
        router.drain("late")
        monkeypatch.setattr(router_module, "NO_REPLICA_S", 0.01)
        return first, (await router.answer(ASK)).status

    assert run(work()) == (200, 503)


def test_draining_finishes_what_has_begun_and_takes_nothing_new() -> None:
    async def work() -> None:
        fake, router = Fake(), Router("round_robin")
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def slow(request: wire.Request) -> wire.Response:
            begun.set()
            await may_end.wait()
            return wire.as_json("slow")

        router.add(Backend("old", await fake.start(slow)))
        first = asyncio.create_task(router.answer(ASK))
        await begun.wait()
        router.add(await named("new", fake))
        removing = asyncio.create_task(router.remove("old", within_s=30))
        await asyncio.sleep(0)
        assert [row["state"] for row in described(router.backends.values())] == [
            "draining",
            "active",
        ]
        assert [(await router.answer(ASK)).body for _ in range(3)] == [b'"new"'] * 3
        assert not removing.done()
        may_end.set()
        assert (await first).body == b'"slow"'
        assert await removing is True
        assert [*router.backends] == ["new"]

    run(work())


def test_a_replica_that_does_not_end_in_time_is_taken_out_all_the_same() -> None:
    async def work() -> tuple[bool, int]:
        fake, router = Fake(), Router("round_robin")
        begun = asyncio.Event()

        async def never(request: wire.Request) -> wire.Response:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        router.add(Backend("stuck", await fake.start(never)))
        stuck = asyncio.create_task(router.answer(ASK))
        await begun.wait()
        ended = await router.remove("stuck", within_s=0.01)
        stuck.cancel()
        return ended, len(router.backends)

    assert run(work()) == (False, 0)


def test_figures_are_kept_apart_by_plan() -> None:
    async def work() -> dict[str | None, dict[str, float]]:
        fake, router = Fake(), Router("round_robin")
        router.add(await named("one", fake, plan="a" * 8))
        router.add(await named("two", fake, plan="b" * 8))
        answers = [await router.answer(ASK) for _ in range(6)]
        assert {a.headers["x-plan-hash"] for a in answers} == {"a" * 8, "b" * 8}
        assert {a.headers["x-replica"] for a in answers} == {"one", "two"}
        return {plan: latest.figures(1e9) for plan, latest in router.plans.items()}

    found = run(work())
    assert {plan: f["requests"] for plan, f in found.items()} == {"a" * 8: 3, "b" * 8: 3}
    assert all(0 < f["p50_latency_ms"] <= f["p99_latency_ms"] for f in found.values())
    assert all(f["errors"] == 0 for f in found.values())


def test_two_replicas_cannot_have_one_name() -> None:
    async def work() -> None:
        fake, router = Fake(), Router("round_robin")
        router.add(await named("one", fake))
        router.add(await named("one", fake))

    with pytest.raises(ValueError, match="'one' already"):
        run(work())
