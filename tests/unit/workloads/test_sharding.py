"""Embedding tables: which part a rank holds, and how rows learn."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from workloads.common import World
from workloads.sharding import OneRank, shard
from workloads.table_rows import Rows, TableSpec

ALL = slice(None)
SIZES = (5, 8, 3)


def make_spec(dim: int = 4, seed: int = 0) -> TableSpec:
    return TableSpec(rows=SIZES, dim=dim, lr=0.1, seed=seed, device=torch.device("cpu"))


def whole(seed: int = 0) -> Tensor:
    return Rows(make_spec(seed=seed), [(ALL, ALL)] * len(SIZES)).weight


def test_a_lookup_takes_the_row_of_each_table() -> None:
    tables = OneRank(make_spec(), World())
    found = tables.lookup(tables.ask(torch.tensor([[4, 0, 2], [0, 7, 1]])))
    first, second, third = whole().split(SIZES)  # type: ignore[no-untyped-call]
    assert torch.equal(found[0], torch.stack([first[4], second[0], third[2]]))
    assert torch.equal(found[1], torch.stack([first[0], second[7], third[1]]))


@pytest.mark.parametrize("world_size", [2, 3])
def test_rows_of_all_ranks_make_the_whole_tables(world_size: int) -> None:
    expected = whole().split(SIZES)  # type: ignore[no-untyped-call]
    for rank in range(world_size):
        rows = Rows(make_spec(), [(slice(rank, None, world_size), ALL)] * len(SIZES))
        mine = torch.cat([table[rank::world_size] for table in expected])
        assert torch.equal(rows.weight, mine)
        heights = [len(table[rank::world_size]) for table in expected]
        assert rows.offsets.tolist() == [0, heights[0], heights[0] + heights[1]]


def test_columns_of_all_ranks_make_the_whole_tables() -> None:
    halves = [Rows(make_spec(), [(ALL, slice(a, a + 2))] * len(SIZES)).weight for a in (0, 2)]
    assert torch.equal(torch.cat(halves, dim=1), whole())


def test_a_table_left_out_takes_no_memory() -> None:
    rows = Rows(make_spec(), [(slice(0, 0), ALL), (ALL, ALL), (slice(0, 0), ALL)])
    assert torch.equal(rows.weight, whole()[5:13])
    assert rows.offsets.tolist() == [0, 0, 8]


def test_first_values_follow_the_seed() -> None:
    assert torch.equal(whole(seed=1), whole(seed=1))
    assert not torch.equal(whole(seed=1), whole(seed=2))


def test_a_row_learns_from_the_sum_of_its_gradients() -> None:
    """Row-wise Adagrad, written out for one row that comes twice."""
    rows = Rows(make_spec(), [(ALL, ALL)] * len(SIZES))
    before = rows.weight.clone()
    grad = torch.tensor([[1.0, 0.0, 0.0, 2.0], [1.0, 0.0, 2.0, 0.0], [0.0, 3.0, 0.0, 0.0]])
    rows.update(torch.tensor([6, 6, 2]), grad)
    summed = grad[0] + grad[1]
    accumulator = summed.square().mean()
    assert torch.allclose(rows.weight[6], before[6] - 0.1 * summed / accumulator.sqrt())
    rows.update(torch.tensor([6]), grad[:1])
    accumulator += grad[0].square().mean()
    first = before[6] - 0.1 * summed / summed.square().mean().sqrt()
    assert torch.allclose(rows.weight[6], first - 0.1 * grad[0] / accumulator.sqrt())
    untouched = torch.ones(len(before), dtype=torch.bool)
    untouched[[2, 6]] = False
    assert torch.equal(rows.weight[untouched], before[untouched])


def test_a_gradient_for_all_rows_does_the_same_as_one_for_the_touched() -> None:
    some, every = (Rows(make_spec(), [(ALL, ALL)] * len(SIZES)) for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        ids = torch.randint(0, sum(SIZES), (6,), generator=generator)
        grad = torch.randn(6, 4, generator=generator)
        some.update(ids, grad)
        every.update_all(torch.zeros(sum(SIZES), 4).index_add_(0, ids, grad))
    assert torch.allclose(some.weight, every.weight, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["auto", "sparse", "dense"])
def test_optimizers_do_the_same(optimizer: str) -> None:
    everything = [(ALL, ALL)] * len(SIZES)
    fused, other = (
        Rows(replace(make_spec(), optimizer=name), everything) for name in ("fused", optimizer)
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        ids = torch.randint(0, sum(SIZES), (6,), generator=generator)
        grad = torch.randn(6, 4, generator=generator)
        fused.update(ids, grad)
        other.update(ids, grad)
    assert not torch.equal(fused.weight, whole())
    assert torch.allclose(fused.weight, other.weight, atol=1e-6)


def test_a_table_begins_the_same_in_any_group() -> None:
    spec = replace(make_spec(), rows=[3, 5], numbers=[2, 0])
    rows = Rows(spec, [(ALL, ALL)] * 2)
    assert torch.equal(rows.weight, torch.cat([whole()[13:], whole()[:5]]))


@pytest.mark.parametrize(
    "plan", [["table_wise"] * 3, ["row_wise"] * 3, ["data_parallel", "table_wise", "column_wise"]]
)
def test_one_rank_has_nothing_to_spread(plan: list[str]) -> None:
    assert type(shard(plan, make_spec(), World())) is OneRank
