"""TorchRec's planner, driven: which ways it may choose from, on what topology, how far it is off.

It needs the extra `torchrec`. Times of the planner are in milliseconds, ours in seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import distributed as dist
from torch import nn
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.planner import EmbeddingShardingPlanner, ParameterConstraints, Topology
from torchrec.distributed.planner.enumerators import EmbeddingEnumerator
from torchrec.distributed.planner.shard_estimators import (
    EmbeddingPerfEstimator,
    EmbeddingStorageEstimator,
)
from torchrec.distributed.planner.types import ShardingOption, Stats
from torchrec.distributed.types import ShardingPlan

from workloads.common import World
from workloads.torchrec_calibration import SHARDING_TYPES, factor_of

_GB_PER_S = 1e9 / 1000
"""In the planner's bytes per millisecond."""
_NARROWEST = 4


class AnySharder(EmbeddingBagCollectionSharder):  # type: ignore[misc]
    """Offers all ways also on a CPU. TorchRec leaves out those that need reduce_scatter there,
    which gloo did not have."""

    def sharding_types(self, compute_device_type: str) -> list[str]:
        return list(SHARDING_TYPES)


class CalibratedEstimator(EmbeddingPerfEstimator):  # type: ignore[misc]
    """The planner's estimates, multiplied by a factor for each sharding type."""

    def __init__(
        self,
        topology: Topology,
        constraints: Mapping[str, ParameterConstraints] | None,
        factors: Mapping[str, float],
    ) -> None:
        super().__init__(topology, constraints)
        self._factors = factors

    def estimate(self, sharding_options: list[ShardingOption], sharder_data_map: object) -> None:
        super().estimate(sharding_options, sharder_data_map)
        for option in sharding_options:
            for shard in option.shards:
                scale(shard.perf, factor_of(option.sharding_type, self._factors))


def scale(perf: object, factor: float) -> None:
    """Every part of an estimate by the same factor, so that its total is too."""
    for name, value in vars(perf).items():
        setattr(perf, name, value * factor)


@dataclass(slots=True, kw_only=True)
class Planned:
    """What a plan does with the tables, and how long its planner thinks that takes."""

    by_type_s: dict[str, float] = field(default_factory=dict)
    """Of the slowest rank, without calibration."""
    total_s: float = 0.0
    """Of the slowest rank, with calibration."""
    tables: dict[str, int] = field(default_factory=dict)
    """How many are spread each way."""


class Note(Stats):  # type: ignore[misc]
    """Takes down what the planner has chosen; it is told on the rank that plans."""

    def __init__(self, factors: Mapping[str, float]) -> None:
        self.planned = Planned()
        self._factors = factors

    def log(self, *, best_plan: Sequence[ShardingOption], **other: object) -> None:
        self.planned = planned(best_plan, self._factors)


def planned(options: Sequence[ShardingOption], factors: Mapping[str, float]) -> Planned:
    by_rank: dict[int, dict[str, float]] = {}
    tables: dict[str, int] = {}
    for option in options:
        name = option.sharding_type
        tables[name] = tables.get(name, 0) + 1
        for shard in option.shards:
            costs = by_rank.setdefault(shard.rank or 0, {})
            costs[name] = costs.get(name, 0.0) + shard.perf.total / 1000
    slowest = max(by_rank.values(), key=lambda costs: sum(costs.values()))
    by_type_s = {name: cost / factor_of(name, factors) for name, cost in slowest.items()}
    return Planned(by_type_s=by_type_s, total_s=sum(slowest.values()), tables=tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the planner is given."""

    types: Sequence[Sequence[str]] | None
    """Those that each table may be spread by; None: whatever TorchRec offers by itself."""
    batch_per_rank: int
    dim: int
    device: str
    ddr_gb_per_s: float | None
    intra_host_gb_per_s: float | None
    inter_host_gb_per_s: float | None
    factors: Mapping[str, float]


def make_topology(wish: Wish, world: World) -> Topology:
    bandwidths = {
        "ddr_mem_bw": wish.ddr_gb_per_s,
        "intra_host_bw": wish.intra_host_gb_per_s,
        "inter_host_bw": wish.inter_host_gb_per_s,
    }
    given = {name: value * _GB_PER_S for name, value in bandwidths.items() if value is not None}
    return Topology(
        world_size=world.world_size,
        compute_device=wish.device,
        local_world_size=world.local_world_size,
        **given,
    )


def make_constraints(wish: Wish, world: World) -> dict[str, ParameterConstraints] | None:
    """Columns may be cut to as many slices as there are ranks, but not thinner than 4.

    A grid cuts columns over nodes only: within a node TorchRec cannot keep the state of a row-wise
    optimizer for it, so that among several ways it is offered where there are nodes."""
    if wish.types is None:
        return None
    nodes = world.world_size // world.local_world_size
    slices = {name: nodes if name == "grid_shard" else world.world_size for name in SHARDING_TYPES}
    constraints = {}
    for number, types in enumerate(wish.types):
        kept = [name for name in types if len(types) == 1 or nodes > 1 or name != "grid_shard"]
        most = min(slices[name] for name in kept)
        constraints[f"t{number}"] = ParameterConstraints(
            sharding_types=kept, min_partition=max(_NARROWEST, wish.dim // most)
        )
    return constraints


def make_plan(
    model: nn.Module, sharder: EmbeddingBagCollectionSharder, wish: Wish, world: World
) -> tuple[ShardingPlan, Planned]:
    """The plan of all ranks; what is planned is known on rank 0 only.

    Raises torchrec's PlannerError where nothing fits, and RuntimeError where no way is left."""
    topology, constraints = make_topology(wish, world), make_constraints(wish, world)
    note = Note(wish.factors)
    estimators = [
        CalibratedEstimator(topology, constraints, wish.factors),
        EmbeddingStorageEstimator(topology=topology, constraints=constraints),
    ]
    planner = EmbeddingShardingPlanner(
        topology=topology,
        batch_size=wish.batch_per_rank,
        enumerator=EmbeddingEnumerator(
            topology=topology,
            batch_size=wish.batch_per_rank,
            constraints=constraints,
            estimator=estimators,
        ),
        constraints=constraints,
        stats=note,
    )
    plan = planner.collective_plan(model, [sharder], dist.GroupMember.WORLD)
    return plan, note.planned
