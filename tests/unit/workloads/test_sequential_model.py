"""HSTU by its definition: causal, blind to padding, and with ranks as the metrics need them."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from workloads.sequential_data import NUM_ITEMS, Batch
from workloads.sequential_model import (
    VOCABULARY,
    Block,
    Hstu,
    RelativeBias,
    hits_and_gains,
    rank_of_answer,
    time_buckets,
)

LENGTH = 6


@pytest.fixture
def model() -> Hstu:
    torch.manual_seed(0)
    return Hstu(dim=8, heads=2, blocks=2, max_length=LENGTH)


def batch_of(items: list[list[int]], places: list[int]) -> Batch:
    films = torch.tensor(items)
    seconds = torch.arange(films.shape[1]).expand_as(films) * 100
    return Batch(
        items=films,
        ratings=torch.where(films > 0, films % 5 + 1, 0),
        seconds=seconds,
        asked=seconds + 100,
        places=torch.tensor(places),
        answers=torch.ones(len(places), dtype=torch.int64),
    )


def test_logits_are_those_of_the_places_asked_for(model: Hstu) -> None:
    everywhere = model(batch_of([[1, 2, 3], [4, 5, 6]], [0, 1, 2, 3, 4, 5]))
    some = model(batch_of([[1, 2, 3], [4, 5, 6]], [4, 1]))
    assert everywhere.shape == (6, VOCABULARY)
    assert torch.allclose(some, everywhere[[4, 1]], atol=1e-6)


def test_an_event_changes_nothing_before_it_and_all_after_it(model: Hstu) -> None:
    places = [0, 1, 2, 3]
    before = model(batch_of([[1, 2, 3, 4]], places))
    after = model(batch_of([[1, 2, 9, 4]], places))
    assert torch.equal(before[:2], after[:2])
    assert (before[2:] != after[2:]).any(1).all()


def test_padding_changes_nothing(model: Hstu) -> None:
    alone = model(batch_of([[1, 2]], [0, 1]))
    padded = model(batch_of([[1, 2, 0, 0], [5, 6, 7, 8]], [0, 1]))
    assert torch.allclose(alone, padded, atol=1e-6)


def test_a_block_is_attention_by_silu_with_a_gate() -> None:
    """Formulas 1 to 3 of the paper, event by event and head by head."""
    torch.manual_seed(1)
    heads, width, n = 2, 3, 4
    block = Block(heads * width, heads, max_length=LENGTH)
    x = torch.randn(1, n, heads * width)
    buckets = torch.randint(0, 8, (1, n, n))
    mixed = functional.silu(block.uvqk(norm(x[0]))).view(n, heads, 4, width)
    u, v, q, k = mixed.unbind(2)
    parts = []
    for head in range(heads):
        for i in range(n):
            total = torch.zeros(width)
            for j in range(i + 1):
                bias = block.bias.by_distance[i - j] + block.bias.by_time[buckets[0, i, j]]
                total += functional.silu(q[i, head] @ k[j, head] + bias) * v[j, head] / LENGTH
            parts.append(norm(total) * u[i, head])
    gated = torch.stack(parts).view(heads, n, width).transpose(0, 1).reshape(n, heads * width)
    assert torch.allclose(block(x, buckets)[0], x[0] + block.out(gated), atol=1e-5)


def norm(x: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-6).sqrt()


def test_the_bias_learns_by_distance_and_by_time() -> None:
    bias = RelativeBias(max_length=LENGTH)
    buckets = torch.tensor([[[3, 0, 0], [5, 3, 0], [5, 5, 3]]])
    torch.autograd.backward(bias(buckets)[0, 2].sum())
    assert bias.by_distance.grad is not None
    assert bias.by_time.grad is not None
    assert bias.by_distance.grad.tolist() == [1, 1, 1, 0, 0, 0]
    assert {n: g for n, g in enumerate(bias.by_time.grad.tolist()) if g} == {3: 1, 5: 2}


def test_time_is_in_powers_of_two_of_a_second() -> None:
    seconds = torch.tensor([[0, 1000]])
    asked = torch.tensor([[3, 1_000_000]])
    assert time_buckets(seconds, asked).tolist() == [[[1, 0], [19, 19]]]


def test_the_rank_counts_films_that_may_still_be_shown() -> None:
    logits = torch.zeros(2, VOCABULARY)
    logits[:, 5], logits[:, 6], logits[:, 7] = 3.0, 2.0, 1.0
    logits[:, 1 + NUM_ITEMS :] = 9.0  # rows that are no films
    seen = torch.zeros(2, 1 + NUM_ITEMS, dtype=torch.bool)
    seen[1, 5] = True
    assert rank_of_answer(logits, torch.tensor([7, 7]), seen).tolist() == [3, 2]


def test_films_with_equal_scores_come_first() -> None:
    seen = torch.zeros(1, 1 + NUM_ITEMS, dtype=torch.bool)
    seen[0, 0] = True
    assert rank_of_answer(torch.zeros(1, VOCABULARY), torch.tensor([7]), seen).item() == NUM_ITEMS


def test_gains_are_discounted_and_end_at_the_tenth() -> None:
    hits, gains = hits_and_gains(torch.tensor([1, 3, 10, 11]), top=10)
    assert hits.tolist() == [1, 1, 1, 0]
    assert gains.tolist() == pytest.approx([1, 0.5, 1 / math.log2(11), 0])
