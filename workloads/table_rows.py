"""Rows of embedding tables on one rank: which part it holds, their first values, how they learn.

The optimizer is row-wise Adagrad: one accumulator per row, the mean square of its gradient. It
comes in three ways that compute the same thing:

    fused   sums the gradients of a row and updates it at once; no gradient of a table ever exists
    sparse  makes a sparse gradient of the tables, as `EmbeddingBag(sparse=True)` does, coalesces it
    dense   makes a gradient for every row, touched or not, and updates all rows
    auto    dense for tables that are spread data-parallel over several ranks, else fused
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.distributed as dist
from torch import Tensor

OPTIMIZERS = ("auto", "fused", "sparse", "dense")
_EPS = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """What the tables are, however they are spread."""

    rows: Sequence[int]
    """Rows of each table."""
    dim: int
    lr: float
    seed: int
    device: torch.device
    optimizer: str = "auto"
    numbers: Sequence[int] = ()
    """The number of each table among all of the model, where these are not all of them."""


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
        numbers = spec.numbers or range(len(spec.rows))
        for table, (start, height) in enumerate(zip(starts, heights, strict=False)):
            if height:
                first = first_values(spec, spec.rows[table], numbers[table])
                self.weight[start : start + height] = first[parts[table]]
        self.offsets = torch.tensor(starts[:-1], device=spec.device)
        self._squares = self.weight.new_zeros(len(self.weight))
        self._dim = spec.dim
        self._lr = spec.lr
        self._update = {
            "auto": self._update_fused,
            "fused": self._update_fused,
            "sparse": self._update_sparse,
            "dense": self._update_dense,
        }[spec.optimizer]

    def update(self, ids: Tensor, grad: Tensor) -> None:
        """Learns from [n, width], the gradients of these n rows; a row may come more than once."""
        self._update(ids, grad)

    def update_all(self, grad: Tensor) -> None:
        """Learns from a gradient for every row, which is overwritten."""
        self._squares += self._mean_square(grad)
        self.weight += grad.mul_((-self._lr / (self._squares.sqrt() + _EPS))[:, None])

    def _update_fused(self, ids: Tensor, grad: Tensor) -> None:
        touched, place = torch.unique(ids, return_inverse=True)
        summed = grad.new_zeros(len(touched), grad.shape[1]).index_add_(0, place, grad)
        self._update_touched(touched, summed)

    def _update_sparse(self, ids: Tensor, grad: Tensor) -> None:
        size = self.weight.shape
        gradient = torch.sparse_coo_tensor(ids[None], grad, size, check_invariants=False).coalesce()
        self._update_touched(gradient.indices()[0], gradient.values())

    def _update_dense(self, ids: Tensor, grad: Tensor) -> None:
        self.update_all(torch.zeros_like(self.weight).index_add_(0, ids, grad))

    def _update_touched(self, touched: Tensor, summed: Tensor) -> None:
        squares = self._squares[touched] + self._mean_square(summed)
        self._squares[touched] = squares
        step = summed.mul_((-self._lr / (squares.sqrt() + _EPS))[:, None])
        self.weight.index_add_(0, touched, step)

    def _mean_square(self, grad: Tensor) -> Tensor:
        squares: Tensor = torch.linalg.vecdot(grad, grad)
        if grad.shape[1] < self._dim:
            dist.all_reduce(squares)  # the other ranks hold the other columns of the same rows
        return squares / self._dim


def first_values(spec: TableSpec, rows: int, number: int) -> Tensor:
    """[rows, dim], what the table of that number begins with."""
    generator = torch.Generator(spec.device).manual_seed(spec.seed * 1_000 + number)
    table = torch.empty(rows, spec.dim, device=spec.device)
    bound = rows**-0.5
    return table.uniform_(-bound, bound, generator=generator)
