"""The folder of a gang: the names in it, and files that are there whole or not at all.

request.json      the gang, as it was asked for; written once
lock              held by the supervisor while it lives
supervisor.json   who the supervisor is
supervisor.log    what went wrong with the supervisor itself
started.json      ranks may have been started: they never are again
lease             touched by the executor whenever somebody asks for the gang
stop              why the gang shall end; the first who asks is heard
usage.json        usage until now
usage.jsonl       samples of the usage, a line each
exit.json         how it ended
rank-R.log, rank-R.metrics.jsonl, rank-R.log.marks
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tuner.gang import Gang, RankExit
from tuner.model import LaunchCommand, Placement

_VERSION = 1


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

    def log(self, rank: int) -> Path:
        return self.path / f"rank-{rank}.log"

    def metrics(self, rank: int) -> Path:
        return self.path / f"rank-{rank}.metrics.jsonl"

    def streams(self) -> list[Path]:
        """Every file that a rank writes, by rank, and the samples of the usage."""
        found = [*self.path.glob("rank-*.log"), *self.path.glob("rank-*.metrics.jsonl")]
        found.sort(key=lambda path: (int(path.name.split(".")[0][5:]), path.name))
        return [*found, *self.path.glob(self.usage_samples.name)]


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
    """Puts a text in place unless there is one already. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    temporary.write_text(text, encoding="utf-8")
    try:
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()


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
    return Gang(
        command=LaunchCommand(**{**command, "argv": tuple(command["argv"])}),
        placement=Placement(
            cores=tuple(tuple(node) for node in placement["cores"]),
            gpus=tuple(tuple(node) for node in placement["gpus"]),
        ),
        **content,
    )


def write_exit(folder: GangFolder, ended: GangExit) -> None:
    publish(folder.exit, asdict(ended))


def read_exit(folder: GangFolder) -> GangExit | None:
    content = read(folder.exit)
    if content is None:
        return None
    ranks = tuple(RankExit(**rank) for rank in content.pop("ranks"))
    return GangExit(ranks=ranks, **content)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
