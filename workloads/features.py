"""From raw events to rows that a ranking model learns from; the same rows however it is done.

Events are put in order of user and time and cut into sessions where a user was away for half an
hour; users and items are joined; every event becomes one positive row and three negative ones with
items drawn by the hash of the event, so that nothing depends on which partition it was in; all
that identifies is hashed into tables of fixed sizes.
"""

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workloads.behaviour import Log
from workloads.hashing import below, mixed, row_of, unsigned

SESSION_GAP_S = 1_800
NEGATIVES = 3
ID_ROWS = {
    "user": 1 << 14,
    "item": 1 << 14,
    "category": 1 << 9,
    "country": 1 << 6,
    "age": 1 << 7,
    "device": 1 << 4,
    "hour": 1 << 5,
    "user_category": 1 << 14,
    "item_country": 1 << 14,
}
"""Rows of the embedding table of each hashed column."""
DENSE = ("in_session", "events_before", "away_s", "price", "dwell_ms", "kind")
SCHEMA = pa.schema(
    [
        ("label", pa.int8()),
        *[(f"dense_{name}", pa.float32()) for name in DENSE],
        *[(f"id_{name}", pa.int32()) for name in ID_ROWS],
    ]
)
_DEVICES = pa.array(["phone", "tablet", "desktop", "tv", "other"])
_KINDS = pa.array(["view", "click", "buy"])


class Sides(NamedTuple):
    """The tables that events are joined with."""

    users: pa.Table
    items: pa.Table


def read_sides(log: Log) -> Sides:
    return Sides(pq.read_table(log.users), pq.read_table(log.items))


def read_events(log: Log, buckets: range, threads: int) -> pa.Table:
    """The events of neighbouring buckets, in no order."""
    paths: list[Path] = [log.bucket(number) for number in buckets]
    tables = [pq.read_table(path, use_threads=threads > 1, memory_map=True) for path in paths]
    return pa.concat_tables(tables).combine_chunks()


def transform(events: pa.Table, sides: Sides) -> pa.Table:
    """Rows of SCHEMA, four for every event, in the order of users, seconds and items."""
    order = [("user_id", "ascending"), ("second", "ascending"), ("item_id", "ascending")]
    events = events.take(pc.sort_indices(events, sort_keys=order)).combine_chunks()
    if not len(events):
        return SCHEMA.empty_table()
    context = {**sessions(_column(events, "user_id"), _column(events, "second"))}
    context |= _of_event(events) | _of_user(events, sides.users)
    positive = pc.index_in(_column(events, "item_id"), value_set=_column(sides.items, "item_id"))
    negative = [_drawn(events, draw, len(sides.items)) for draw in range(NEGATIVES)]
    return interleaved(
        [_rows(context, positive, sides.items, label=1)]
        + [_rows(context, item, sides.items, label=0) for item in negative]
    )


def sessions(user_id: pa.Array, second: pa.Array) -> dict[str, pa.Array]:
    """For events in order of user and time: how many came before in the session and of the user,
    and for how many seconds the user was away."""
    number = pc.cast(_counted(len(user_id)), pa.int64())
    away_s = pc.fill_null(pc.pairwise_diff(second), 0)
    is_new = pa.concat_arrays(
        [pa.array([True]), pc.not_equal(user_id.slice(1), user_id.slice(0, len(user_id) - 1))]
    )
    opens = pc.or_(is_new, pc.greater(away_s, SESSION_GAP_S))
    return {
        "in_session": pc.subtract(number, pc.cumulative_max(pc.if_else(opens, number, 0))),
        "events_before": pc.subtract(number, pc.cumulative_max(pc.if_else(is_new, number, 0))),
        "away_s": pc.if_else(is_new, 0, away_s),
    }


def _of_event(events: pa.Table) -> dict[str, pa.Array]:
    second = _column(events, "second")
    hours = pc.divide(second, 3600)
    return {
        "user": mixed(_column(events, "user_id"), 41),
        "hour": _hashed(pc.subtract(hours, pc.multiply(pc.divide(hours, 24), 24))),
        "device": _hashed(pc.index_in(_column(events, "device"), value_set=_DEVICES)),
        "kind": pc.index_in(_column(events, "kind"), value_set=_KINDS),
        "dwell_ms": _column(events, "dwell_ms"),
    }


def _of_user(events: pa.Table, users: pa.Table) -> dict[str, pa.Array]:
    place = pc.index_in(_column(events, "user_id"), value_set=_column(users, "user_id"))
    return {name: _hashed(_column(users, name).take(place)) for name in ("age", "country")}


def _drawn(events: pa.Table, draw: int, items: int) -> pa.Array:
    """Places of items that the user has not chosen: by the hash of the event and the draw."""
    event = pc.bit_wise_xor(_column(events, "user_id"), _column(events, "item_id"))
    second = pc.cast(_column(events, "second"), pa.uint64())
    return below(mixed(pc.bit_wise_xor(event, mixed(second, 51)), 52 + draw), items)


def _rows(
    context: dict[str, pa.Array], place: pa.Array, items: pa.Table, *, label: int
) -> pa.Table:
    """One row for each event, with the items at these places of their table."""
    ids = {name: context[name] for name in ("user", "country", "age", "device", "hour")}
    ids["item"] = mixed(_column(items, "item_id").take(place), 42)
    ids["category"] = _hashed(_column(items, "category").take(place))
    ids["user_category"] = _crossed(ids["user"], ids["category"])
    ids["item_country"] = _crossed(ids["item"], ids["country"])
    dense = {**context, "price": _column(items, "price").take(place)}
    columns = [pa.repeat(pa.scalar(label, pa.int8()), len(place))]
    columns += [_dense(dense[name]) for name in DENSE]
    columns += [row_of(ids[name], rows) for name, rows in ID_ROWS.items()]
    return pa.table(columns, schema=SCHEMA)


def _dense(values: pa.Array) -> pa.Array:
    return pc.cast(pc.log1p(pc.cast(values, pa.float64())), pa.float32())


def _hashed(values: pa.Array) -> pa.Array:
    return mixed(pc.cast(values, pa.uint64()), 43)


def _crossed(left: pa.Array, right: pa.Array) -> pa.Array:
    return mixed(pc.bit_wise_xor(left, mixed(right, 44)), 45)


def interleaved(tables: list[pa.Table]) -> pa.Table:
    """Row 0 of every table, then row 1 of every table, and so on."""
    size, count = len(tables[0]), len(tables)
    number = _counted(size * count)
    row = pc.divide(number, unsigned(count))
    table = pc.subtract(number, pc.multiply(row, unsigned(count)))
    order = pc.add(pc.multiply(table, unsigned(size)), row)
    return pa.concat_tables(tables).combine_chunks().take(order)


def _counted(count: int) -> pa.Array:
    return pc.subtract(pc.cumulative_sum(pa.repeat(unsigned(1), count)), unsigned(1))


def _column(table: pa.Table, name: str) -> pa.Array:
    """A column as one array."""
    return table[name].combine_chunks()
