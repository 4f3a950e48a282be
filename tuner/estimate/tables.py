"""Embedding tables by the way they are spread: what a rank holds, moves and sends in a step.

The four ways are those of TorchRec and of `workloads.sharding`: Ivchenko et al., "TorchRec: a
PyTorch domain library for recommendation systems", RecSys 2022. Vectors travel in fp32.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.description import EmbeddingTables
from tuner.estimate.collectives import Kind

VALUE_BYTES = 4
ID_BYTES = 8
STRATEGIES = ("data_parallel", "table_wise", "row_wise", "column_wise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One collective of a step: its size is as `tuner.estimate.collectives` counts it."""

    kind: Kind
    num_bytes: float


def total_rows(tables: Sequence[EmbeddingTables]) -> int:
    return sum(t.count * t.rows for t in tables)


def total_values(tables: Sequence[EmbeddingTables]) -> int:
    return sum(t.count * t.rows * t.dim for t in tables)


def vector_bytes(tables: Sequence[EmbeddingTables]) -> float:
    """Pooled vectors of one sample, from all tables."""
    return VALUE_BYTES * sum(t.count * t.dim for t in tables)


def id_bytes(tables: Sequence[EmbeddingTables]) -> float:
    return ID_BYTES * sum(t.count * t.lookups_per_sample for t in tables)


def messages(
    tables: Sequence[EmbeddingTables], strategy: str, num_ranks: int, batch_per_rank: float
) -> list[Message]:
    """What a step sends for its embeddings.

    data_parallel  all-reduces the gradient of every row, touched or not
    table_wise     all-to-all of ids, of pooled vectors, and of their gradients
    column_wise    all-gathers ids; all-to-all of slices of vectors, and of their gradients
    row_wise       all-gathers ids, reduce-scatters partial vectors, all-gathers gradients
    """
    if num_ranks <= 1 or not tables:
        return []
    if strategy == "data_parallel":
        return [Message(kind="all_reduce", num_bytes=VALUE_BYTES * total_values(tables))]
    ids = batch_per_rank * id_bytes(tables)
    vectors = batch_per_rank * vector_bytes(tables)
    if strategy == "table_wise":
        return [Message(kind="all_to_all", num_bytes=size) for size in (ids, vectors, vectors)]
    asked = Message(kind="all_gather", num_bytes=num_ranks * ids)
    if strategy == "column_wise":
        return [asked, *[Message(kind="all_to_all", num_bytes=vectors)] * 2]
    return [
        asked,
        Message(kind="reduce_scatter", num_bytes=num_ranks * vectors),
        Message(kind="all_gather", num_bytes=num_ranks * vectors),
    ]


def moved_bytes(
    tables: Sequence[EmbeddingTables], strategy: str, num_ranks: int, batch_per_rank: float
) -> float:
    """Memory traffic of a rank: rows read forward, read and written backward; spread data-parallel
    it also reads and writes gradient, accumulators and values of every row."""
    looked_up = VALUE_BYTES * sum(t.count * t.lookups_per_sample * t.dim for t in tables)
    touched = 3 * batch_per_rank * looked_up
    if num_ranks > 1 and strategy == "data_parallel":
        touched += 4 * VALUE_BYTES * total_values(tables)
    return touched


def held_share(tables: Sequence[EmbeddingTables], strategy: str, num_ranks: int) -> float:
    """Share of all values that the fullest rank holds: 1 data-parallel; whole tables by
    longest-first dealing table-wise; 1/n of rows or columns otherwise."""
    if num_ranks <= 1 or strategy == "data_parallel" or not tables:
        return 1.0
    if strategy != "table_wise":
        return 1 / num_ranks
    return max(sum(t.rows * t.dim for t in held) for held in dealt(tables, num_ranks)) / (
        total_values(tables)
    )


def dealt(tables: Sequence[EmbeddingTables], num_ranks: int) -> list[list[EmbeddingTables]]:
    """Whole tables to ranks, the largest first to the emptiest."""
    ranks: list[list[EmbeddingTables]] = [[] for _ in range(num_ranks)]
    loads = [0] * num_ranks
    every = (t for t in tables for _ in range(t.count))
    for table in sorted(every, key=lambda t: -t.rows * t.dim):
        emptiest = loads.index(min(loads))
        ranks[emptiest].append(table)
        loads[emptiest] += table.rows * table.dim
    return ranks


def rows_held(tables: Sequence[EmbeddingTables], strategy: str, num_ranks: int) -> float:
    """Rows of which the fullest rank keeps an optimizer state; all of them column-wise, as every
    rank holds a slice of each row."""
    if strategy == "table_wise" and num_ranks > 1 and tables:
        return max(sum(t.rows for t in held) for held in dealt(tables, num_ranks))
    whole = strategy == "column_wise"
    return math.ceil(total_rows(tables) * (1 if whole else held_share(tables, strategy, num_ranks)))
