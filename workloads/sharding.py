"""Embedding tables spread over ranks in four ways, on plain collectives.

Each way looks up `[b, tables, dim]` for the rank's own samples, and takes back the gradient of
what it gave out. Gradients of all ranks add up, so a caller divides its loss by the global batch.
All four compute the same thing; they differ in what they keep, send and touch (W ranks):

    data_parallel  every rank has all rows;    sends the gradient of every row, touched or not
    table_wise     table t on rank t % W;      sends ids and vectors, each once
    row_wise       row r on rank r % W;        sends all ids to all, adds up partial vectors
    column_wise    a slice of every vector;    sends all ids to all, and slices of vectors

The optimizer is row-wise Adagrad: one accumulator per row, the mean square of its gradient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from workloads.common import World

_EPS = 1e-8
_ALL = slice(None)
_NONE = slice(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """What the tables are, however they are spread."""

    rows: Sequence[int]
    """Rows of each table."""
    dim: int
    lr: float
    seed: int
    device: torch.device


class Tables(Protocol):
    """All embedding tables, of which this rank may hold a part."""

    def lookup(self, ids: Tensor) -> Tensor:
        """[b, tables], a row of each table -> [b, tables, dim]."""
        ...

    def update(self, grad: Tensor) -> None:
        """Learns from [b, tables, dim], the gradient of the last lookup."""
        ...


class Rows:
    """The part of all tables that a rank holds, one below the other, and its optimizer.

    `parts` says which rows and columns of each table these are. A table's first values depend on
    nothing but its seed and number, so every way of spreading starts from the same model."""

    def __init__(self, spec: TableSpec, parts: Sequence[tuple[slice, slice]]) -> None:
        heights = [
            len(range(*rows.indices(size)))
            for size, (rows, _) in zip(spec.rows, parts, strict=True)
        ]
        width = len(range(*parts[0][1].indices(spec.dim)))
        starts = [0, *accumulate(heights)]
        self.weight = torch.empty(starts[-1], width, device=spec.device)
        for number, (start, height) in enumerate(zip(starts, heights, strict=False)):
            if height:
                self.weight[start : start + height] = _first_values(spec, number)[parts[number]]
        self.offsets = torch.tensor(starts[:-1], device=spec.device)
        self._squares = self.weight.new_zeros(len(self.weight))
        self._dim = spec.dim
        self._lr = spec.lr

    def update(self, ids: Tensor, grad: Tensor) -> None:
        """Learns from [n, width], the gradients of these n rows; a row may come more than once."""
        touched, place = torch.unique(ids, return_inverse=True)
        summed = grad.new_zeros(len(touched), grad.shape[1]).index_add_(0, place, grad)
        squares = self._squares[touched] + self._mean_square(summed)
        self._squares[touched] = squares
        step = summed.mul_((-self._lr / (squares.sqrt() + _EPS))[:, None])
        self.weight.index_add_(0, touched, step)

    def update_all(self, grad: Tensor) -> None:
        """Learns from a gradient for every row, which is overwritten."""
        self._squares += self._mean_square(grad)
        self.weight += grad.mul_((-self._lr / (self._squares.sqrt() + _EPS))[:, None])

    def _mean_square(self, grad: Tensor) -> Tensor:
        squares: Tensor = torch.linalg.vecdot(grad, grad)
        if grad.shape[1] < self._dim:
            dist.all_reduce(squares)  # the other ranks hold the other columns of the same rows
        return squares / self._dim


def _first_values(spec: TableSpec, number: int) -> Tensor:
    generator = torch.Generator(spec.device).manual_seed(spec.seed * 1_000 + number)
    table = torch.empty(spec.rows[number], spec.dim, device=spec.device)
    bound = spec.rows[number] ** -0.5
    return table.uniform_(-bound, bound, generator=generator)


class OneRank:
    """All rows, of which only the needed ones are touched."""

    def __init__(self, spec: TableSpec, world: World) -> None:
        self._rows = Rows(spec, [(_ALL, _ALL)] * len(spec.rows))
        self._ids = self._rows.offsets

    def lookup(self, ids: Tensor) -> Tensor:
        self._ids = ids + self._rows.offsets
        return self._rows.weight[self._ids]

    def update(self, grad: Tensor) -> None:
        self._rows.update(self._ids.flatten(), grad.flatten(0, 1))


class DataParallel(OneRank):
    """All rows on every rank; the gradient of all rows is added up over the ranks."""

    def __init__(self, spec: TableSpec, world: World) -> None:
        super().__init__(spec, world)
        self._grad = torch.empty_like(self._rows.weight)

    def update(self, grad: Tensor) -> None:
        self._grad.zero_().index_add_(0, self._ids.flatten(), grad.flatten(0, 1))
        dist.all_reduce(self._grad)
        self._rows.update_all(self._grad)


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
        self._ids = self._offsets

    def lookup(self, ids: Tensor) -> Tensor:
        b = len(ids)
        asked = self._to_owners(ids.T[self._order].flatten(), b)
        self._ids = (asked.view(-1, len(self._offsets), b) + self._offsets[:, None]).flatten()
        vectors = self._rows.weight[self._ids]
        found = vectors.new_empty(len(self._order) * b, vectors.shape[1])
        sent, received = self._splits(b)
        dist.all_to_all_single(found, vectors, received, sent)
        return found.view(-1, b, vectors.shape[1])[self._back].transpose(0, 1).contiguous()

    def update(self, grad: Tensor) -> None:
        by_table = grad.transpose(0, 1)[self._order].flatten(0, 1)
        self._rows.update(self._ids, self._to_owners(by_table, len(grad)))

    def _to_owners(self, values: Tensor, b: int) -> Tensor:
        sent, received = self._splits(b)
        arrived = values.new_empty(sum(sent), *values.shape[1:])
        dist.all_to_all_single(arrived, values, sent, received)
        return arrived

    def _splits(self, b: int) -> tuple[list[int], list[int]]:
        """What this rank sends to each rank when it answers, and what it receives then."""
        return [len(self._offsets) * b] * len(self._counts), [n * b for n in self._counts]


class RowWise:
    """Rows dealt out in turn; every rank looks at all samples and adds what it has."""

    def __init__(self, spec: TableSpec, world: World) -> None:
        self._world = world
        mine = slice(world.rank, None, world.world_size)
        self._rows = Rows(spec, [(mine, _ALL)] * len(spec.rows))
        self._ids = self._mine = self._rows.offsets

    def lookup(self, ids: Tensor) -> Tensor:
        asked = _gather(ids, self._world)
        self._mine = asked % self._world.world_size == self._world.rank
        self._ids = (asked // self._world.world_size + self._rows.offsets)[self._mine]
        width = self._rows.weight.shape[1]
        vectors = self._rows.weight.new_zeros(*asked.shape, width)
        vectors[self._mine] = self._rows.weight[self._ids]
        found = vectors.new_empty(*ids.shape, width)
        dist.reduce_scatter(found, list(vectors.chunk(self._world.world_size)))
        return found

    def update(self, grad: Tensor) -> None:
        self._rows.update(self._ids, _gather(grad, self._world)[self._mine])


class ColumnWise:
    """A slice of every vector; every rank looks up its slice for all samples."""

    def __init__(self, spec: TableSpec, world: World) -> None:
        self._world = world
        width = spec.dim // world.world_size
        mine = slice(world.rank * width, (world.rank + 1) * width)
        self._rows = Rows(spec, [(_ALL, mine)] * len(spec.rows))
        self._ids = self._rows.offsets

    def lookup(self, ids: Tensor) -> Tensor:
        self._ids = _gather(ids, self._world) + self._rows.offsets
        slices = self._rows.weight[self._ids]
        found = torch.empty_like(slices)
        dist.all_to_all_single(found, slices)
        by_rank = found.view(self._world.world_size, *ids.shape, -1)
        return by_rank.permute(1, 2, 0, 3).flatten(2)

    def update(self, grad: Tensor) -> None:
        b, tables, _ = grad.shape
        slices = grad.view(b, tables, self._world.world_size, -1).permute(2, 0, 1, 3).contiguous()
        arrived = torch.empty_like(slices)
        dist.all_to_all_single(arrived, slices)
        self._rows.update(self._ids.flatten(), arrived.flatten(0, 2))


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


def shard(strategy: str, spec: TableSpec, world: World) -> Tables:
    """Tables in the way of that name. One rank has nothing to spread, whatever the name."""
    if world.world_size == 1:
        return OneRank(spec, world)
    return STRATEGIES[strategy](spec, world)
