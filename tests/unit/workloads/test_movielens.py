"""The MovieLens task: its rows know nothing of the future, its stream nothing of the ranks."""

import importlib.util
from importlib.machinery import ModuleSpec

import pytest
import torch
from torch import Tensor

from workloads import movielens
from workloads.movielens import MovieLens, MovieLensClicks

DAY_S = 86_400


@pytest.fixture(scope="module")
def data() -> MovieLens:
    return movielens.load()


@pytest.fixture
def ratings() -> Tensor:
    """Three users and four films, a rating a minute, two of them in the same second."""
    generator = torch.Generator().manual_seed(0)
    rows = 30
    user = torch.randint(0, 3, (rows,), generator=generator)
    item = torch.randint(0, 4, (rows,), generator=generator)
    rating = torch.randint(1, 6, (rows,), generator=generator)
    second = torch.arange(rows) * 60
    second[20] = second[19]
    return torch.stack([user, item, rating, second], dim=1)


def features(ratings: Tensor) -> Tensor:
    users = torch.tensor([[20, 0, 1, 5], [40, 1, 2, 6], [60, 0, 3, 7]])
    items = torch.tensor([[1990, 1], [1970, 2], [1995, 3], [1950, 4]])
    return movielens.dense_features(ratings, users, items)


@pytest.mark.parametrize("changed", [5, 20, 29])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_row_changes_no_feature_of_earlier_rows(
    ratings: Tensor, changed: int, column: int
) -> None:
    before = features(ratings)
    ratings[changed, column] = (ratings[changed, column] + 1) % 3
    after = features(ratings)
    earlier = ratings[:, 3] < ratings[changed, 3]
    assert torch.equal(before[earlier], after[earlier])


def test_a_rating_changes_features_of_later_rows_only(ratings: Tensor) -> None:
    before = features(ratings)
    ratings[5, 2] = 6 - ratings[5, 2] + (ratings[5, 2] == 3)
    changed = (before != features(ratings)).any(1)
    assert not changed[:6].any()
    assert changed[6:].any()


def test_so_far_counts_rows_of_an_earlier_second() -> None:
    key = torch.tensor([7, 7, 9, 7, 7])
    second = torch.tensor([10, 20, 20, 20, 50])
    rating = torch.tensor([5, 1, 4, 3, 2])
    history = movielens.so_far(key, second, rating)
    assert history.number.tolist() == [0, 1, 0, 1, 3]
    assert history.since_s.tolist() == [0, 10, 0, 10, 30]
    assert history.mean[0] == 3.5
    assert history.mean[1] == pytest.approx((5 + 7) / 3)
    assert history.mean[4] == pytest.approx((5 + 1 + 3 + 7) / 5)


def test_movielens_is_complete_and_in_order(data: MovieLens) -> None:
    assert data.dense.shape == (100_000, movielens.NUM_DENSE)
    assert data.test_start == 90_000
    assert data.label.mean().item() == pytest.approx(0.55375)
    train = data.dense[: data.test_start]
    assert torch.allclose(train.mean(0), torch.zeros(movielens.NUM_DENSE), atol=1e-3)
    assert torch.allclose(train.std(0), torch.ones(movielens.NUM_DENSE), atol=1e-3)


@pytest.mark.parametrize("scale", [1.0, 0.01, 2.5])
def test_ids_stay_inside_their_tables(data: MovieLens, scale: float) -> None:
    tables = movielens.table_rows(scale)
    batch = movielens.assemble(data, torch.arange(100_000), tables)
    assert batch.ids.shape == (100_000, len(tables))
    assert (batch.ids >= 0).all()
    assert (batch.ids < torch.tensor(tables)).all()


def test_crosses_seldom_collide_and_depend_on_their_columns_only(data: MovieLens) -> None:
    tables = movielens.table_rows(1.0)
    ids = movielens.assemble(data, torch.arange(100_000), tables).ids
    pair = data.columns[:, 0] * 1000 + data.columns[:, movielens.COLUMNS.index("genre")]
    cross = ids[:, len(movielens.COLUMNS)]
    together = torch.unique(torch.stack([pair, cross], dim=1), dim=0)
    pairs = len(torch.unique(pair))
    assert len(together) == pairs
    assert len(torch.unique(cross)) > 0.9 * pairs


def test_the_stream_visits_every_row_once_an_epoch() -> None:
    rows = movielens.stream_rows((0, 300), 100, seed=1)
    for epoch in rows.view(3, 100):
        assert epoch.sort().values.tolist() == list(range(100))
    assert not torch.equal(rows[:100], rows[100:200])


def test_the_stream_is_the_same_wherever_it_is_cut() -> None:
    whole = movielens.stream_rows((0, 250), 100, seed=3)
    pieces = [movielens.stream_rows(span, 100, seed=3) for span in ((0, 90), (90, 230), (230, 250))]
    assert torch.equal(torch.cat(pieces), whole)
    assert not torch.equal(movielens.stream_rows((0, 250), 100, seed=4), whole)


def test_the_test_set_is_the_latest_tenth(data: MovieLens) -> None:
    clicks = MovieLensClicks(data=data, rows=movielens.table_rows(1.0), seed=0)
    assert clicks.num_test == 10_000
    assert torch.equal(clicks.test(torch.arange(10_000)).label, data.label[90_000:])


def test_missing_data_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", find_nothing)
    with pytest.raises(movielens.DataMissingError, match="pip install --no-deps recbole"):
        movielens.load.__wrapped__()  # past what an earlier test has loaded
