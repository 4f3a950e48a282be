"""User behaviour logs to training features, in partitions on parallel workers.

    python -m workloads.preprocess --out=features
    torchrun --nproc-per-node=2 -m workloads.preprocess --format=arrow

Every rank is a worker: it takes a partition from the queue (`workloads.tickets`), reads its events,
turns them into rows (`workloads.features`), writes them (`workloads.feature_files`), and takes the
next. The log (`workloads.behaviour`) is made once and kept. With `--out` the log is done once and
the features stay; without, pass follows pass until it is stopped, and what was written is dropped.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

from tuner import report
from workloads.ahead import ahead
from workloads.tickets import LocalTickets, Queue, RemoteTickets, Tickets, serve

if TYPE_CHECKING:
    import pyarrow as pa

    from workloads.behaviour import Log

COMPRESSIONS = ("none", "snappy", "zstd")
PRINT_S = 5.0
_LIBRARY = "pyarrow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line."""

    events: int
    partition_rows: int
    threads: int
    format: str
    compression: str
    prefetch: int
    balance: str
    data: Path | None
    out: Path | None
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """This process among the workers."""

    number: int
    count: int
    address: tuple[str, int]
    """Where the first worker answers the others."""


def worker_from_environment() -> Worker:
    """RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; one worker where they are not set."""
    address = os.environ.get("MASTER_ADDR", "127.0.0.1"), int(os.environ.get("MASTER_PORT", "0"))
    count = int(os.environ.get("WORLD_SIZE", "1"))
    return Worker(number=int(os.environ.get("RANK", "0")), count=count, address=address)


def parse(words: list[str]) -> Options:
    """Reads the command line; ends with exit code 2 where that cannot be done."""
    parser = argparse.ArgumentParser(prog="preprocess", allow_abbrev=False)
    add = parser.add_argument
    add("--events", type=int, default=1_000_000, help="size of the log")
    add("--partition-rows", type=int, default=50_000, help="events done at once, at least a bucket")
    add("--threads", type=int, default=1, help="threads of the library in each worker")
    add("--format", choices=["parquet", "arrow", "csv", "npy"], default="parquet")
    add("--compression", choices=COMPRESSIONS, default="none")
    add("--prefetch", type=int, default=0, help="partitions read ahead of the one worked on")
    add("--balance", choices=["queue", "static"], default="queue", help="who does which partition")
    add("--data", type=Path, help="where the log lies, or is made; default: the user's cache")
    add("--out", type=Path, help="does the log once and keeps the features in this folder")
    add("--seed", type=int, default=0)
    options = Options(**vars(parser.parse_args(words)))
    problem = impossible(options)
    if problem:
        parser.error(problem)
    return options


def impossible(options: Options) -> str | None:
    """Why this cannot be done, or None."""
    least = {"events": 1_000, "partition_rows": 1, "threads": 1, "prefetch": 0, "seed": 0}
    for name, low in least.items():
        if getattr(options, name) < low:
            return f"{name.replace('_', '-')} {getattr(options, name)} is below {low}"
    possible = library("feature_files").COMPRESSIONS[options.format]
    if options.compression not in possible:
        return (
            f"{options.format} cannot be compressed with {options.compression}; "
            f"use {' or '.join(possible)}"
        )
    return None


def library(name: str) -> ModuleType:
    """A module of this package that needs pyarrow; ends with a remedy where that is missing."""
    import importlib

    try:
        return importlib.import_module(f"workloads.{name}")
    except ModuleNotFoundError as error:
        if error.name != _LIBRARY:
            raise
        sys.exit(f"{_LIBRARY} is not installed. Remedy: pip install 'trimtab[preprocess]'")


def partitions(rows: tuple[int, ...], least: int) -> list[range]:
    """Neighbouring buckets together until they have so many events."""
    found, start, events = [], 0, 0
    for bucket, count in enumerate(rows):
        events += count
        if events >= least or bucket == len(rows) - 1:
            found.append(range(start, bucket + 1))
            start, events = bucket + 1, 0
    return found


class Tally:
    """What the workers have done, told to Trimtab by the one that holds the queue."""

    def __init__(self, rows: list[int], workers: int) -> None:
        self.rows = rows
        self._done = [0] * workers
        self._printed_s = time.monotonic()

    def note(self, worker: int, part: int) -> None:
        self._done[worker] += self.rows[part]
        report.step(samples=self.rows[part])
        if time.monotonic() - self._printed_s >= PRINT_S:
            self._printed_s = time.monotonic()
            self.print()

    def print(self) -> None:
        total = max(1, sum(self._done))
        shares = ", ".join(f"{100 * done / total:.0f} %" for done in self._done)
        print(f"{total:,} events, by worker {shares}", flush=True)


def hold_queue(worker: Worker, tally: Tally, options: Options) -> Queue:
    """The queue of all workers, in the process of the first one."""
    queue = Queue(
        tally.rows,
        worker.count,
        balance=options.balance,
        passes=None if options.out is None else 1,
        on_done=tally.note,
    )
    if worker.count > 1:
        serve(queue, worker.address)
    return queue


def taken(
    tickets: Tickets, log: "Log", parts: list[range], threads: int
) -> Iterator[tuple[int, "pa.Table"]]:
    """Partitions with their events, as they are taken from the queue."""
    features = library("features")
    while (part := tickets.take()) is not None:
        yield part, features.read_events(log, parts[part], threads)


def work(tickets: Tickets, log: "Log", parts: list[range], folder: Path, options: Options) -> None:
    """Turns partitions into files of features until the queue is empty."""
    features, files = library("features"), library("feature_files")
    sides = features.read_sides(log)
    for part, events in ahead(taken(tickets, log, parts, options.threads), options.prefetch):
        table = features.transform(events, sides)
        path = folder / part_name(part if options.out else 0, options.format)
        files.write(table, path, options.format, options.compression)
        tickets.done(part)


def part_name(part: int, form: str) -> str:
    return f"part-{part:05d}.{form}"


def finish(options: Options, rows: list[int]) -> None:
    """Says what lies in the folder, once it is all there."""
    assert options.out is not None
    files, features = library("feature_files"), library("features")
    manifest = files.Manifest(
        format=options.format,
        compression=options.compression,
        parts=tuple(part_name(part, options.format) for part in range(len(rows))),
        rows=tuple(count * (1 + features.NEGATIVES) for count in rows),
    )
    files.write_manifest(options.out, manifest)


@contextmanager
def folder_of(options: Options) -> Iterator[Path]:
    """Where features are written; one for the time being where they are not kept."""
    if options.out is None:
        with tempfile.TemporaryDirectory(prefix="trimtab-features-") as name:
            yield Path(name)
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        yield options.out


def end(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


def main(words: list[str]) -> None:
    options, worker = parse(words), worker_from_environment()
    signal.signal(signal.SIGTERM, end)  # so that what is dropped is dropped then too
    library("features")
    import pyarrow

    from workloads import behaviour

    pyarrow.set_cpu_count(options.threads)
    pyarrow.set_io_thread_count(1)
    root = options.data or behaviour.default_root()
    log = behaviour.open_log(root, options.events, options.seed)
    parts = partitions(log.rows, options.partition_rows)
    rows = [sum(log.rows[bucket] for bucket in buckets) for buckets in parts]
    with folder_of(options) as folder:
        if worker.number > 0:
            with closing(RemoteTickets(worker.address, worker.number)) as far:
                work(far, log, parts, folder, options)
            return
        tally = Tally(rows, worker.count)
        queue = hold_queue(worker, tally, options)
        work(LocalTickets(queue, 0), log, parts, folder, options)
        finish(options, rows)
        tally.print()
        queue.wait_until_left()


if __name__ == "__main__":
    main(sys.argv[1:])
