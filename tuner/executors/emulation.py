"""Nodes of other speeds on this computer: CPU quotas in control groups, and a shaped network.

A node that is to have half of its cores' time gets a control group with that quota. Where links
are to be slow, the whole gang gets a network of its own whose loopback is shaped, so that nothing
else on the computer is slowed down; it then reaches nothing else either. Both need root.
"""

import ctypes
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tuner import nodes
from tuner.executors import cgroup
from tuner.gang import Gang

_PERIOD_US = 20_000
"""Short, so that a step sees a slow core and not one that stands still at times."""
_CLONE_NEWNET = 0x40000000
_LIMIT_S = 10.0
_BUCKET = ("burst", "256kb", "latency", "200ms")


class Emulation:
    """What stands between a gang and the whole speed of this computer."""

    def __init__(self, gang: Gang) -> None:
        self._gang = gang
        self._groups: list[Path | None] = []

    def begin(self) -> None:
        """Before the first rank is started. Raises OSError."""
        link = self._gang.command.env.get(nodes.LINK_VARIABLE)
        if link is not None:
            shape_own_network(float(link))
        shares = self._gang.command.env.get(nodes.SHARES_VARIABLE)
        if shares is not None:
            self._make_groups([float(share) for share in shares.split(",")])

    def _make_groups(self, shares: Sequence[float]) -> None:
        place = cgroup.own_place("cpu")
        if place is None:
            raise OSError("a share of a core needs a control group; none with `cpu` is mounted")
        for node, share in enumerate(shares):
            path = place.folder / f"trimtab-{self._gang.launch_key}-{node}"
            quota_us = round(share * len(self._gang.placement.cores[node]) * _PERIOD_US)
            if share >= 1:
                self._groups.append(None)
                continue
            try:
                path.mkdir(exist_ok=True)
                set_quota(path, quota_us, place.version)
            except OSError as error:
                raise OSError(
                    f"a share of {share:g} of a core needs a control group of its own: {error}; "
                    "run as root, or use types of nodes that differ in cores only"
                ) from error
            self._groups.append(path)

    def admit(self, rank: int, pid: int) -> None:
        """Puts a rank that was just started into the group of its node. Raises OSError."""
        node = rank // self._gang.command.nproc_per_node if self._gang.command.per_rank else 0
        group = self._groups[node] if node < len(self._groups) else None
        if group is not None:
            (group / "cgroup.procs").write_text(str(pid), encoding="utf-8")

    def end(self) -> None:
        """Once nothing of the gang is left."""
        for group in self._groups:
            if group is not None:
                with suppress(OSError):
                    group.rmdir()


def set_quota(group: Path, quota_us: int, version: int) -> None:
    """Limits the CPU time of a group. Raises OSError."""
    if version == 1:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US), encoding="utf-8")
        (group / "cpu.cfs_quota_us").write_text(str(quota_us), encoding="utf-8")
    else:
        (group / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}", encoding="utf-8")


def shape_own_network(mbit_per_s: float) -> None:
    """Moves this process into a network of its own with a slow loopback. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"a slow link needs a network of its own: {os.strerror(code)}; be root")
    rate = f"{mbit_per_s * 1000:.0f}kbit"
    for words in (
        ("ip", "link", "set", "lo", "up"),
        (*("tc", "qdisc", "add", "dev", "lo", "root", "tbf"), *("rate", rate), *_BUCKET),
    ):
        done = subprocess.run(words, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
        if done.returncode != 0:
            raise OSError(f"a slow link needs `{' '.join(words)}`: {done.stderr.strip()}")
