"""Which code and data a job runs on, as short hashes that change when they do."""

import hashlib
import importlib.util
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import tuner
from tuner.launch import launch_command
from tuner.spec import JobSpec

CODE = frozenset({".py", ".sh", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf"})
"""Endings of files that a command may name as its code; others may be what it writes."""
PACKAGE = "package://"
"""Before a path inside an installed Python package: `package://recbole/dataset_example`."""
MAX_FILES = 1000
MAX_BYTES = 64 * 2**20
"""Files beyond are told apart by name, size and time only."""


def workload_hash(spec: JobSpec) -> str | None:
    """Of the code that the default configuration runs; None where it names no file."""
    files = sorted({str(file) for file in _code(spec)})
    return _digest(files, _folder(spec)) if files else None


def data_hash(spec: JobSpec) -> str | None:
    """Of `workload.data`; None where the job names none."""
    entries = spec.workload.data
    if not entries:
        return None
    places = [_place(entry, _folder(spec)) for entry in entries]
    missing = [e for e, p in zip(entries, places, strict=True) if p is None or not p.exists()]
    if missing:
        return f"missing: {', '.join(missing)}"
    files = islice((f for p in places if p is not None for f in _files(p)), MAX_FILES + 1)
    return _digest(list(files), _folder(spec))


def git_commit(spec: JobSpec) -> str | None:
    """The commit that is checked out where the job runs; None where there is none."""
    folder = _folder(spec)
    with suppress(OSError, ValueError):
        for place in (folder, *folder.parents):
            if (place / ".git").is_dir():
                return _commit(place / ".git")
    return None


def _commit(git: Path) -> str | None:
    head = (git / "HEAD").read_text(encoding="utf-8").strip()
    if not head.startswith("ref: "):
        return head[:12]
    name = head.removeprefix("ref: ")
    if (git / name).is_file():
        return (git / name).read_text(encoding="utf-8").strip()[:12]
    for line in (git / "packed-refs").read_text(encoding="utf-8").splitlines():
        commit, _, ref = line.partition(" ")
        if ref == name:
            return commit[:12]
    return None


def _folder(spec: JobSpec) -> Path:
    return Path(spec.workload.working_dir or ".")


def _code(spec: JobSpec) -> Iterator[Path]:
    if spec.workload.name is not None:
        place = _package("workloads")
        yield from _sources(place) if place is not None else ()
        yield Path(tuner.__file__).parent / "report.py"
        return
    argv, folder = launch_command(spec, spec.space.default()).argv, _folder(spec)
    for before, word in zip(("", *argv), argv, strict=False):
        if before == "-m":
            yield from _module(word, folder)
        for text in {word, word.partition("=")[2]}:
            path = folder / text
            with suppress(OSError):  # a word may be longer than any name of a file
                is_program = word is argv[0] and folder in path.parents
                if text and (is_program or path.suffix in CODE) and path.is_file():
                    yield path


def _module(name: str, folder: Path) -> Iterator[Path]:
    """The sources of a module of the job itself; installed ones are known by their version."""
    top = folder / name.partition(".")[0]
    if top.is_dir():
        yield from _sources(top)
    elif top.with_suffix(".py").is_file():
        yield top.with_suffix(".py")


def _sources(package: Path) -> Iterator[Path]:
    return islice(package.rglob("*.py"), MAX_FILES)


def _place(entry: str, folder: Path) -> Path | None:
    if not entry.startswith(PACKAGE):
        return folder / Path(entry).expanduser()
    name, _, inside = entry.removeprefix(PACKAGE).partition("/")
    package = _package(name)
    return None if package is None else package / inside


@lru_cache(maxsize=64)
def _package(name: str) -> Path | None:
    """The folder of an installed package, which is not imported."""
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    places = found.submodule_search_locations if found is not None else None
    return Path(next(iter(places))) if places else None


def _files(place: Path) -> Iterator[str]:
    """Every file under a folder in a fixed order, or the file itself."""
    if not place.is_dir():
        yield str(place)
    for folder, folders, names in os.walk(place):
        folders.sort()
        yield from (f"{folder}/{name}" for name in sorted(names))


def _digest(files: list[str], folder: Path) -> str:
    """16 hexadecimal digits, and what they were made from."""
    stamps = [_stamp(file) for file in files[:MAX_FILES]]
    is_small = sum(stamp.size for stamp in stamps) <= MAX_BYTES
    total = hashlib.sha256()
    for stamp in stamps:
        seen = _content(stamp) if is_small else f"{stamp.size} {stamp.changed_ns}"
        total.update(f"{stamp.path.removeprefix(f'{folder}/')}\0{seen}\0".encode())
    by = "contents" if is_small else "sizes and times"
    count = f"{len(stamps)} file{'s' if len(stamps) > 1 else ''}"
    if len(files) > MAX_FILES:
        count = f"the first {count}"
    return f"{total.hexdigest()[:16]} ({by} of {count})"


class _Stamp(NamedTuple):
    """A file as it is now."""

    path: str
    size: int
    changed_ns: int


def _stamp(file: str) -> _Stamp:
    with suppress(OSError):
        status = Path(file).stat()
        if stat.S_ISREG(status.st_mode):
            return _Stamp(file, status.st_size, status.st_mtime_ns)
    return _Stamp(file, 0, 0)  # deleted this moment, or a pipe, which changes as it is used


@lru_cache(maxsize=8 * MAX_FILES)
def _content(stamp: _Stamp) -> str:
    """Read once for each size and time of change."""
    with suppress(OSError):
        # Whoever opens a pipe has to wait for its other end.
        if Path(stamp.path).is_file():
            with open(stamp.path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    return "unreadable"
