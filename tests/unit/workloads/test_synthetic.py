"""The synthetic stream: the same wherever it is cut, popular by Zipf's law, and learnable."""

import pytest
import torch

from workloads import synthetic
from workloads.synthetic import CRITEO_ROWS, Synthetic, table_rows, uniform, zipf

SCATTER = 2_654_435_761


def make_stream(seed: int = 0, exponent: float = 1.05) -> Synthetic:
    return Synthetic(rows=table_rows(0.01, 50_000), zipf_exponent=exponent, seed=seed)


def test_tables_are_those_of_criteo() -> None:
    assert len(CRITEO_ROWS) == 26
    assert sum(CRITEO_ROWS) == 33_762_577
    assert table_rows(1.0, 10**9) == [*CRITEO_ROWS]
    assert max(table_rows(1.0, 1000)) == 1000
    assert min(table_rows(1e-6, 10**9)) == 1


def test_the_stream_is_the_same_wherever_it_is_cut() -> None:
    stream = make_stream()
    whole = stream.train((5, 305))
    pieces = [stream.train(span) for span in ((5, 90), (90, 91), (91, 305))]
    for part, parts in zip(whole, zip(*pieces, strict=True), strict=True):
        assert torch.equal(torch.cat(parts), part)


def test_the_stream_follows_its_seed() -> None:
    first, again, other = (make_stream(seed).train((0, 100)) for seed in (1, 1, 2))
    assert torch.equal(first.ids, again.ids)
    assert not torch.equal(first.ids, other.ids)
    assert not torch.equal(first.dense, other.dense)


def test_shapes_and_ranges() -> None:
    stream = make_stream()
    batch = stream.train((0, 5000))
    assert batch.dense.shape == (5000, stream.num_dense)
    assert batch.dense.dtype == batch.label.dtype == torch.float32
    assert batch.ids.shape == (5000, 26)
    assert (batch.ids >= 0).all()
    assert (batch.ids < torch.tensor(stream.rows)).all()
    assert batch.label.mean().item() == pytest.approx(0.27, abs=0.08)
    assert batch.dense.mean(0).abs().max() < 0.1


def test_the_test_set_is_no_part_of_the_training() -> None:
    stream = make_stream()
    test = stream.test(torch.arange(100))
    assert not torch.equal(test.dense, stream.train((0, 100)).dense)
    assert torch.equal(test.dense[7], stream.test(torch.tensor([7])).dense[0])


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.0, 1.2])
def test_ids_are_as_popular_as_zipf_says(exponent: float) -> None:
    rows, samples = 1000, 200_000
    unit = uniform(torch.arange(samples), seed=3)
    ids = zipf(unit[:, None], torch.tensor([rows]), exponent).flatten()
    by_popularity = torch.arange(rows) * SCATTER % rows
    counts = ids.bincount(minlength=rows)[by_popularity].double() / samples
    edges = torch.arange(1, rows + 2).double()
    weights = torch.diff(edges.log() if exponent == 1 else edges ** (1 - exponent) / (1 - exponent))
    expected = weights / weights.sum()
    assert torch.allclose(counts.cumsum(0)[::50], expected.cumsum(0)[::50], atol=0.01)


def test_a_large_table_is_reached_to_its_end() -> None:
    ends = torch.tensor([[0.0], [1 - 2**-53]], dtype=torch.float64)
    rows = torch.tensor([10_131_227])
    ids = zipf(ends, rows, 0.5)
    assert ids[0, 0] == 0
    assert ids[1, 0] == (10_131_226 * SCATTER) % 10_131_227


def test_hashed_numbers_are_spread_evenly() -> None:
    for keys in (torch.arange(100_000), torch.arange(100_000) * 64 + 5):
        counts = (uniform(keys, seed=0) * 100).long().bincount(minlength=100)
        assert counts.min() > 850
        assert counts.max() < 1150


def test_labels_hang_on_the_ids() -> None:
    """Whoever knows the effects tells clicks apart; a shuffled id no longer does."""
    stream = make_stream()
    batch = stream.train((0, 20_000))
    effect = stream._effects(batch.ids).sum(1)
    clicked, other = effect[batch.label == 1], effect[batch.label == 0]
    assert (clicked.mean() - other.mean()) / effect.std() > 0.7
    assert batch.dense.shape[1] == synthetic.NUM_DENSE
