"""What a job file may tell about the work itself, so that it can be estimated without a trial."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

_CONFIG: dict[str, object] = {"extra": "forbid", "use_attribute_docstrings": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingTables:
    """Embedding tables of one shape."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    rows: int
    """Rows of each."""
    dim: int
    """Values of a row."""
    count: int = 1
    """How many tables are like that."""
    lookups_per_sample: float = 1.0
    """Rows of each table that a sample looks up; they are pooled into one vector."""

    def __post_init__(self) -> None:
        if min(self.rows, self.dim, self.count) < 1:
            raise ValueError("rows, dim and count must be at least 1")
        _check(self, "lookups_per_sample")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a rank computes on, and the links between ranks. What is left out is taken from the data
    sheet of the GPU where its name is known, else it is a rough default."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    gpu: str | None = None
    """Name of the GPU (`H100`); without one ranks compute on cores."""
    peak_gflops: float | None = None
    """Peak of one GPU, or of one core, in billions of operations per second at the job's own
    precision."""
    memory_gb_per_s: float | None = None
    """Memory bandwidth of one GPU, or that of one core."""
    memory_gib: float | None = None
    """Memory of one GPU; without a GPU that of the whole computer, in GiB."""
    link_gb_per_s: float | None = None
    """Bandwidth of a node to the others, one way, in 10^9 bytes per second."""
    node_link_gb_per_s: float | None = None
    """The same between the ranks of one node (NVLink, PCIe)."""
    link_latency_us: float | None = None
    """Time of the smallest message between two ranks, in microseconds."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if name != "gpu" and getattr(self, name) is not None:
                _check(self, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The work of a sample and the size of the model; what is left out counts as nothing. The batch
    is read from the parameter `global_batch_size`, or from `workload.log.samples_per_step`."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    flops_per_sample: float = 0.0
    """Operations of a sample, forward and backward: about 6 for each dense parameter of an MLP."""
    dense_parameters: int = 0
    """Parameters that every rank holds, embedding tables left out."""
    tables: tuple[EmbeddingTables, ...] = ()
    """Embedding tables, spread as the parameter `shard_strategy` says."""
    activation_bytes_per_sample: float = 0.0
    """What the forward pass keeps for the backward pass, in fp32."""
    loader_s_per_sample: float = 0.0
    """Time in which one loader worker makes a sample."""
    optimizer_values_per_parameter: float = 1.0
    """State of the optimizer: 0 for SGD, 1 for Adagrad or momentum, 2 for Adam."""
    optimizer_values_per_row: float = 1.0
    """The same for each row of a table: 1 for row-wise Adagrad, `dim` for Adagrad."""
    process_gib: float = 0.0
    """Memory that a rank takes before the model is there: Python, torch, the data."""
    hardware: Hardware = field(default_factory=Hardware)

    def __post_init__(self) -> None:
        names = set(self.__slots__) - {"tables", "hardware"}
        for name in sorted(names):
            _check(self, name, can_be_zero=True)


def _check(owner: object, name: str, *, can_be_zero: bool = False) -> None:
    value = getattr(owner, name)
    if not (math.isfinite(value) and (value > 0 or (can_be_zero and value == 0))):
        raise ValueError(f"{name} must be a number above 0, not {value}")
