"""What a gang takes of the computer: memory, CPU time, and what others took meanwhile."""

import os
import resource
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tuner.executors import cgroup
from tuner.executors.processes import Process
from tuner.executors.surroundings import Surroundings

GIB = 2**30
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_SHORTEST_S = 0.2
"""Shares over less than this say nothing: the kernel counts in ticks of 10 ms."""


_BLOCK_BYTES = 512


class Resident(NamedTuple):
    """The bytes of a process that are in memory."""

    session: int
    anonymous: int
    mapped_files: int
    shared_memory: int


def resident(process: Process) -> Resident | None:
    """None where the process has gone."""
    try:
        with open(f"/proc/{process.pid}/status", "rb") as file:
            return parse_status(process.session, file.read())
    except OSError:
        return None


def parse_status(session: int, status: bytes) -> Resident:
    kib = {b"RssAnon": 0, b"RssFile": 0, b"RssShmem": 0}
    for line in status.splitlines():
        name, _, rest = line.partition(b":")
        if name in kib:
            kib[name] = int(rest.split()[0])
    return Resident(session, *(1024 * value for value in kib.values()))


class Traffic(NamedTuple):
    """Bytes that went to and from disks for a process and for the children it has waited for.

    What the page cache gave without a disk is not read; what it may still hold is written.
    """

    read: int
    written: int


def traffic(process: Process) -> Traffic | None:
    """None where the process has gone. Raises PermissionError."""
    try:
        with open(f"/proc/{process.pid}/io", "rb") as file:
            return parse_traffic(file.read())
    except PermissionError:
        raise
    except OSError:
        return None


def parse_traffic(text: bytes) -> Traffic:
    values = dict(line.split(b": ") for line in text.splitlines())
    return Traffic(int(values[b"read_bytes"]), int(values[b"write_bytes"]))


def gang_memory(readings: Sequence[Resident]) -> int:
    """Bytes that a gang holds, without counting what is shared again and again.

    Own pages add up. Shared memory counts once per session, which is once per rank: a loader's
    workers map the same batches as their rank. Mapped files (the libraries) count once in all.
    Pages that a fork still shares with its parent are counted twice: an upper bound.
    """
    shared: dict[int, int] = {}
    for reading in readings:
        shared[reading.session] = max(shared.get(reading.session, 0), reading.shared_memory)
    own = sum(reading.anonymous for reading in readings)
    return own + sum(shared.values()) + max((r.mapped_files for r in readings), default=0)


class GangMeter:
    """Usage of the descendants of this process, from its making until it is asked.

    `cores` are those that the gang holds: others disturb it only there."""

    def __init__(self, cores: Collection[int]) -> None:
        self._cores = frozenset(cores)
        self._started_s = time.monotonic()
        self._busy_started_s = busy_s(self._cores)
        self._own_started_s = time.process_time()
        self._sampled_s = self._started_s
        self._cpu_s = 0.0
        self._other_cpu_s = 0.0
        self._traffic: Traffic | None = Traffic(0, 0)
        self._surroundings = Surroundings(self._cores)
        self._peak_bytes = 0
        self.memory_gib = 0.0
        """At the last sample."""

    def sample(self, members: Iterable[Process]) -> None:
        members = list(members)
        readings = [reading for m in members if (reading := resident(m)) is not None]
        held = gang_memory(readings)
        self.memory_gib = held / GIB
        self._peak_bytes = max(self._peak_bytes, held)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        living_s = _TICK_S * sum(member.cpu_ticks for member in members)
        # A process that ended without being waited for takes its time with it: never go back.
        self._cpu_s = max(self._cpu_s, ended.ru_utime + ended.ru_stime + living_s)
        own_s = time.process_time() - self._own_started_s
        other_s = busy_s(self._cores) - self._busy_started_s - self._cpu_s - own_s
        # It may go back: time of the gang that one sample misses is found by the next.
        self._other_cpu_s = max(0.0, other_s)
        self._traffic = self._traffic_now(members, ended)
        self._surroundings.look()
        self._sampled_s = time.monotonic()

    def _traffic_now(
        self, members: Iterable[Process], ended: resource.struct_rusage
    ) -> Traffic | None:
        """Of the living and of those that were waited for; None once it cannot be known."""
        if self._traffic is None:
            return None
        try:
            living = [found for member in members if (found := traffic(member)) is not None]
        except (OSError, KeyError, ValueError):
            return None
        read = _BLOCK_BYTES * ended.ru_inblock + sum(each.read for each in living)
        written = _BLOCK_BYTES * ended.ru_oublock + sum(each.written for each in living)
        return Traffic(max(self._traffic.read, read), max(self._traffic.written, written))

    def _sums(self) -> dict[str, float]:
        found = {"cpu_s": round(self._cpu_s, 3)}
        if self._traffic is not None:
            found["io_read_bytes"], found["io_written_bytes"] = self._traffic
        return found

    def reading(self) -> dict[str, float]:
        """Sums since the beginning and levels, both at the last sample."""
        found = self._sums() | self._surroundings.sums | self._surroundings.levels
        found["other_cpu_s"] = round(self._other_cpu_s, 3)
        if self.memory_gib:
            found["memory_gib"] = round(self.memory_gib, 4)
        return found

    def usage(self) -> dict[str, float]:
        """Metric -> value; what is not known yet is absent."""
        found = self._sums() | self._surroundings.over_run()
        if self._peak_bytes:
            found["peak_memory_gib"] = round(self._peak_bytes / GIB, 4)
        elapsed_s = self._sampled_s - self._started_s
        if elapsed_s < _SHORTEST_S:
            return found
        all_s = elapsed_s * len(self._cores)
        found["other_cpu_pct"] = round(min(100 * self._other_cpu_s / all_s, 100.0), 2)
        found["cpu_utilization_pct"] = round(100 * self._cpu_s / all_s, 2)
        return found


def busy_s(cores: Collection[int]) -> float:
    """CPU seconds of these cores since boot, those that a hypervisor stole included.

    Without those of interrupts: no process has them in its account, so that what a gang sends to
    itself would look like another's load.
    """
    with open("/proc/stat", "rb") as file:
        return parse_busy_s(file.read(), cores)


def parse_busy_s(stat: bytes, cores: Collection[int]) -> float:
    names = {b"cpu%d" % core for core in cores}
    return sum(_busy_s(line) for line in stat.splitlines() if line.split(None, 1)[0] in names)


def _busy_s(line: bytes) -> float:
    user, nice, system, _idle, _iowait, _irq, _softirq, steal = map(int, line.split()[1:9])
    return _TICK_S * (user + nice + system + steal)


def oom_kills() -> int:
    """Kills so far by the kernel for want of memory: in this cgroup, or else on the computer."""
    group = cgroup.own_place("memory")
    counted = [group.file("memory.oom_control", "memory.events")] if group else []
    for path in (*counted, Path("/proc/vmstat")):
        try:
            kills = cgroup.parse_oom_kills(path.read_text(encoding="utf-8"))
        except OSError:
            continue
        if kills is not None:
            return kills
    return 0
