"""What surrounds a gang: its control group, and the network, pressure and clock of the computer.

None of it is the gang's alone: a group holds what else was started in it, and the network is the
whole computer's. What the kernel does not tell is absent, never 0.
"""

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from statistics import fmean

from tuner.executors import cgroup
from tuner.tally import Track, is_sum

_MOST_BYTES = 2**18
_MOST_CORES = 4
"""Reading a core's clock may disturb it: some stand for all."""
_CPU = Path("/sys/devices/system/cpu")

Figures = dict[str, float]


class Surroundings:
    """Keeps its files open, so that a look costs little."""

    def __init__(self, cores: Collection[int]) -> None:
        self._sources = list(_sources(cores))
        self._begun = self._figures()
        self._tracks: dict[str, Track] = {}
        self.sums: Figures = {}
        """Since this was made, until the last look."""
        self.levels: Figures = {}
        """At the last look."""

    def look(self) -> None:
        figures = self._figures()
        self.levels = {n: round(v, 4) for n, v in figures.items() if not is_sum(n)}
        self.sums = {
            name: round(max(0.0, value - self._begun[name]), 6)
            for name, value in figures.items()
            if is_sum(name) and name in self._begun
        }
        for name, value in self.levels.items():
            self._tracks.setdefault(name, Track()).add(0.0, value)

    def over_run(self) -> Figures:
        """The sums, the mean clock and the group's largest memory."""
        found = dict(self.sums)
        if clock := self._tracks.get("cpu_clock_mhz"):
            found["cpu_clock_mhz"] = round(clock.total / clock.count, 1)
        if memory := self._tracks.get("cgroup_memory_gib"):
            found["cgroup_peak_memory_gib"] = memory.peak
        return found

    def _figures(self) -> Figures:
        found: Figures = {}
        for descriptors, figures in self._sources:
            try:
                texts = [os.pread(d, _MOST_BYTES, 0).decode() for d in descriptors]
                found |= figures(texts)
            except (OSError, ValueError, IndexError):
                continue
        return found


Source = tuple[list[int], Callable[[list[str]], Figures]]


def _sources(cores: Collection[int]) -> Iterator[Source]:
    cpu, memory, disks = map(cgroup.own_place, ("cpu", "memory", "blkio"))
    yield _opened([folder / "cpu.stat" for folder in cpu.with_parents()] if cpu else []), _throttled
    usage = memory.file("memory.usage_in_bytes", "memory.current") if memory else None
    yield _opened([usage] if usage else []), _group_memory
    names = ("blkio.throttle.io_service_bytes_recursive", "io.stat")
    yield _opened([disks.file(*names)] if disks else []), _group_io
    yield _opened([Path("/proc/net/dev")]), _network
    yield _opened([Path("/proc/pressure/cpu")]), _pressure
    some = sorted(cores)[:: -(-len(cores) // _MOST_CORES)] if cores else []
    yield _opened([_CPU / f"cpu{core}/cpufreq/scaling_cur_freq" for core in some]), _clock


def _opened(paths: list[Path]) -> list[int]:
    found = []
    for path in paths:
        try:
            found.append(os.open(path, os.O_RDONLY))
        except OSError:
            continue
    return found


def _throttled(texts: list[str]) -> Figures:
    known = [found for text in texts if (found := cgroup.parse_throttled_s(text)) is not None]
    return {"cpu_throttled_s": sum(known)} if known else {}


def _group_memory(texts: list[str]) -> Figures:
    return {"cgroup_memory_gib": int(texts[0]) / 2**30} if texts else {}


def _group_io(texts: list[str]) -> Figures:
    found = cgroup.parse_io_bytes(texts[0]) if texts else None
    return (
        dict(zip(("cgroup_io_read_bytes", "cgroup_io_written_bytes"), found, strict=True))
        if found
        else {}
    )


def _network(texts: list[str]) -> Figures:
    return parse_network(texts[0], _is_hardware) if texts else {}


def parse_network(text: str, is_hardware: Callable[[str], bool]) -> Figures:
    """From `/proc/net/dev`. Hardware alone counts where there is any, as bridges and tunnels count
    the same bytes again."""
    found: dict[str, tuple[int, int]] = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        columns = rest.split()
        found[name.strip()] = (int(columns[0]), int(columns[8]))
    figures: Figures = {"loopback_bytes": found.pop("lo")[0]} if "lo" in found else {}
    counted = [name for name in found if is_hardware(name)] or list(found)
    if counted:
        figures["network_received_bytes"] = sum(found[name][0] for name in counted)
        figures["network_sent_bytes"] = sum(found[name][1] for name in counted)
    return figures


def _is_hardware(name: str) -> bool:
    return Path("/sys/class/net", name, "device").exists()


def _pressure(texts: list[str]) -> Figures:
    return parse_pressure(texts[0]) if texts else {}


def parse_pressure(text: str) -> Figures:
    """From `/proc/pressure/cpu`: time in which something that could run had to wait for a core."""
    for line in text.splitlines():
        if line.startswith("some "):
            return {"cpu_pressure_s": int(line.rpartition("total=")[2]) / 1e6}
    return {}


def _clock(texts: list[str]) -> Figures:
    return {"cpu_clock_mhz": fmean(int(text) / 1000 for text in texts)} if texts else {}
