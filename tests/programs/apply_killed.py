"""Applies and rolls back plans with controllers that are killed at every point there is.

    python tests/programs/apply_killed.py KIND FOLDER [STRIDE]

A controller is a forked process that ends itself with SIGKILL before or after its n-th write to the
store or act on the target, n rising (by STRIDE) until one is not met any more; the next one goes
on. Prints one JSON object: the number of points met, and what the target showed after each.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from storage.sql import SqlStore
from tests.unit.builders import job
from tests.unit.plans import a_plan
from tuner.application import Application, ApplicationState, ApplicationWish, Sighting
from tuner.applying import Rollout, Surroundings
from tuner.interfaces import Fact, Target
from tuner.loop import SystemClock
from tuner.model import LaunchCommand, Placement, Plan
from tuner.policy import new_application
from tuner.targets import open_target

PROGRAM = Path(__file__).with_name("resumable.py")
DEADLINE_S = 40.0


class Deadly:
    """Kills its own process at the n-th point."""

    def __init__(self, at: int | None) -> None:
        self.at, self.met = at, 0

    def point(self) -> None:
        if self.met == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.met += 1


class DeadlyStore(SqlStore):
    deadly: Deadly

    def save(self, *facts: Fact, epoch: int | None = None) -> None:
        self.deadly.point()
        super().save(*facts, epoch=epoch)
        self.deadly.point()


class DeadlyTarget:
    """The target, with points around what changes it for the first time in a state."""

    def __init__(self, target: Target, deadly: Deadly) -> None:
        self._target, self._deadly = target, deadly
        self._done: set[object] = set()

    def current(self) -> str | None:
        return self._target.current()

    def observe(self) -> Sighting:
        return self._target.observe()

    def apply(self, plan: Plan, canary_s: float | None) -> None:
        self._once((plan.hash, canary_s), lambda: self._target.apply(plan, canary_s))

    def restore(self, plan_hash: str | None) -> None:
        self._once(("back", plan_hash), lambda: self._target.restore(plan_hash))

    def _once(self, deed: object, act: Callable[[], None]) -> None:
        if deed in self._done:
            return act()
        self._done.add(deed)
        self._deadly.point()
        act()
        return self._deadly.point()


def a_plan_of(size: int) -> Plan:
    command = LaunchCommand(
        argv=(sys.executable, str(PROGRAM), str(size)),
        env={"PYTHONPATH": str(PROGRAM.parents[2])},
        working_dir=str(PROGRAM.parent),
        nnodes=1,
        nproc_per_node=1,
        per_rank=True,
    )
    placement = Placement(cores=((0,),), gpus=((),))
    made = replace(a_plan(batch=size), command=command, placement=placement)
    return replace(made, created_at=datetime.now(UTC), baseline_metrics={}, metrics={})


OLD, NEW = a_plan_of(256), a_plan_of(1024)


def control(folder: Path, kind: str, at: int | None) -> None:
    """A controller until everything has settled."""
    store = DeadlyStore(folder / "trimtab.db")
    store.deadly = Deadly(at)
    while (lease := store.acquire_lease(f"pid {os.getpid()}", 0.05)) is None:
        time.sleep(0.02)
    target = open_target(store.jobs()[0].spec)
    around = Surroundings(
        open_target=lambda _: DeadlyTarget(target, store.deadly),
        baseline_plan=lambda _: OLD,
        changes=lambda _: (),
        is_halted=lambda: False,
    )
    rollout = Rollout(store, SystemClock(), around, epoch=lease.epoch)
    deadline_s = time.monotonic() + DEADLINE_S
    while not all(a.is_settled for a in store.applications()):
        if time.monotonic() > deadline_s:
            raise SystemExit(f"never settled: {store.applications()[-1]}")
        rollout.step()
        time.sleep(0.0 if kind == "file" else 0.05)
    store.close()


def forked(folder: Path, kind: str, at: int | None) -> bool:
    """Whether the controller met its point and was killed there."""
    pid = os.fork()
    if pid == 0:
        control(folder, kind, at)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("a controller failed")
    return os.WIFSIGNALED(status)


def last(folder: Path) -> Application:
    store = SqlStore(folder / "trimtab.db")
    try:
        return store.applications()[-1]
    finally:
        store.close()


def main(kind: str, name: str, stride: str = "1") -> None:
    folder = Path(name)
    path = folder / "target" / ("plan.json" if kind == "file" else "")
    described = {"kind": kind, "path": str(path)}
    owner = job(
        workload={"command": ["run"], "launch": "per_rank"},
        space={"params": {"global_batch_size": {"options": [256, 1024]}}},
        apply={"mode": "recommend", "target": described, "canary": {"min_steps": 5, "lease_s": 60}},
    )
    store = SqlStore(folder / "trimtab.db")
    store.save(owner, NEW)
    target = open_target(owner.spec)
    (folder / "target").mkdir()
    target.apply(OLD, None)
    until(lambda: target.current() == OLD.hash)
    shown: list[list[str]] = []
    met, at, kills = True, 0, 0
    while met:
        asked = new_application(
            owner, NEW, actor="ann", now=datetime.now(UTC), id_suffix=f"{at:03d}"
        )
        store.save(asked)
        met = forked(folder, kind, at)
        kills += met
        forked(folder, kind, None)
        there = [last(folder).state, str(target.current() == NEW.hash)]
        # Rolled back with the same number of points, so that those of the way back are met too.
        if last(folder).state in (ApplicationState.CANARY, ApplicationState.LIVE):
            store.ask(asked.id, ApplicationWish.ROLL_BACK)
        back = forked(folder, kind, at)
        kills += back
        met = met or back
        forked(folder, kind, None)
        shown.append([*there, last(folder).state, str(target.current() == OLD.hash)])
        at += int(stride)
    store.close()
    target.restore(None)
    print(json.dumps({"points": at - int(stride), "kills": kills, "shown": shown}))


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise SystemExit("it never came")
        time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
