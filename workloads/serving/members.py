"""The replicas of a fleet, as processes behind a router.

One loop brings the fleet to what is wanted: it starts what is missing, replaces a replica that
died, and where a plan asks for others replaces them one by one, a new one being ready before an old
one is drained, and an old one ended when it has answered everything. A plan can be on probation:
the fleet takes it back by itself when nobody renews it in time, and when its replicas do not start.
"""

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from workloads.serving import wire
from workloads.serving.child import end_with_parent
from workloads.serving.options import FleetOptions, ReplicaOptions, UsageError, changed
from workloads.serving.router import Backend, Router, described

READY_S = 240.0
"""Longest start of a replica; compiling a model for the first time takes its time."""
DRAIN_S = 30.0
END_S = 5.0
TURN_S = 0.1
AGAIN_S = 2.0
"""After a replica did not start, before the next try."""


class ReplicaError(Exception):
    """A replica did not start."""


@dataclass(slots=True)
class Member:
    """A replica's process."""

    process: asyncio.subprocess.Process
    options: ReplicaOptions


class Fleet:
    """Replicas as processes, and the plan that they are brought to."""

    def __init__(self, options: FleetOptions) -> None:
        self.router = Router(options.routing)
        self.failure: str | None = None
        self.is_steady = False
        self._wanted = options
        self._confirmed = options
        """What was wanted for good, last: where a plan on probation leads back to."""
        self._known = {options.replica.plan_hash: options}
        self._settings: dict[str, object] = {}
        self._deadline_s: float | None = None
        self._members: dict[str, Member] = {}
        self._numbers = itertools.count()

    # What is wanted

    def take(
        self, plan_hash: str, params: Mapping[str, object] | None, within_s: float | None
    ) -> None:
        """Wants a plan from now on, or goes on wanting it; returns at once. Without `params` it
        must be one that was here before. `within_s`: it is taken back when this is not called again
        in time; None: it is for good. Raises UsageError.
        """
        if plan_hash != self._wanted.replica.plan_hash:
            if params is None and plan_hash not in self._known:
                raise UsageError(f"plan {plan_hash} was never here: send its params")
            known = self._known.get(plan_hash)
            wanted = changed(self._confirmed, params, plan_hash) if params is not None else known
            assert wanted is not None
            self._want(wanted)
            self.failure = None
        self._deadline_s = None if within_s is None else time.monotonic() + within_s
        self._confirm()

    def set_now(self, settings: Mapping[str, object]) -> None:
        """Takes settings over that need no new plan: `replicas`, and those of a replica's `PUT
        /settings`. A plan that comes later has its own. Raises UsageError."""
        told = dict(settings)
        replicas = told.pop("replicas", None)
        if replicas is not None:
            if type(replicas) is not int or replicas < 1:
                raise UsageError(
                    f"replicas must be a whole number from 1 upwards, not {replicas!r}"
                )
            self._wanted = replace(self._wanted, replicas=replicas)
            self.is_steady = False
        self._settings |= told

    def _want(self, wanted: FleetOptions) -> None:
        self._wanted, self._settings, self.is_steady = wanted, {}, False
        self._known[wanted.replica.plan_hash] = wanted
        self.router.set_routing(wanted.routing)

    def _confirm(self) -> None:
        if self.is_steady and self._deadline_s is None:
            self._confirmed = self._wanted

    def _take_back(self, why: str) -> None:
        self._deadline_s = None
        if self._wanted == self._confirmed:
            return
        self.failure = f"plan {self._wanted.replica.plan_hash} was taken back: {why}"
        print(self.failure, file=sys.stderr, flush=True)
        self._want(self._confirmed)

    def state(self) -> dict[str, object]:
        """`plan_hash` is what every replica was started with; None while they differ."""
        rows = described(self.router.backends.values())
        for row in rows:
            member = self._members.get(str(row["id"]))
            row["pid"] = member.process.pid if member is not None else None
        hashes = [row["plan_hash"] for row in rows]
        left_s = None if self._deadline_s is None else self._deadline_s - time.monotonic()
        return {
            "plan_hash": hashes[0] if hashes and len(set(hashes)) == 1 else None,
            "wanted_plan_hash": self._wanted.replica.plan_hash,
            "state": "steady" if self.is_steady else "rolling",
            "failure": self.failure,
            "probation_left_s": left_s,
            "routing": self.router.routing,
            "replicas": rows,
        }

    # How it gets there

    async def run(self) -> None:
        """Brings the fleet to what is wanted, for ever. Raises ReplicaError where none is there and
        none starts."""
        while True:
            self._bury()
            is_over = self._deadline_s is not None and time.monotonic() > self._deadline_s
            if is_over:
                self._take_back("nobody renewed it in time")
            try:
                await self._approach()
            except ReplicaError as error:
                if not self._members:
                    raise
                await self._despite(error)
            if self.is_steady:
                self._confirm()
                await asyncio.sleep(TURN_S)

    async def _approach(self) -> None:
        """One step towards what is wanted; steady where there is none to take."""
        wanted = self._wanted
        right = [n for n, m in self._members.items() if m.options == wanted.replica]
        others = [name for name in self._members if name not in right]
        missing = wanted.replicas - len(right)
        self.is_steady = not missing and not others
        if missing > 0:
            # With nobody to replace there is nothing to be careful with.
            count = 1 if others else missing
            await asyncio.gather(*(self._launch(wanted.replica) for _ in range(count)))
        surplus = others or right[wanted.replicas :]
        if surplus and len(self._members) > wanted.replicas:
            await self.retire(surplus[0])

    async def _despite(self, error: ReplicaError) -> None:
        if self._wanted != self._confirmed:
            self._take_back(str(error))
            return
        self.failure = str(error)
        print(self.failure, file=sys.stderr, flush=True)
        await asyncio.sleep(AGAIN_S)

    def _bury(self) -> None:
        for name, member in list(self._members.items()):
            code = member.process.returncode
            if code is not None:
                del self._members[name]
                self.router.forget(name)
                print(f"{name} ended by itself with {code}", file=sys.stderr, flush=True)

    async def _launch(self, options: ReplicaOptions) -> None:
        """Starts a replica and lets it answer once it can. Raises ReplicaError."""
        words = ["-m", "workloads.serving.replica", *options.words()]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            preexec_fn=partial(end_with_parent, os.getpid()),
        )
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), READY_S)
            port = int(json.loads(line)["port"])
        except (TimeoutError, ValueError) as error:
            await _end(process, 0)
            why = f"a replica did not start (exit code {process.returncode})"
            raise ReplicaError(why) from error
        except BaseException:
            await _end(process, 0)
            raise
        name = f"replica-{next(self._numbers)}"
        self._members[name] = Member(process, options)
        pool = wire.Pool(wire.Url("127.0.0.1", port, "/", tls=False))
        await self._settle(pool)
        self.router.add(Backend(name, pool, plan_hash=options.plan_hash))

    async def retire(self, name: str) -> None:
        """Ends a replica once it has answered everything; another takes its place where one is
        wanted. Raises KeyError."""
        self.router.drain(name)
        await self.router.remove(name, DRAIN_S)
        member = self._members.pop(name, None)
        if member is not None:
            await _end(member.process, END_S)

    async def settle(self) -> None:
        """Sends the settings of the moment to every replica. Raises UsageError."""
        for backend in list(self.router.backends.values()):
            await self._settle(backend.pool)

    async def _settle(self, pool: wire.Pool) -> None:
        if not self._settings:
            return
        request = wire.Request("PUT", "/settings", json.dumps(self._settings).encode())
        with suppress(wire.WireError):  # it has gone, and another gets them when it starts
            answer = await pool.fetch(request)
            if answer.status != 200:
                self._settings.clear()
                raise UsageError(answer.body.decode(errors="replace"))

    async def close(self) -> None:
        """Ends every replica, busy or not."""
        await asyncio.gather(*(_end(m.process, END_S) for m in self._members.values()))


async def _end(process: asyncio.subprocess.Process, within_s: float) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), within_s)
        return
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
