"""Sends requests when they are due, however many are still on their way."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass

from workloads.serving import schedule, wire
from workloads.serving.tally import Sent, Tally

MAX_OUTSTANDING = 2000
"""Beyond so many a request counts as failed: the load is far above what can be answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What is sent where, and what is expected of it."""

    url: wire.Url
    method: str
    slo_s: float
    timeout_s: float
    seed: int


class Client:
    """An open loop: nothing that a server does keeps the next request from being sent."""

    def __init__(self, sending: Sending, bodies: Iterator[bytes]) -> None:
        self.tally = Tally(sending.slo_s, sending.timeout_s)
        self._sending = sending
        self._bodies = bodies
        self._pool = wire.Pool(sending.url)
        self._outstanding: set[asyncio.Task[None]] = set()

    @property
    def outstanding(self) -> int:
        return len(self._outstanding)

    async def send(self, rate_at: schedule.RateAt) -> None:
        """Sends at these rates until it is cancelled."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for due_s in schedule.arrivals(rate_at, random.Random(self._sending.seed)):
            # Without a need to wait others still get their turn.
            await asyncio.sleep(max(0.0, began_s + due_s - loop.time()))
            sent = self.tally.sent(began_s + due_s, loop.time())
            if len(self._outstanding) >= MAX_OUTSTANDING:
                self.tally.ended(sent, loop.time(), ok=False)
                continue
            task = loop.create_task(self._ask(sent))
            self._outstanding.add(task)
            task.add_done_callback(self._outstanding.discard)

    async def _ask(self, sent: Sent) -> None:
        ok = False
        try:
            async with asyncio.timeout_at(sent.intended_s + self._sending.timeout_s):
                response = await self.fetch()
            ok = response.status < 400
        except (wire.WireError, TimeoutError):
            pass
        self.tally.ended(sent, asyncio.get_running_loop().time(), ok=ok)

    async def fetch(self) -> wire.Response:
        """One request that nobody counts. Raises WireError."""
        request = wire.Request(self._sending.method, self._sending.url.path, next(self._bodies))
        return await self._pool.fetch(request)

    def close(self) -> None:
        self._pool.close()
