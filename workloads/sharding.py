"""Embedding tables spread over ranks in four ways or a mix of them, on plain collectives.

A rank asks for the rows of its own samples, looks up `[b, tables, dim]`, and takes back the
gradient of what it gave out. Asking only sends ids, so those of the next batch may travel while
this one is worked on. Gradients of all ranks add up, so a caller divides its loss by the global
batch. All ways compute the same thing; they differ in what they keep, send and touch (W ranks):

    data_parallel  every rank has all rows;    sends the gradient of every row, touched or not,
                                               or with a fused or sparse optimizer ids and
                                               gradients of all samples to all
    table_wise     table t on rank t % W;      sends ids and vectors, each once
    row_wise       row r on rank r % W;        sends all ids to all, adds up partial vectors
    column_wise    a slice of every vector;    sends all ids to all, and slices of vectors
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from workloads.common import World
from workloads.table_rows import Rows, TableSpec

_ALL = slice(None)
_NONE = slice(0, 0)


@dataclass(slots=True, kw_only=True)
class Asked:
    """Ids on their way to whoever holds their rows, and what became of them."""

    ids: Tensor
    """[b, tables], of this rank's own samples."""
    received: Tensor
    """Of all samples that this rank answers; complete once `sending` has ended."""
    sending: dist.Work | None = None
    rows: Tensor = field(default_factory=lambda: torch.empty(0))
    """Rows that were looked up here, to be updated."""
    mine: Tensor = field(default_factory=lambda: torch.empty(0))
    """Which of the received ids they belong to, where it is not all of them."""
    parts: "tuple[Asked, ...]" = ()
    """Of a mix, one of each way."""

    def arrived(self) -> Tensor:
        if self.sending is not None:
            self.sending.wait()
            self.sending = None
        return self.received


class Tables(Protocol):
    """All embedding tables, of which this rank may hold a part."""

    def ask(self, ids: Tensor) -> Asked:
        """[b, tables], a row of each table; begins to send it and does not wait."""
        ...

    def lookup(self, asked: Asked) -> Tensor:
        """-> [b, tables, dim]."""
        ...

    def update(self, asked: Asked, grad: Tensor) -> None:
        """Learns from [b, tables, dim], the gradient of what was looked up."""
        ...


class OneRank:
    """All rows on this rank."""

    def __init__(self, spec: TableSpec, world: World) -> None:
        self._rows = Rows(spec, [(_ALL, _ALL)] * len(spec.rows))

    def ask(self, ids: Tensor) -> Asked:
        return Asked(ids=ids, received=ids)

    def lookup(self, asked: Asked) -> Tensor:
        asked.rows = asked.ids + self._rows.offsets
        return self._rows.weight[asked.rows]

    def update(self, asked: Asked, grad: Tensor) -> None:
        self._rows.update(asked.rows.flatten(), grad.flatten(0, 1))


class DataParallel(OneRank):
    """All rows on every rank; the gradient of all rows is added up over the ranks."""

    def __init__(self, spec: TableSpec, world: World) -> None:
        super().__init__(spec, world)
        self._grad = torch.empty_like(self._rows.weight)

    def update(self, asked: Asked, grad: Tensor) -> None:
        self._grad.zero_().index_add_(0, asked.rows.flatten(), grad.flatten(0, 1))
        dist.all_reduce(self._grad)
        self._rows.update_all(self._grad)


class TouchedDataParallel(OneRank):
    """All rows on every rank; every rank learns from the samples of all, row by row."""

    def __init__(self, spec: TableSpec, world: World) -> None:
        super().__init__(spec, world)
        self._world = world

    def ask(self, ids: Tensor) -> Asked:
        return _ask_all(ids, self._world)

    def update(self, asked: Asked, grad: Tensor) -> None:
        rows = asked.arrived() + self._rows.offsets
        self._rows.update(rows.flatten(), _gather(grad, self._world).flatten(0, 1))


class TableWise:
    """Whole tables, dealt out in turn; ids travel to the table and its vectors travel back."""

    def __init__(self, spec: TableSpec, world: World) -> None:
        numbers, size = range(len(spec.rows)), world.world_size
        by_owner = [[n for n in numbers if n % size == rank] for rank in range(size)]
        order = [number for owned in by_owner for number in owned]
        mine = [(_ALL if n % size == world.rank else _NONE, _ALL) for n in numbers]
        self._rows = Rows(spec, mine)
        self._offsets = self._rows.offsets[by_owner[world.rank]]
        self._order = torch.tensor(order, device=spec.device)
        self._back = self._order.argsort()
        self._counts = [len(owned) for owned in by_owner]

    def ask(self, ids: Tensor) -> Asked:
        sent, received = self._splits(len(ids))
        by_table = ids.T[self._order].flatten()
        arrived = by_table.new_empty(sum(sent))
        sending = dist.all_to_all_single(arrived, by_table, sent, received, async_op=True)
        return Asked(ids=ids, received=arrived, sending=sending)

    def lookup(self, asked: Asked) -> Tensor:
        b = len(asked.ids)
        by_rank = asked.arrived().view(len(self._counts), len(self._offsets), b)
        asked.rows = (by_rank + self._offsets[:, None]).flatten()
        vectors = self._rows.weight[asked.rows]
        found = vectors.new_empty(len(self._order) * b, vectors.shape[1])
        sent, received = self._splits(b)
        dist.all_to_all_single(found, vectors, received, sent)
        return found.view(-1, b, vectors.shape[1])[self._back].transpose(0, 1).contiguous()

    def update(self, asked: Asked, grad: Tensor) -> None:
        by_table = grad.transpose(0, 1)[self._order].flatten(0, 1)
        sent, received = self._splits(len(grad))
        arrived = by_table.new_empty(sum(sent), by_table.shape[1])
        dist.all_to_all_single(arrived, by_table, sent, received)
        self._rows.update(asked.rows, arrived)

    def _splits(self, b: int) -> tuple[list[int], list[int]]:
        """What this rank sends to each rank when it answers, and what it receives then."""
        return [len(self._offsets) * b] * len(self._counts), [n * b for n in self._counts]


class RowWise:
    """Rows dealt out in turn; every rank looks at all samples and adds what it has."""

    def __init__(self, spec: TableSpec, world: World) -> None:
        self._world = world
        mine = slice(world.rank, None, world.world_size)
        self._rows = Rows(spec, [(mine, _ALL)] * len(spec.rows))

    def ask(self, ids: Tensor) -> Asked:
        return _ask_all(ids, self._world)

    def lookup(self, asked: Asked) -> Tensor:
        ids, size = asked.arrived(), self._world.world_size
        asked.mine = ids % size == self._world.rank
        asked.rows = (ids // size + self._rows.offsets)[asked.mine]
        width = self._rows.weight.shape[1]
        vectors = self._rows.weight.new_zeros(*ids.shape, width)
        vectors[asked.mine] = self._rows.weight[asked.rows]
        found = vectors.new_empty(*asked.ids.shape, width)
        dist.reduce_scatter(found, list(vectors.chunk(size)))
        return found

    def update(self, asked: Asked, grad: Tensor) -> None:
        self._rows.update(asked.rows, _gather(grad, self._world)[asked.mine])


class ColumnWise:
    """A slice of every vector; every rank looks up its slice for all samples."""

    def __init__(self, spec: TableSpec, world: World) -> None:
        self._world = world
        width = spec.dim // world.world_size
        mine = slice(world.rank * width, (world.rank + 1) * width)
        self._rows = Rows(spec, [(_ALL, mine)] * len(spec.rows))

    def ask(self, ids: Tensor) -> Asked:
        return _ask_all(ids, self._world)

    def lookup(self, asked: Asked) -> Tensor:
        asked.rows = asked.arrived() + self._rows.offsets
        slices = self._rows.weight[asked.rows]
        found = torch.empty_like(slices)
        dist.all_to_all_single(found, slices)
        by_rank = found.view(self._world.world_size, *asked.ids.shape, -1)
        return by_rank.permute(1, 2, 0, 3).flatten(2)

    def update(self, asked: Asked, grad: Tensor) -> None:
        b, tables, _ = grad.shape
        slices = grad.view(b, tables, self._world.world_size, -1).permute(2, 0, 1, 3).contiguous()
        arrived = torch.empty_like(slices)
        dist.all_to_all_single(arrived, slices)
        self._rows.update(asked.rows.flatten(), arrived.flatten(0, 2))


class Mixed:
    """Each table in a way of its own; tables of the same way are spread together."""

    def __init__(self, plan: Sequence[str], spec: TableSpec, world: World) -> None:
        self._dim = spec.dim
        ways = sorted(set(plan))
        self._numbers = [
            torch.tensor([n for n, way in enumerate(plan) if way == wanted], device=spec.device)
            for wanted in ways
        ]
        self._groups = [
            _spread(way, replace(spec, rows=_at(spec.rows, numbers), numbers=numbers), world)
            for way, numbers in zip(ways, (group.tolist() for group in self._numbers), strict=True)
        ]

    def ask(self, ids: Tensor) -> Asked:
        groups = zip(self._groups, self._numbers, strict=True)
        parts = tuple(group.ask(ids[:, numbers].contiguous()) for group, numbers in groups)
        return Asked(ids=ids, received=ids, parts=parts)

    def lookup(self, asked: Asked) -> Tensor:
        found = torch.empty(*asked.ids.shape, self._dim, device=asked.ids.device)
        for group, numbers, part in zip(self._groups, self._numbers, asked.parts, strict=True):
            found[:, numbers] = group.lookup(part)
        return found

    def update(self, asked: Asked, grad: Tensor) -> None:
        for group, numbers, part in zip(self._groups, self._numbers, asked.parts, strict=True):
            group.update(part, grad[:, numbers].contiguous())


def _at(rows: Sequence[int], numbers: Sequence[int]) -> list[int]:
    return [rows[number] for number in numbers]


def _ask_all(ids: Tensor, world: World) -> Asked:
    """Begins to send every rank's ids to every rank."""
    received = ids.new_empty(world.world_size * len(ids), *ids.shape[1:])
    into = list(received.chunk(world.world_size))
    sending = dist.all_gather(into, ids.contiguous(), async_op=True)
    return Asked(ids=ids, received=received, sending=sending)


def _gather(values: Tensor, world: World) -> Tensor:
    """[b, ...] of each rank -> [W * b, ...] on every rank."""
    gathered = values.new_empty(world.world_size * len(values), *values.shape[1:])
    dist.all_gather(list(gathered.chunk(world.world_size)), values.contiguous())
    return gathered


STRATEGIES: dict[str, Callable[[TableSpec, World], Tables]] = {
    "data_parallel": DataParallel,
    "table_wise": TableWise,
    "row_wise": RowWise,
    "column_wise": ColumnWise,
}


def _spread(strategy: str, spec: TableSpec, world: World) -> Tables:
    if strategy == "data_parallel" and spec.optimizer in ("fused", "sparse"):
        return TouchedDataParallel(spec, world)
    return STRATEGIES[strategy](spec, world)


def shard(plan: Sequence[str], spec: TableSpec, world: World) -> Tables:
    """Each table in the way that the plan names. One rank has nothing to spread."""
    if world.world_size == 1:
        return OneRank(spec, world)
    if len(set(plan)) == 1:
        return _spread(plan[0], spec, world)
    return Mixed(plan, spec, world)
