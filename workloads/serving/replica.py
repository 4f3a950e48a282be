"""One replica of the model: `python -m workloads.serving.replica`. Started by a fleet.

It takes a free port of the loopback, prints it as one line of JSON once it can answer, and then:

    POST /rank       {"user": 7, "items": [1, 2]} -> {"items": [...], "scores": [...]}, best first
    GET  /healthz    its plan, its batches, its cache
    PUT  /settings   {"max_batch": 8, "max_wait_ms": 2, "cache_users": 1000}, any of them, at once
"""

import asyncio
import json
import os
import sys

import torch

from workloads.serving import wire
from workloads.serving.batching import Batcher, BatchLimits
from workloads.serving.model import Ask, Ranked, Scorer
from workloads.serving.options import (
    Parser,
    ReplicaOptions,
    UsageError,
    add_replica_options,
    count,
    number,
    replica_options,
)

SETTINGS = {"max_batch": count(1), "max_wait_ms": number(0), "cache_users": count(0)}


class Replica:
    """Answers for one model."""

    def __init__(self, options: ReplicaOptions) -> None:
        self._options = options
        self._scorer = Scorer(options)
        limits = BatchLimits(max_batch=options.max_batch, max_wait_s=options.max_wait_ms / 1e3)
        self.batcher: Batcher[Ask, Ranked] = Batcher(self._scorer.rank, limits)
        self._cache_users = options.cache_users

    async def answer(self, request: wire.Request) -> wire.Response:
        match request.method, request.path:
            case "POST", "/rank":
                return await self._rank(request.body)
            case "GET", "/healthz":
                return wire.as_json(self.health())
            case "PUT", "/settings":
                return self._set(request.body)
        return wire.as_json({"error": f"no {request.method} {request.path} here"}, 404)

    def health(self) -> dict[str, object]:
        cache, batcher = self._scorer.cache, self.batcher
        return {
            "plan_hash": self._options.plan_hash,
            "pid": os.getpid(),
            "max_batch": batcher.limits.max_batch,
            "max_wait_ms": 1e3 * batcher.limits.max_wait_s,
            "cache_users": self._cache_users,
            "requests": batcher.requests,
            "batches": batcher.batches,
            "cache_hits": cache.hits,
            "cache_misses": cache.misses,
            "score_error_pct": self._scorer.score_error_pct,
        }

    async def _rank(self, body: bytes) -> wire.Response:
        try:
            asked = json.loads(body)
            ask = Ask(int(asked["user"]), [int(item) for item in asked["items"]])
        except (ValueError, KeyError, TypeError):
            example = {"user": 7, "items": [1, 2, 3]}
            return wire.as_json({"error": f"send JSON such as {json.dumps(example)}"}, 400)
        problem = self._scorer.problem(ask)
        if problem is not None:
            return wire.as_json({"error": problem}, 400)
        ranked = await self.batcher.submit(ask)
        headers = {"x-plan-hash": self._options.plan_hash} if self._options.plan_hash else {}
        return wire.as_json(ranked._asdict())._replace(headers=headers)

    def _set(self, body: bytes) -> wire.Response:
        try:
            wanted = json.loads(body)
            found = {name: SETTINGS[name](str(value)) for name, value in wanted.items()}
        except KeyError as error:
            return wire.as_json({"error": f"{error} is not one of {', '.join(SETTINGS)}"}, 400)
        except Exception as error:  # of the types of options, and of what is no JSON object
            return wire.as_json({"error": str(error)}, 400)
        limits = self.batcher.limits
        limits.max_batch = int(found.get("max_batch", limits.max_batch))
        limits.max_wait_s = found.get("max_wait_ms", 1e3 * limits.max_wait_s) / 1e3
        self._cache_users = int(found.get("cache_users", self._cache_users))
        self._scorer.cache.resize(self._cache_users)
        return wire.as_json(self.health())


async def run(options: ReplicaOptions) -> None:
    replica = Replica(options)
    server = await wire.serve(replica.answer, "127.0.0.1", 0)
    print(json.dumps({"port": wire.port_of(server)}), flush=True)
    await replica.batcher.work()


def main(words: list[str]) -> None:
    parser = Parser(prog="replica", allow_abbrev=False)
    add_replica_options(parser)
    options = replica_options(parser.parse_args(words))
    torch.set_num_threads(options.threads_per_replica)
    asyncio.run(run(options))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UsageError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
