"""The control group of this process, version 1 or 2: where its files are, and what they say."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """Where a controller keeps the files of a group."""

    version: int
    mount: Path
    folder: Path

    def file(self, version_1: str, version_2: str) -> Path:
        return self.folder / (version_1 if self.version == 1 else version_2)

    def with_parents(self) -> Iterator[Path]:
        """Its folder and those above it that can be seen: a limit on any of them binds."""
        folder = self.folder
        yield folder
        while folder != self.mount:
            folder = folder.parent
            yield folder


def own_place(controller: str) -> Place | None:
    """Where the group of this process is."""
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8")
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    except OSError:
        return None
    return place(controller, groups, mounts)


def place(controller: str, groups: str, mounts: str) -> Place | None:
    """From `/proc/self/cgroup` and `/proc/self/mountinfo`; None where the controller is not."""
    paths: dict[int, str] = {}
    for line in groups.splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            paths[2] = path
        elif controller in controllers.split(","):
            paths[1] = path
    for version, path in sorted(paths.items()):
        for root, mount in _mounts(controller if version == 1 else "", mounts):
            return Place(version, Path(mount), Path(mount, _below(path, root)))
    return None


def _mounts(controller: str, mounts: str) -> Iterator[tuple[str, str]]:
    """Root and mount point of a controller's hierarchy, of version 2 where none is named."""
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _source, *options = rest.split()
        found = (
            kind == "cgroup" and controller in ",".join(options).split(",")
            if controller
            else kind == "cgroup2"
        )
        if found:
            root, mount = fields.split()[3:5]
            yield root, mount


def _below(path: str, root: str) -> str:
    """The path below the mount. What a container sees need not begin with what it has mounted."""
    inside = path == root or path.startswith(f"{root.rstrip('/')}/")
    return path[len(root.rstrip("/")) :].strip("/") if inside and ".." not in path else ""


def parse_throttled_s(stat: str) -> float | None:
    """Time for which a quota held the group back, added up over cores, from `cpu.stat`."""
    values = _values(stat)
    if "throttled_usec" in values:
        return values["throttled_usec"] / 1e6
    return values["throttled_time"] / 1e9 if "throttled_time" in values else None


def parse_oom_kills(events: str) -> int | None:
    """From `memory.oom_control`, `memory.events` or `/proc/vmstat`."""
    return _values(events).get("oom_kill")


def parse_io_bytes(stat: str) -> tuple[int, int] | None:
    """Bytes read and written, from `io.stat` or `blkio.throttle.io_service_bytes`; None where no
    device is listed, which some kernels do although there is traffic."""
    read: list[int] = []
    written: list[int] = []
    for line in stat.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in ("Read", "Write"):
            (read if words[1] == "Read" else written).append(int(words[2]))
        pairs = dict(word.split("=", 1) for word in words if "=" in word)
        read += [int(pairs["rbytes"])] if "rbytes" in pairs else []
        written += [int(pairs["wbytes"])] if "wbytes" in pairs else []
    return (sum(read), sum(written)) if read or written else None


def _values(text: str) -> dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
