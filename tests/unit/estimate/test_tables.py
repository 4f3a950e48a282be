import pytest

from tuner.description import EmbeddingTables
from tuner.estimate import tables
from tuner.estimate.tables import Message, held_share, messages, moved_bytes

TWO = (EmbeddingTables(rows=1000, dim=16, count=2),)


def test_data_parallel_sends_the_gradient_of_every_row() -> None:
    sent = messages(TWO, "data_parallel", 4, 128)
    assert sent == [Message(kind="all_reduce", num_bytes=2 * 1000 * 16 * 4)]


def test_table_wise_sends_ids_and_vectors_there_and_back() -> None:
    """128 samples of 2 ids of 8 bytes, and of 2 vectors of 64 bytes."""
    sizes = [(m.kind, m.num_bytes) for m in messages(TWO, "table_wise", 4, 128)]
    assert sizes == [("all_to_all", 2048), ("all_to_all", 16384), ("all_to_all", 16384)]


def test_row_wise_sends_the_vectors_of_all_samples_to_all() -> None:
    sizes = [(m.kind, m.num_bytes) for m in messages(TWO, "row_wise", 4, 128)]
    gathered = 4 * 16384
    assert sizes == [("all_gather", 8192), ("reduce_scatter", gathered), ("all_gather", gathered)]


def test_column_wise_gathers_ids_and_sends_slices() -> None:
    sizes = [(m.kind, m.num_bytes) for m in messages(TWO, "column_wise", 4, 128)]
    assert sizes == [("all_gather", 8192), ("all_to_all", 16384), ("all_to_all", 16384)]


@pytest.mark.parametrize("strategy", tables.STRATEGIES)
def test_one_rank_sends_nothing(strategy: str) -> None:
    assert messages(TWO, strategy, 1, 128) == []


def test_what_the_fullest_rank_holds() -> None:
    uneven = (EmbeddingTables(rows=60, dim=1), EmbeddingTables(rows=20, dim=1, count=2))
    assert held_share(uneven, "data_parallel", 2) == 1
    assert held_share(uneven, "table_wise", 2) == pytest.approx(0.6)
    assert held_share(uneven, "row_wise", 4) == pytest.approx(0.25)


def test_a_slice_of_every_row_keeps_the_state_of_every_row() -> None:
    assert tables.rows_held(TWO, "column_wise", 4) == 2000
    assert tables.rows_held(TWO, "row_wise", 4) == 500
    long = EmbeddingTables(count=1, rows=1_000_000, dim=8)
    wide = EmbeddingTables(count=1, rows=1000, dim=8000)
    assert tables.rows_held((long, wide), "table_wise", 2) == 1_000_000


def test_spread_data_parallel_every_row_is_touched() -> None:
    touched = 3 * 128 * 2 * 16 * 4
    assert moved_bytes(TWO, "table_wise", 4, 128) == touched
    assert moved_bytes(TWO, "data_parallel", 4, 128) == touched + 4 * 4 * 32000
