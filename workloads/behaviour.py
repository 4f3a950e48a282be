"""A log of what users did in a shop, as large as wanted and the same wherever it is made.

Every value is a hash of the number of its event, so the log needs no random generator. Users come
in visits of eight events; users and items follow power laws; partitions hold ranges of users of
very different size, as those by market or by tenant do. Events of a partition are in no order.
"""

import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workloads.hashing import below, mixed, unit, unsigned

NUM_BUCKETS = 128
NUM_ITEMS = 20_000
VISIT_EVENTS = 8
_VERSION = 1
_FIRST_SECOND = 1_700_000_000
_DAYS_S = 30 * 86_400
_VISIT_S = 1_200
_EVENTS_PER_USER = 20
_KINDS = ("view", "view", "view", "view", "view", "click", "click", "buy")
_DEVICES = ("phone", "phone", "phone", "tablet", "desktop", "desktop", "tv", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log on disk: a file for each bucket of users, and the tables to join."""

    folder: Path
    rows: tuple[int, ...]
    """Events of each bucket."""

    def bucket(self, number: int) -> Path:
        return self.folder / f"events-{number:03d}.parquet"

    @property
    def users(self) -> Path:
        return self.folder / "users.parquet"

    @property
    def items(self) -> Path:
        return self.folder / "items.parquet"


def open_log(root: Path, events: int, seed: int) -> Log:
    """The log of so many events under a folder; made where it is not there yet. Raises OSError."""
    folder = root / f"behaviour-v{_VERSION}-{events}-{seed}"
    if not folder.exists():
        _make(folder, events, seed)
    rows = json.loads((folder / "log.json").read_text(encoding="utf-8"))["rows"]
    return Log(folder=folder, rows=tuple(rows))


def default_root() -> Path:
    """Where logs are kept by themselves: the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache, "trimtab")


def _make(folder: Path, events: int, seed: int) -> None:
    """Whole or not at all: another process may be making the same."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        users = max(1_000, events // _EVENTS_PER_USER)
        log = Log(folder=unfinished, rows=())
        pq.write_table(user_table(users, seed), log.users)
        pq.write_table(item_table(seed), log.items)
        rows = _write_buckets(log, event_table(events, users, seed))
        (unfinished / "log.json").write_text(json.dumps({"rows": rows}), encoding="utf-8")
        with suppress(OSError):  # somebody was faster, with the same content
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_buckets(log: Log, events: pa.Table) -> list[int]:
    bucket = bucket_of(events["user_id"].combine_chunks())
    order = pc.sort_indices(bucket)
    events, bucket = events.take(order), bucket.take(order)
    rows = []
    for number in range(NUM_BUCKETS):
        start = pc.sum(pc.less(bucket, number)).as_py() or 0
        count = pc.sum(pc.equal(bucket, number)).as_py() or 0
        pq.write_table(events.slice(start, count), log.bucket(number))
        rows.append(count)
    return rows


def bucket_of(user_id: pa.Array) -> pa.Array:
    """uint64 -> int64: buckets are ranges of ids, in their order, the first ones the largest."""
    share = unit(user_id)
    return pc.cast(pc.floor(pc.multiply(pc.multiply(share, share), float(NUM_BUCKETS))), pa.int64())


def event_table(events: int, users: int, seed: int) -> pa.Table:
    """Events in the order in which they were logged, which is none."""
    number = _numbers(events)
    visit = pc.divide(number, unsigned(VISIT_EVENTS))
    begin = below(mixed(visit, seed + 3), _DAYS_S)
    second = pc.add(pc.add(begin, below(mixed(number, seed + 4), _VISIT_S)), _FIRST_SECOND)
    user = _often_low(mixed(visit, seed + 1), users)
    item = _often_low(mixed(number, seed + 2), NUM_ITEMS)
    return pa.table(
        {
            "user_id": user_ids(user, seed),
            "item_id": item_ids(item, seed),
            "second": second,
            "kind": pa.array(_KINDS).take(below(mixed(number, seed + 5), len(_KINDS))),
            "device": pa.array(_DEVICES).take(below(mixed(visit, seed + 6), len(_DEVICES))),
            "dwell_ms": pc.cast(_often_low(mixed(number, seed + 7), 60_000), pa.int32()),
        }
    )


def user_table(users: int, seed: int) -> pa.Table:
    number = _numbers(users)
    return pa.table(
        {
            "user_id": user_ids(number, seed),
            "age": pc.add(below(mixed(number, seed + 21), 70), 14),
            "country": _often_low(mixed(number, seed + 22), 60),
        }
    )


def item_table(seed: int) -> pa.Table:
    number = _numbers(NUM_ITEMS)
    return pa.table(
        {
            "item_id": item_ids(number, seed),
            "category": _often_low(mixed(number, seed + 31), 300),
            "price": pc.multiply(pc.exp(pc.multiply(unit(mixed(number, seed + 32)), 6.0)), 1.5),
        }
    )


def user_ids(number: pa.Array, seed: int) -> pa.Array:
    """Numbers that say nothing by themselves, as those of a real log."""
    return mixed(pc.cast(number, pa.uint64()), seed + 11)


def item_ids(number: pa.Array, seed: int) -> pa.Array:
    return mixed(pc.cast(number, pa.uint64()), seed + 12)


def _numbers(count: int) -> pa.Array:
    ones = pa.repeat(unsigned(1), count)
    return pc.subtract(pc.cumulative_sum(ones), unsigned(1))


def _often_low(hashed: pa.Array, size: int) -> pa.Array:
    """From 0 up to a size; number n about as often as n to the power of -2/3."""
    share = unit(hashed)
    cube = pc.multiply(pc.multiply(share, share), share)
    return pc.cast(pc.floor(pc.multiply(cube, float(size))), pa.int64())
