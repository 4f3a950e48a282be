"""What the estimate reads from a configuration: ranks, batch, strategy, precision, workers."""

from collections.abc import Mapping
from dataclasses import dataclass

from tuner import expression
from tuner.expression import Value
from tuner.space import Params
from tuner.spec import JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The sizes of a run."""

    nodes: int
    ranks_per_node: int
    global_batch: float
    strategy: str = "data_parallel"
    precision: str = "fp32"
    loader_workers: int = 0
    """Per rank; 0: the rank makes its batches itself."""
    threads: int = 1
    """Cores of a rank."""

    @property
    def ranks(self) -> int:
        return self.nodes * self.ranks_per_node

    @property
    def batch_per_rank(self) -> float:
        return self.global_batch / self.ranks


def configuration_of(spec: JobSpec, params: Params) -> Configuration:
    """By the names that Trimtab's own workloads use: `nnodes`, `nproc_per_node`,
    `global_batch_size` (or what `workload.log.samples_per_step` says), `shard_strategy`,
    `precision`, `loader_workers`, `threads_per_rank`."""
    known: Mapping[str, Value] = {**spec.workload.args, **params}
    ranks = _whole(known, "nproc_per_node", spec.workload.nproc_per_node)
    return Configuration(
        nodes=_whole(known, "nnodes", 1),
        ranks_per_node=ranks,
        global_batch=_batch(spec, known),
        strategy=str(known.get("shard_strategy", "data_parallel")),
        precision=str(known.get("precision", "fp32")),
        loader_workers=_whole(known, "loader_workers", 0),
        threads=_whole(
            known, "threads_per_rank", (spec.resources.cores_per_node or 1) // ranks or 1
        ),
    )


def _whole(known: Mapping[str, Value], name: str, default: int) -> int:
    value = known.get(name, default)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _batch(spec: JobSpec, known: Mapping[str, Value]) -> float:
    counted = spec.workload.log.samples_per_step
    value = expression.evaluate(counted, known) if counted else known.get("global_batch_size", 1)
    return float(value) if isinstance(value, int | float) and value > 0 else 1.0
