"""HSTU, the hierarchical sequential transduction unit of Zhai et al. 2024 (arXiv 2402.17152).

What sets it apart from a transformer: attention weights are SiLU of the scores over a constant
instead of a softmax, so that how often something was seen is kept; a bias by distance and by time
is added to the scores; and the result is multiplied by a gate, which takes the place of an MLP.
Attention is normalised by head, so that heads may lie on different ranks.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from workloads.sequential_data import NUM_ITEMS, NUM_RATINGS, Batch

VOCABULARY = 1696
"""Rows of the item table: padding, the films, and some never used, to be divisible by 2, 4, 8."""
TIME_BUCKETS = 32
"""By powers of two of a second; the last begins after 68 years."""
FIRST_STD = 0.02


class Hstu(nn.Module):
    """Logits of every film, for the places that a batch asks for."""

    def __init__(self, dim: int, heads: int, blocks: int, max_length: int) -> None:
        super().__init__()
        self.items = nn.Embedding(VOCABULARY, dim)
        self.ratings = nn.Embedding(1 + NUM_RATINGS, dim)
        self.blocks = nn.ModuleList(Block(dim, heads, max_length) for _ in range(blocks))
        self.head = nn.Linear(dim, VOCABULARY, bias=False)
        for table in (self.items, self.ratings):
            nn.init.normal_(table.weight, std=FIRST_STD)
        self.head.weight = self.items.weight

    def forward(self, batch: Batch) -> Tensor:
        """[events, VOCABULARY]."""
        x = (self.items(batch.items) + self.ratings(batch.ratings)) * self.items.embedding_dim**0.5
        buckets = time_buckets(batch.seconds, batch.asked)
        for block in self.blocks:
            x = block(x, buckets)
        states = x.flatten(0, 1).index_select(0, batch.places)
        logits: Tensor = self.head(normalised(states))
        return logits


class Block(nn.Module):
    """One HSTU layer. Everything of a head lies together, so that a slice is a number of heads."""

    def __init__(self, dim: int, heads: int, max_length: int) -> None:
        super().__init__()
        self.width = dim // heads
        self.max_length = max_length
        self.uvqk = nn.Linear(dim, 4 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.bias = RelativeBias(max_length)
        for layer in (self.uvqk, self.out):
            nn.init.normal_(layer.weight, std=dim**-0.5)

    def forward(self, x: Tensor, buckets: Tensor) -> Tensor:
        """[b, n, dim], [b, n, n] -> [b, n, dim]."""
        b, n, _ = x.shape
        mixed = functional.silu(self.uvqk(normalised(x))).view(b, n, -1, 4, self.width)
        u, v, q, k = mixed.transpose(1, 2).unbind(3)  # [b, heads, n, width] each
        scores = q @ k.mT + self.bias(buckets)[:, None]
        weights = functional.silu(scores).tril() / self.max_length
        gated = normalised(weights @ v) * u
        y: Tensor = x + self.out(gated.transpose(1, 2).flatten(2))
        return y


class RelativeBias(nn.Module):
    """What distance and time say about how much an event counts, for all heads alike."""

    def __init__(self, max_length: int) -> None:
        super().__init__()
        self.by_distance = nn.Parameter(torch.randn(max_length) * FIRST_STD)
        self.by_time = nn.Parameter(torch.randn(TIME_BUCKETS) * FIRST_STD)

    def forward(self, buckets: Tensor) -> Tensor:
        """[b, n, n] -> [b, n, n]."""
        places = torch.arange(buckets.shape[1], device=buckets.device)
        distance = (places[:, None] - places).clamp(min=0)
        by_time = functional.embedding(buckets, self.by_time[:, None]).squeeze(-1)
        return by_time + self.by_distance[distance]


def time_buckets(seconds: Tensor, asked: Tensor) -> Tensor:
    """[b, n] each -> [b, n, n]: how long before the moment of asking each event was."""
    passed = (asked[:, :, None] - seconds[:, None, :]).clamp(min=1)
    return passed.float().log2().long().clamp(max=TIME_BUCKETS - 1)


def normalised(x: Tensor) -> Tensor:
    """Layer norm without parameters."""
    return functional.layer_norm(x, x.shape[-1:], eps=1e-6)


def rank_of_answer(logits: Tensor, answers: Tensor, seen: Tensor) -> Tensor:
    """[b] from 1: how many films that may still be shown have logits no lower, itself included."""
    scores = logits[:, : 1 + NUM_ITEMS].masked_fill(seen, -math.inf)
    return (scores >= scores.gather(1, answers[:, None])).sum(1)


def hits_and_gains(rank: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """[b] each: whether the answer is among the first `top`, and its discounted gain there."""
    hits = (rank <= top).double()
    return hits, hits / (rank + 1).double().log2()
