"""Memory of a rank by what fills it, and what cannot fit, in words.

Counting of states as in Rajbhandari et al., "ZeRO: memory optimizations toward training trillion
parameter models", SC 2020: values times bytes for parameters, gradients and optimizer.
"""

from dataclasses import dataclass, fields

from tuner.description import Description
from tuner.estimate import tables
from tuner.estimate.configuration import Configuration

GIB = 2**30
PREFETCH = 2
"""Batches that torch's DataLoader keeps ahead for each worker."""
_WEIGHT_BYTES = {"pure_bf16": 2}
"""Autocast keeps parameters in fp32; only a model that is converted holds them in 16 bits."""
_ACTIVATION_SHARE = {"bf16": 0.5, "fp16": 0.5, "pure_bf16": 0.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class RankMemory:
    """GiB of one rank, the fullest."""

    process: float = 0.0
    tables: float = 0.0
    parameters: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    buffers: float = 0.0
    """Batches ahead, and vectors that are sent or received."""

    @property
    def total_gib(self) -> float:
        return float(sum(getattr(self, field.name) for field in fields(self)))

    def words(self) -> str:
        """`tables 12.0 GiB + optimizer 24.0 GiB`, the parts that count."""
        parts = [(field.name, float(getattr(self, field.name))) for field in fields(self)]
        shown = [(name, gib) for name, gib in parts if gib >= max(0.05, self.total_gib / 100)]
        return " + ".join(f"{name} {gib:.1f} GiB" for name, gib in shown or parts[:1])


def rank_memory(work: Description, run: Configuration) -> RankMemory:
    """Parameters, gradients, optimizer state, activations and buffers of the fullest rank."""
    weight_bytes = _WEIGHT_BYTES.get(run.precision, 4)
    weights = work.dense_parameters * weight_bytes
    values = tables.total_values(work.tables) * tables.VALUE_BYTES
    vectors = run.batch_per_rank * tables.vector_bytes(work.tables)
    is_dense = run.ranks > 1 and run.strategy == "data_parallel"
    ids = run.batch_per_rank * tables.id_bytes(work.tables)
    activations = run.batch_per_rank * work.activation_bytes_per_sample
    return RankMemory(
        process=work.process_gib,
        tables=values * tables.held_share(work.tables, run.strategy, run.ranks) / GIB,
        parameters=weights / GIB,
        gradients=(weights + (values if is_dense else vectors)) / GIB,
        optimizer=_states(work, run) * tables.VALUE_BYTES / GIB,
        activations=activations * _ACTIVATION_SHARE.get(run.precision, 1.0) / GIB,
        buffers=(2 * vectors + (1 + PREFETCH * run.loader_workers) * ids) / GIB,
    )


def _states(work: Description, run: Configuration) -> float:
    """Values that the optimizer keeps."""
    rows = tables.rows_held(work.tables, run.strategy, run.ranks)
    dense = work.dense_parameters * work.optimizer_values_per_parameter
    return dense + rows * work.optimizer_values_per_row


def does_not_fit(memory: RankMemory, room_gib: float, ranks_sharing: int) -> str | None:
    """The sum in words where ranks that share a memory need more than it has; else None."""
    needed = memory.total_gib * ranks_sharing
    if needed <= room_gib:
        return None
    each = f"{ranks_sharing} x ({memory.words()})" if ranks_sharing > 1 else memory.words()
    summed = f"{each} = {needed:.1f} GiB" if each.count("GiB") > 1 or ranks_sharing > 1 else each
    return f"{summed} > {room_gib:.1f} GiB"
