"""Leading: who may control, and the turns of whoever does."""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tuner.applying import Rollout
from tuner.controller import Controller
from tuner.errors import StaleLease, TrimtabError
from tuner.interfaces import Clock, Store
from tuner.model import Lease

log = logging.getLogger(__name__)

LEASE_TTL_S = 15.0
STEP_S = 0.25
MAX_ERRORS = 20
"""Steps of a job that may fail in a row (a full disk, a locked store) before it is given up."""
MAX_SURPRISES = 3
"""The same for errors that nobody foresaw."""


class SystemClock:
    """The real time; sleeping ends early when the process is asked to stop."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)


class Loop:
    """Takes the lease and steps every active job, and every application, until told to stop."""

    def __init__(
        self,
        store: Store,
        make_controller: Callable[[Clock, int], Controller],
        make_rollout: Callable[[Clock, int], Rollout],
    ) -> None:
        self._store = store
        self._make_controller = make_controller
        self._make_rollout = make_rollout
        place = f"{socket.gethostname()}/{_boot_id()}"
        self.holder = f"{place}/{os.getpid()}/{_start_ticks(os.getpid())}/{secrets.token_hex(4)}"

    def run(self, stop: threading.Event, until_finished: Sequence[str]) -> bool:
        """False where another process holds the lease, or took it."""
        held = self._store.lease()
        if held is not None and is_dead(held.holder):
            self._store.release_lease(held.holder)  # nothing happens if another was quicker
        lease = self._store.acquire_lease(self.holder, LEASE_TTL_S)
        if lease is None:
            return False
        try:
            self._lead(lease, stop, until_finished)
        except StaleLease:
            log.warning("another controller took over")
            return False
        finally:
            self._store.release_lease(self.holder)
        return True

    def _lead(self, lease: Lease, stop: threading.Event, until_finished: Sequence[str]) -> None:
        clock = SystemClock(stop)
        turns = _Turns(
            self._store,
            self._make_controller(clock, lease.epoch),
            self._make_rollout(clock, lease.epoch),
        )
        renewed_s = time.monotonic()
        while not stop.is_set():
            if time.monotonic() - renewed_s > LEASE_TTL_S / 4:
                renewed = self._store.acquire_lease(self.holder, LEASE_TTL_S)
                if renewed is None or renewed.epoch != lease.epoch:
                    raise StaleLease("the lease was lost")
                renewed_s = time.monotonic()
            turns.step(until_finished)
            if until_finished and self._is_settled(until_finished):
                return
            clock.sleep(STEP_S)

    def _is_settled(self, job_ids: Sequence[str]) -> bool:
        finished = all(self._store.job(job_id).state.is_finished for job_id in job_ids)
        open_ones = [a for a in self._store.applications() if not a.is_settled]
        return finished and not open_ones


def is_dead(holder: str) -> bool:
    """Whether a holder was a process of this host that is gone (boot, pid and start time)."""
    host, boot_id, pid, start_ticks, _ = holder.split("/")
    if host != socket.gethostname():
        return False
    return boot_id != _boot_id() or start_ticks != _start_ticks(int(pid))


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _start_ticks(pid: int) -> str | None:
    """When a process started, by a clock that nobody sets; None where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


class _Turns:
    """One turn over every active job; a job whose steps keep failing is given up, alone."""

    def __init__(self, store: Store, controller: Controller, rollout: Rollout) -> None:
        self._store = store
        self._controller = controller
        self._rollout = rollout
        self._errors: dict[str, int] = {}

    def step(self, only: Sequence[str] = ()) -> None:
        """Whoever waits for certain jobs leaves the others to a controller that stays."""
        for job in self._store.jobs():
            if not job.state.is_finished and (not only or job.id in only):
                self._guarded(job.id, partial(self._controller.step, job.id))
        self._guarded("rollout", self._rollout.step)

    def _guarded(self, name: str, step: Callable[[], None]) -> None:
        try:
            step()
            self._errors.pop(name, None)
        except StaleLease:
            raise
        except Exception as error:
            self._errors[name] = self._errors.get(name, 0) + 1
            log.exception("step of %s failed (%d in a row)", name, self._errors[name])
            limit = MAX_ERRORS if isinstance(error, TrimtabError) else MAX_SURPRISES
            if self._errors[name] >= limit and name != "rollout":
                self._controller.give_up(name, f"{type(error).__name__}: {error}")
