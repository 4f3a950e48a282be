"""Sends every request to a replica, and to another where that one fails; replicas come and go.

Ranking reads only, so a request whose replica died is asked of another one: none is lost while any
replica is there.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from workloads.serving import wire
from workloads.serving.policy import POLICIES
from workloads.serving.tally import percentile

NO_REPLICA_S = 5.0
"""How long a request waits for a replica where there is none."""
MAX_TRIES = 3
SUSPECT_S = 1.0
"""A replica that failed a request is passed over for so long, where there are others."""
_KEPT = 4096


@dataclass(slots=True)
class Backend:
    """A replica as the router sees it."""

    id: str
    pool: wire.Pool
    plan_hash: str | None = None
    outstanding: int = 0
    answered: int = 0
    failed: int = 0
    is_draining: bool = False
    suspect_until_s: float = 0.0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self) -> None:
        self.outstanding += 1
        self.idle.clear()

    def end(self) -> None:
        self.outstanding -= 1
        if self.outstanding == 0:
            self.idle.set()


class Latest:
    """What requests with one plan took."""

    def __init__(self) -> None:
        self._since_s = time.monotonic()
        self._ended: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._requests = self._errors = 0

    def note(self, now_s: float, latency_s: float, *, ok: bool) -> None:
        self._requests += 1
        self._errors += not ok
        self._ended.append((now_s, latency_s))

    def figures(self, now_s: float) -> dict[str, float]:
        """Counts since the first request; rate and latencies of the last 4096."""
        found: dict[str, float] = {
            "requests": self._requests,
            "errors": self._errors,
            "elapsed_s": now_s - self._since_s,
        }
        if self._ended:
            latencies = [latency for _, latency in self._ended]
            full = len(self._ended) == _KEPT
            since_s = self._ended[0][0] if full else self._since_s
            found["requests_per_s"] = len(latencies) / max(now_s - since_s, 1e-3)
            found["p50_latency_ms"] = 1e3 * percentile(latencies, 0.5)
            found["p99_latency_ms"] = 1e3 * percentile(latencies, 0.99)
            found["error_pct"] = 100 * self._errors / self._requests
        return found


class Router:
    """The replicas, and whose turn it is."""

    def __init__(self, routing: str) -> None:
        self.backends: dict[str, Backend] = {}
        self.plans: dict[str | None, Latest] = {}
        self._has_active = asyncio.Event()
        self.set_routing(routing)

    def set_routing(self, routing: str) -> None:
        self.routing = routing
        self._policy = POLICIES[routing]()

    # Replicas

    def add(self, backend: Backend) -> None:
        """From now on it gets requests. Raises ValueError where there is one of that name."""
        if backend.id in self.backends:
            raise ValueError(f"there is a replica {backend.id!r} already")
        backend.idle.set()
        self.backends[backend.id] = backend
        self._look()

    def drain(self, backend_id: str) -> Backend:
        """From now on it gets no new request. Raises KeyError."""
        backend = self.backends[backend_id]
        backend.is_draining = True
        self._look()
        return backend

    async def remove(self, backend_id: str, within_s: float) -> bool:
        """Drains a replica and takes it out once it has answered everything; whether it had in
        time. Raises KeyError."""
        backend = self.drain(backend_id)
        try:
            await asyncio.wait_for(backend.idle.wait(), within_s)
        except TimeoutError:
            return False
        finally:
            self.forget(backend_id)
        return True

    def forget(self, backend_id: str) -> None:
        """Takes a replica out at once: it is gone."""
        backend = self.backends.pop(backend_id, None)
        if backend is not None:
            backend.pool.close()
        self._look()

    def _look(self) -> None:
        if any(not backend.is_draining for backend in self.backends.values()):
            self._has_active.set()
        else:
            self._has_active.clear()

    # Requests

    async def answer(self, request: wire.Request) -> wire.Response:
        """The response of a replica; 502 where several failed, 503 where none is there."""
        began_s = time.monotonic()
        tried: set[str] = set()
        backend = None
        for _ in range(MAX_TRIES):
            backend = await self._choose(tried)
            if backend is None:
                break
            response = await self._forward(backend, request)
            if response is not None:
                self._note(backend, began_s, ok=response.status < 500)
                return response
            tried.add(backend.id)
        self._note(backend, began_s, ok=False)
        if backend is None and not tried:
            return wire.as_json({"error": "no replica is there"}, 503)
        return wire.as_json({"error": f"replicas failed: {', '.join(sorted(tried))}"}, 502)

    async def _forward(self, backend: Backend, request: wire.Request) -> wire.Response | None:
        backend.begin()
        try:
            found = await backend.pool.fetch(request)
        except wire.WireError:
            backend.failed += 1
            backend.suspect_until_s = time.monotonic() + SUSPECT_S
            return None
        finally:
            backend.end()
        backend.answered += 1
        plan = found.headers.get("x-plan-hash")
        headers = {"x-replica": backend.id, **({"x-plan-hash": plan} if plan else {})}
        return found._replace(headers=headers)

    async def _choose(self, tried: set[str]) -> Backend | None:
        try:
            await asyncio.wait_for(self._has_active.wait(), NO_REPLICA_S)
        except TimeoutError:
            return None
        active = [b for b in self.backends.values() if not b.is_draining and b.id not in tried]
        now_s = time.monotonic()
        choice = [b for b in active if b.suspect_until_s <= now_s] or active
        if not choice:
            return None
        return choice[self._policy.pick([backend.outstanding for backend in choice])]

    def _note(self, backend: Backend | None, began_s: float, *, ok: bool) -> None:
        now_s = time.monotonic()
        plan = backend.plan_hash if backend is not None else None
        self.plans.setdefault(plan, Latest()).note(now_s, now_s - began_s, ok=ok)


def described(backends: Iterable[Backend]) -> list[dict[str, object]]:
    return [
        {
            "id": backend.id,
            "url": f"http://{backend.pool.url.host}:{backend.pool.url.port}",
            "plan_hash": backend.plan_hash,
            "state": "draining" if backend.is_draining else "active",
            "outstanding": backend.outstanding,
            "answered": backend.answered,
            "failed": backend.failed,
        }
        for backend in backends
    ]
