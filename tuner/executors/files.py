"""The folder of a gang: the names in it, and files that are there whole or not at all.

request.json      the gang, as it was asked for; written once
lock              held by the supervisor while it lives
supervisor.json   who the supervisor is
supervisor.log    what went wrong with the supervisor itself
started.json      ranks may have been started: they never are again
lease             touched by the executor whenever somebody asks for the gang
stop              why the gang shall end; the first who asks is heard
usage.json        usage until now, and when that was
usage.jsonl       samples of the usage, a line each
exit.json         how it ended
reserve           room on the disk for exit.json
rank-R.log, rank-R.metrics.jsonl, rank-R.log.marks
files/NAME, files/NAME.marks   files that the gang writes itself, by name in its request
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tuner.gang import FILES, Gang, RankExit
from tuner.model import LaunchCommand, placement_of

_VERSION = 1
_LONGEST_LINK = 1000


@dataclass(frozen=True, slots=True)
class GangFolder:
    """The paths of one gang."""

    path: Path

    @property
    def request(self) -> Path:
        return self.path / "request.json"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def supervisor(self) -> Path:
        return self.path / "supervisor.json"

    @property
    def supervisor_log(self) -> Path:
        return self.path / "supervisor.log"

    @property
    def started(self) -> Path:
        return self.path / "started.json"

    @property
    def lease(self) -> Path:
        return self.path / "lease"

    @property
    def stop(self) -> Path:
        return self.path / "stop"

    @property
    def usage(self) -> Path:
        return self.path / "usage.json"

    @property
    def usage_samples(self) -> Path:
        return self.path / "usage.jsonl"

    @property
    def exit(self) -> Path:
        return self.path / "exit.json"

    @property
    def reserve(self) -> Path:
        return self.path / "reserve"

    def log(self, rank: int) -> Path:
        return self.path / f"rank-{rank}.log"

    def metrics(self, rank: int) -> Path:
        return self.path / f"rank-{rank}.metrics.jsonl"

    @property
    def files(self) -> Path:
        return self.path / FILES

    def streams(self) -> list[Path]:
        """Every file that a rank writes, by rank, the samples of the usage, and own files."""
        found = [*self.path.glob("rank-*.log"), *self.path.glob("rank-*.metrics.jsonl")]
        found.sort(key=lambda path: (int(path.name.split(".")[0][5:]), path.name))
        return [*found, *self.path.glob(self.usage_samples.name), *self._own_streams()]

    def _own_streams(self) -> list[Path]:
        """Own files that are there. What is no plain file, a pipe say, could make a reader wait."""
        gang = read_gang(self) if self.files.is_dir() else None
        paths = [self.files / name for name in gang.files] if gang is not None else []
        return [path for path in paths if path.is_file()]


def stream_of(path: Path) -> str:
    """The name of a stream: of the file, with `files/` before that of an own one."""
    return path.name if path.parent.name != FILES.rstrip("/") else FILES + path.name


def marks_of(log: Path) -> Path:
    """Where the growth of a log is noted."""
    return log.with_name(f"{log.name}.marks")


@dataclass(frozen=True, slots=True, kw_only=True)
class GangExit:
    """What a supervisor says in the end."""

    reason: str
    elapsed_s: float
    ranks: tuple[RankExit, ...]
    first_failed_rank: int | None
    stopped_ranks: tuple[int, ...] = ()
    early_ranks: tuple[int, ...] = ()
    disk_full: bool = False
    oom_kills: int
    usage: dict[str, float]


def publish(path: Path, content: Mapping[str, object], *, durable: bool = True) -> None:
    """Puts a JSON file in place whole, with its checksum. Raises OSError."""
    body = json.dumps(content, sort_keys=True)
    envelope = {"version": _VERSION, "sha256": _digest(body), "content": content}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(envelope, file, sort_keys=True)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        sync_folder(path.parent)


def read(path: Path) -> dict[str, Any] | None:
    """What was published; None where nothing (sound) is."""
    try:
        envelope = json.loads(path.read_bytes())
        content: dict[str, Any] = envelope["content"]
        sound = envelope["version"] == _VERSION
        sound = sound and envelope["sha256"] == _digest(json.dumps(content, sort_keys=True))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if sound else None


def write_first(path: Path, text: str) -> None:
    """Puts a text in place unless there is one already, as the target of a link: that is there
    whole or not at all, and needs no room on a full disk. Raises OSError."""
    with suppress(FileExistsError):
        path.symlink_to(text[:_LONGEST_LINK])


def read_first(path: Path) -> str:
    """What `write_first` has put there; empty where nothing is."""
    try:
        return os.readlink(path)  # noqa: PTH115 - a text, not a path to be tidied
    except OSError:
        return ""


def sync_folder(folder: Path) -> None:
    """Makes names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_gang(folder: GangFolder, gang: Gang) -> None:
    publish(folder.request, asdict(gang))


def read_gang(folder: GangFolder) -> Gang | None:
    content = read(folder.request)
    if content is None:
        return None
    command, placement = content.pop("command"), content.pop("placement")
    own = tuple(content.pop("files", ()))
    return Gang(
        command=LaunchCommand(**{**command, "argv": tuple(command["argv"])}),
        placement=placement_of(placement),
        files=own,
        **content,
    )


def write_exit(folder: GangFolder, ended: GangExit) -> None:
    publish(folder.exit, asdict(ended))


def read_exit(folder: GangFolder) -> GangExit | None:
    content = read(folder.exit)
    if content is None:
        return None
    ranks = tuple(RankExit(**rank) for rank in content.pop("ranks"))
    for name in ("stopped_ranks", "early_ranks"):
        content[name] = tuple(content.get(name, ()))
    return GangExit(ranks=ranks, **content)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
