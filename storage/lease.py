"""The controller's lease: who holds it, and when another may take it.

Time is the host's monotonic clock as long as the computer has not been restarted, so setting the
wall clock back or forward neither prolongs a lease nor ends one. The monotonic clock starts anew
at a restart, which the boot id tells; then the wall clock counts, and one that has gone back means
the lease is over: its holder ended with the restart.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tuner.model import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A point in time by every clock of this host."""

    at: datetime
    boot_id: str
    monotonic_s: float


HostClock = Callable[[], Moment]


def host_now() -> Moment:
    """The present moment of this host."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return Moment(at=datetime.now(UTC), boot_id=boot_id, monotonic_s=time.monotonic())


def elapsed_s(since: Moment, now: Moment) -> float:
    """Seconds from `since` to `now`; infinite where a restart came between and nothing is known."""
    if since.boot_id == now.boot_id:
        return now.monotonic_s - since.monotonic_s
    wall_s = (now.at - since.at).total_seconds()
    return wall_s if wall_s >= 0 else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """The lease as a store keeps it. It stays when nobody holds it, so that epochs only rise."""

    holder: str | None = None
    epoch: int = 0
    ttl_s: float = 0.0
    renewed: Moment

    def in_force(self, now: Moment) -> Lease | None:
        """The lease, None where nobody holds it or it has run out."""
        if self.holder is None or elapsed_s(self.renewed, now) >= self.ttl_s:
            return None
        return self.held()

    def held(self) -> Lease | None:
        """The lease, None where nobody holds it; it may have run out."""
        if self.holder is None:
            return None
        return Lease(
            holder=self.holder, epoch=self.epoch, renewed_at=self.renewed.at, ttl_s=self.ttl_s
        )

    def acquired(self, holder: str, ttl_s: float, now: Moment) -> "LeaseRecord | None":
        """The record once `holder` has renewed or taken it; None where another holds it."""
        if holder != self.holder and self.in_force(now) is not None:
            return None
        epoch = self.epoch if holder == self.holder else self.epoch + 1
        return LeaseRecord(holder=holder, epoch=epoch, ttl_s=ttl_s, renewed=now)

    def released(self) -> "LeaseRecord":
        return replace(self, holder=None)

    def refusal(self, epoch: int) -> str:
        """Why a fact of `epoch` cannot be written."""
        present = f"held by {self.holder}" if self.holder else "held by nobody"
        return (
            f"the lease of epoch {epoch} is lost (now epoch {self.epoch}, {present}); "
            "this controller must stop writing"
        )
