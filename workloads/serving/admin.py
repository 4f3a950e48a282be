"""The fleet's interface for whoever runs it; only ever on the loopback.

GET    /fleet                 plan in force and wanted, replicas, state, why a plan was taken back
GET    /figures               over all replicas: mean batch, cache hits, error of scores, how many
GET    /plans/HASH            what the router saw of requests with a plan
PUT    /plan                  {"plan_hash": "...", "params": {...}, "probation_s": 60}
PUT    /settings              {"replicas": 2, "max_batch": 16, "max_wait_ms": 2, "cache_users": 0}
POST   /replicas              {"id": "...", "url": "http://...", "plan_hash": "..."}: another server
POST   /replicas/ID/drain     it gets no new request
DELETE /replicas/ID           drained, then ended; another is started where one is wanted
"""

import json
import time
from collections.abc import Mapping

from workloads.serving import wire
from workloads.serving.members import Fleet
from workloads.serving.options import UsageError
from workloads.serving.router import Backend


class Admin:
    """Answers about one fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def answer(self, request: wire.Request) -> wire.Response:
        try:
            parts = request.path.strip("/").split("/")
            if parts[0] == "replicas":
                return await self._replicas(request, parts[1:])
            return await self._answer(request, parts)
        except (UsageError, ValueError, TypeError) as error:
            return wire.as_json({"error": str(error)}, 400)
        except KeyError as error:
            return wire.as_json({"error": f"{error.args[0]} is not there"}, 404)

    async def _answer(self, request: wire.Request, parts: list[str]) -> wire.Response:
        match request.method, parts:
            case "GET", ["fleet"]:
                return wire.as_json(self._fleet.state())
            case "GET", ["figures"]:
                return wire.as_json(await self._figures())
            case "GET", ["plans", plan_hash]:
                latest = self._fleet.router.plans[plan_hash]
                return wire.as_json(latest.figures(time.monotonic()))
            case "PUT", ["plan"]:
                return self._take(_object(request.body))
            case "PUT", ["settings"]:
                self._fleet.set_now(_object(request.body))
                await self._fleet.settle()
                return wire.as_json(self._fleet.state())
        return _nothing(request)

    async def _replicas(self, request: wire.Request, parts: list[str]) -> wire.Response:
        match request.method, parts:
            case "POST", []:
                await self._add(_object(request.body))
            case "POST", [name, "drain"]:
                self._fleet.router.drain(name)
            case "DELETE", [name]:
                await self._fleet.retire(name)
            case _:
                return _nothing(request)
        return wire.as_json(self._fleet.state())

    def _take(self, plan: Mapping[str, object]) -> wire.Response:
        plan_hash, params, within_s = plan["plan_hash"], plan.get("params"), plan.get("probation_s")
        if not isinstance(plan_hash, str) or not plan_hash:
            raise UsageError(f"plan_hash must be a text, not {plan_hash!r}")
        if params is not None and not isinstance(params, dict):
            raise UsageError(f"params must be an object, not {params!r}")
        if within_s is not None and not (isinstance(within_s, int | float) and within_s > 0):
            raise UsageError(f"probation_s must be above 0, or null, not {within_s!r}")
        self._fleet.take(plan_hash, params, within_s)
        return wire.as_json(self._fleet.state(), 202)

    async def _add(self, told: Mapping[str, object]) -> None:
        url, plan_hash = wire.Url.parse(str(told["url"])), told.get("plan_hash")
        pool = wire.Pool(url)
        try:
            await pool.fetch(wire.Request("GET", "/healthz", b""))
        except wire.WireError as error:
            raise UsageError(f"url {told['url']!r} does not answer: {error}") from error
        plan = str(plan_hash) if plan_hash is not None else None
        self._fleet.router.add(Backend(str(told["id"]), pool, plan_hash=plan))

    async def _figures(self) -> dict[str, float]:
        """Over all replicas."""
        router = self._fleet.router
        sums: dict[str, float] = {}
        error_pct = 0.0
        for backend in list(router.backends.values()):
            try:
                answer = await backend.pool.fetch(wire.Request("GET", "/healthz", b""))
                health = _object(answer.body)
            except (wire.WireError, ValueError):
                continue
            for name in ("requests", "batches", "cache_hits", "cache_misses"):
                sums[name] = sums.get(name, 0.0) + _number(health.get(name))
            error_pct = max(error_pct, _number(health.get("score_error_pct")))
        asked = sums.get("cache_hits", 0.0) + sums.get("cache_misses", 0.0)
        figures = {"score_error_pct": error_pct, "num_replicas": float(len(router.backends))}
        if sums.get("batches"):
            figures["mean_batch"] = sums["requests"] / sums["batches"]
        if asked:
            figures["cache_hit_pct"] = 100 * sums["cache_hits"] / asked
        return figures


def _nothing(request: wire.Request) -> wire.Response:
    return wire.as_json({"error": f"no {request.method} {request.path} here"}, 404)


def _object(body: bytes) -> dict[str, object]:
    value = json.loads(body)
    if not isinstance(value, dict):
        raise UsageError(f"send a JSON object, not {value!r}")
    return value


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
