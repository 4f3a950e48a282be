from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from workloads import behaviour, feature_files, features
from workloads.behaviour import Log

EVENTS = 6_000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return behaviour.open_log(tmp_path_factory.mktemp("log"), EVENTS, seed=3)


@pytest.fixture(scope="module")
def sides(log: Log) -> features.Sides:
    return features.read_sides(log)


def test_the_log_is_whole_skewed_and_the_same_when_made_again(log: Log, tmp_path: Path) -> None:
    assert sum(log.rows) == EVENTS
    assert max(log.rows) > 5 * EVENTS / behaviour.NUM_BUCKETS
    again = behaviour.open_log(tmp_path, EVENTS, seed=3)
    assert again.rows == log.rows
    for number in range(behaviour.NUM_BUCKETS):
        assert features.read_events(again, range(number, number + 1), 1).equals(
            features.read_events(log, range(number, number + 1), 1)
        )
    assert behaviour.open_log(tmp_path, EVENTS, seed=4).rows != log.rows


def test_an_unfinished_log_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> list[int]:
        raise OSError("disk full")

    monkeypatch.setattr(behaviour, "_write_buckets", fail)
    with pytest.raises(OSError, match="disk full"):
        behaviour.open_log(tmp_path, EVENTS, seed=3)
    assert list(tmp_path.iterdir()) == []


def test_buckets_are_in_the_order_of_the_ids(log: Log) -> None:
    ends = []
    for number in range(behaviour.NUM_BUCKETS):
        ids = features.read_events(log, range(number, number + 1), 1)["user_id"]
        if len(ids):
            ends += [pc.min(ids).as_py(), pc.max(ids).as_py()]
    assert ends == sorted(ends)


def test_sessions_end_where_a_user_was_away() -> None:
    user = pa.array([7, 7, 7, 7, 9, 9], pa.uint64())
    second = pa.array([100, 160, 160 + 1801, 2000, 50, 60])
    found = features.sessions(user, second)
    assert found["in_session"].to_pylist() == [0, 1, 0, 1, 0, 1]
    assert found["events_before"].to_pylist() == [0, 1, 2, 3, 0, 1]
    assert found["away_s"].to_pylist() == [0, 60, 1801, 39, 0, 10]


def test_rows_of_several_tables_take_turns() -> None:
    left = pa.table({"a": [1, 2]})
    right = pa.table({"a": [10, 20]})
    assert features.interleaved([left, right])["a"].to_pylist() == [1, 10, 2, 20]


def test_every_event_gives_one_positive_row_and_three_with_other_items(
    log: Log, sides: features.Sides
) -> None:
    events = features.read_events(log, range(8), 1)
    rows = features.transform(events, sides)
    assert rows.schema == features.SCHEMA
    assert len(rows) == 4 * len(events)
    assert rows["label"].to_pylist()[:8] == [1, 0, 0, 0, 1, 0, 0, 0]
    assert all(column.null_count == 0 for column in rows.columns)
    for name, size in features.ID_ROWS.items():
        low, high = pc.min_max(rows[f"id_{name}"]).as_py().values()
        assert 0 <= low <= high < size
    users = rows["id_user"].to_pylist()
    assert users[0] == users[1] == users[2] == users[3]
    items = rows["id_item"].to_pylist()
    assert len(set(items[:4])) > 1


def test_joined_columns_are_those_of_the_user_and_the_item(log: Log, sides: features.Sides) -> None:
    events = features.read_events(log, range(4), 1)
    order = [("user_id", "ascending"), ("second", "ascending"), ("item_id", "ascending")]
    events = events.take(pc.sort_indices(events, sort_keys=order))
    rows = features.transform(events, sides)
    price = dict(
        zip(sides.items["item_id"].to_pylist(), sides.items["price"].to_pylist(), strict=True)
    )
    wanted = [price[item] for item in events["item_id"].to_pylist()]
    found = rows["dense_price"].to_pylist()[::4]
    assert found == pytest.approx([pc.log1p(p).as_py() for p in wanted], rel=1e-6)


def test_rows_do_not_depend_on_the_partition(log: Log, sides: features.Sides) -> None:
    whole = features.transform(features.read_events(log, range(12), 1), sides)
    pieces = [
        features.transform(features.read_events(log, cut, 2), sides)
        for cut in (range(1), range(1, 7), range(7, 12))
    ]
    assert pa.concat_tables(pieces).combine_chunks().equals(whole)


def test_an_empty_partition_has_no_rows(log: Log, sides: features.Sides) -> None:
    events = features.read_events(log, range(1), 1).slice(0, 0)
    assert len(features.transform(events, sides)) == 0


CHOICES = [(f, c) for f, cs in feature_files.COMPRESSIONS.items() for c in cs]


@pytest.mark.parametrize(("form", "compression"), CHOICES)
def test_every_format_gives_back_what_was_written(
    log: Log, sides: features.Sides, tmp_path: Path, form: str, compression: str
) -> None:
    rows = features.transform(features.read_events(log, range(6), 1), sides)
    path = tmp_path / "part"
    feature_files.write(rows, path, form, compression)
    back = feature_files.read(path, form, compression, features.SCHEMA)
    assert back.schema.equals(features.SCHEMA)
    assert back.combine_chunks().equals(rows.combine_chunks())


def test_npy_is_what_numpy_reads(log: Log, sides: features.Sides, tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    rows = features.transform(features.read_events(log, range(6), 1), sides)
    feature_files.write(rows, tmp_path / "part", "npy", "none")
    with (tmp_path / "part").open("rb") as file:
        for column in rows.columns:
            assert numpy.load(file, allow_pickle=False).tolist() == column.to_pylist()


def test_a_digest_is_of_the_rows_not_of_the_files(
    log: Log, sides: features.Sides, tmp_path: Path
) -> None:
    rows = features.transform(features.read_events(log, range(6), 1), sides)

    def digest(name: str, form: str, compression: str, cuts: list[int]) -> str:
        folder = tmp_path / name
        folder.mkdir()
        parts = []
        for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            parts.append(f"{start}.{form}")
            piece = rows.slice(start, stop - start)
            feature_files.write(piece, folder / parts[-1], form, compression)
        manifest = feature_files.Manifest(
            format=form, compression=compression, parts=tuple(parts), rows=()
        )
        feature_files.write_manifest(folder, manifest)
        return feature_files.digest(folder, features.SCHEMA)

    first = digest("a", "parquet", "zstd", [])
    assert digest("b", "npy", "none", [8, 100]) == first
    rows = rows.set_column(0, features.SCHEMA.field("label"), pa.array([0] * len(rows), pa.int8()))
    assert digest("c", "npy", "none", []) != first
