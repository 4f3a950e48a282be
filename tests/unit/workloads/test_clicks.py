"""Click data of either kind: a rank's share, loading ahead, quality on the test set."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from workloads import clicks, movielens, synthetic
from workloads.clicks import Clicks, Share, load_batches
from workloads.common import World
from workloads.movielens import Batch, MovieLensClicks, Span
from workloads.synthetic import Synthetic


def make_clicks(kind: str) -> Clicks:
    if kind == "movielens":
        rows = movielens.table_rows(1.0)
        return MovieLensClicks(data=movielens.load(), rows=rows, seed=0)
    return Synthetic(rows=synthetic.table_rows(0.001, 1000), zipf_exponent=1.05, seed=0)


def slow_auc(score: list[float], label: list[int]) -> float:
    """By its definition: how often a positive is above a negative, a tie counting half."""
    positive = [s for s, y in zip(score, label, strict=True) if y]
    negative = [s for s, y in zip(score, label, strict=True) if not y]
    wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
    return wins / (len(positive) * len(negative))


@pytest.mark.parametrize("levels", [3, 10, 100_000])
def test_auc_is_exact_with_ties(levels: int) -> None:
    generator = torch.Generator().manual_seed(levels)
    score = torch.randint(0, levels, (200,), generator=generator).float()
    label = torch.randint(0, 2, (200,), generator=generator).float()
    expected = slow_auc(score.tolist(), [int(y) for y in label.tolist()])
    assert clicks.auc(score, label) == pytest.approx(expected, abs=1e-12)


def test_auc_of_perfect_reversed_and_constant_scores() -> None:
    label = torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert clicks.auc(torch.tensor([1.0, 2.0, 3.0, 4.0]), label) == 1.0
    assert clicks.auc(torch.tensor([4.0, 3.0, 2.0, 1.0]), label) == 0.0
    assert clicks.auc(torch.zeros(4), label) == 0.5


def test_auc_of_one_class_is_no_number() -> None:
    assert math.isnan(clicks.auc(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])))


@pytest.mark.parametrize("world_size", [2, 4])
@pytest.mark.parametrize("kind", ["movielens", "synthetic"])
def test_the_shares_of_all_ranks_make_the_global_batch(kind: str, world_size: int) -> None:
    data = make_clicks(kind)
    whole = Share(data, World())[(64, 128)]
    worlds = [World(rank=rank, world_size=world_size) for rank in range(world_size)]
    shares = [Share(data, world)[(64, 128)] for world in worlds]
    for part, parts in zip(whole, zip(*shares, strict=True), strict=True):
        assert torch.equal(torch.cat(parts), part)


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_batches_made_ahead_are_the_same_in_the_same_order(prefetch: int) -> None:
    share = Share(make_clicks("synthetic"), World())
    spans = [(start, start + 8) for start in range(0, 40, 8)]
    found = list(load_batches(share, spans, 0, prefetch, False))
    assert len(found) == 5
    for span, batch in zip(spans, found, strict=True):
        assert torch.equal(batch.ids, share[span].ids)


def test_no_more_batches_than_asked_for_are_made_ahead() -> None:
    asked: list[int] = []

    def endless() -> Iterator[Span]:
        start = 0
        while True:
            asked.append(start)
            yield start, start + 8
            start += 8

    batches = load_batches(Share(make_clicks("synthetic"), World()), endless(), 0, 2, False)
    assert len(next(batches).label) == 8
    assert len(asked) <= 3


@pytest.mark.parametrize("kind", ["movielens", "synthetic"])
def test_quality_is_that_of_the_whole_test_set(kind: str) -> None:
    data = make_clicks(kind)

    def predict(batch: Batch) -> Tensor:
        return batch.label * 2 - 1

    found = clicks.evaluate(predict, data, World())
    assert found["auc"] == 1.0
    assert found["loss_test"] == pytest.approx(math.log1p(math.exp(-1)), abs=1e-5)
