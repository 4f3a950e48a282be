"""The ranking model: precision and graph change its speed and hardly its answers."""

import dataclasses
from pathlib import Path

import pytest
import torch

from workloads.serving.fleet import parse
from workloads.serving.model import Ask, Ranker, Scorer, load
from workloads.serving.options import ReplicaOptions

SMALL = ("--users=40", "--items=200", "--tables=3", "--table-rows=50", "--dim=8", "--history=6")
ASKS = [Ask(3, [*range(20)]), Ask(7, [5, 9]), Ask(3, [*range(40, 60)])]


def options(*words: str) -> ReplicaOptions:
    return parse([*SMALL, *words])[0].replica


def test_the_best_items_come_first_and_are_those_that_were_asked() -> None:
    first, second, _ = Scorer(options()).rank(ASKS)
    assert len(first.items) == 10
    assert set(first.items) <= set(range(20))
    assert first.scores == sorted(first.scores, reverse=True)
    assert sorted(second.items) == [5, 9]


def test_a_batch_answers_as_its_requests_alone_would() -> None:
    scorer = Scorer(options())
    together = scorer.rank(ASKS)
    for ask, ranked in zip(ASKS, together, strict=True):
        (alone,) = scorer.rank([ask])
        assert alone.items == ranked.items
        assert alone.scores == pytest.approx(ranked.scores, abs=1e-5)


def test_a_kept_user_is_answered_alike_and_not_computed_again() -> None:
    scorer, without = Scorer(options("--cache-users=10")), Scorer(options())
    for _ in range(2):
        for mine, theirs in zip(scorer.rank(ASKS), without.rank(ASKS), strict=True):
            assert mine.scores == pytest.approx(theirs.scores, abs=1e-5)
    assert (scorer.cache.hits, scorer.cache.misses) == (2, 2)
    assert without.cache.hits == 0


@pytest.mark.parametrize(
    ("words", "low_pct", "high_pct"),
    [
        ((), 0.0, 0.0),
        (("--graph=export",), 0.0, 0.01),
        (("--table-precision=fp16",), 1e-4, 1.0),
        (("--precision=bf16",), 0.01, 20.0),
        (("--precision=int8", "--table-precision=fp16"), 0.1, 20.0),
    ],
)
def test_what_precision_costs_is_known(
    words: tuple[str, ...], low_pct: float, high_pct: float
) -> None:
    scorer = Scorer(options(*words))
    assert low_pct <= scorer.score_error_pct <= high_pct
    exact = Scorer(options()).rank(ASKS)
    for mine, theirs in zip(scorer.rank(ASKS), exact, strict=True):
        assert mine.scores == pytest.approx(theirs.scores, abs=0.05)


def test_weights_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.manual_seed(9)
    trained = Ranker(options())
    torch.save(trained.state_dict(), file)
    found = load(options(f"--weights={file}", "--seed=1"))
    assert torch.equal(found.item_table, trained.item_table)
    assert not torch.equal(load(options("--seed=1")).item_table, trained.item_table)


def test_replicas_of_one_seed_are_the_same_model() -> None:
    one, other = Scorer(options()), Scorer(dataclasses.replace(options(), max_batch=7))
    assert one.rank(ASKS) == other.rank(ASKS)


@pytest.mark.parametrize(
    ("ask", "named"),
    [
        (Ask(40, [1]), "user 40"),
        (Ask(-1, [1]), "user -1"),
        (Ask(1, []), "at least one"),
        (Ask(1, [1, 200]), "0 to 199"),
    ],
)
def test_what_cannot_be_ranked_is_named(ask: Ask, named: str) -> None:
    assert named in str(Scorer(options()).problem(ask))
