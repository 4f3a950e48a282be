"""The ranking model: a user's history becomes one vector, which is held against every candidate.

A DLRM whose user side is an attention layer over the items of the history. The user's vector
depends on nothing of the request, so a replica may keep it; what is left per candidate is the
lookup of its features, dot products and an MLP. Precision and graph are chosen here, after the
weights are there.
"""

import math
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from workloads.serving.cache import LruCache
from workloads.serving.options import ReplicaOptions

TOP_K = 10
_HIDDEN = (256, 128)
_MIX = (0x9E3779B1, 0x85EBCA77)
_PROBE_USERS, _PROBE_ITEMS = 16, 64


class Ask(NamedTuple):
    """One request: rank these items for this user."""

    user: int
    items: list[int]


class Ranked(NamedTuple):
    """The best of the items, best first."""

    items: list[int]
    scores: list[float]


class UserTower(nn.Module):
    """[u, history, dim] -> [u, dim]: attention among the items of the history, then their mean."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.keys = nn.Linear(dim, dim)
        self.values = nn.Linear(dim, dim)
        self.mix = nn.Linear(dim, 4 * dim)
        self.query = nn.Linear(dim, dim)
        self.out = mlp(4 * dim, 2 * dim, dim)

    def forward(self, history: Tensor) -> Tensor:
        query = self.query(history)
        weights = (query @ self.keys(history).mT / math.sqrt(query.shape[-1])).softmax(dim=-1)
        seen = history + weights @ self.values(history)
        out: Tensor = self.out(self.mix(seen).relu().mean(dim=1))
        return out


class ItemTower(nn.Module):
    """[c, dim] users, [c, tables, dim] features -> [c]: dot products of all pairs, then an MLP."""

    def __init__(self, tables: int, dim: int) -> None:
        super().__init__()
        vectors = tables + 1
        rows, columns = torch.tril_indices(vectors, vectors, -1)
        self.pairs = nn.Buffer(rows * vectors + columns)
        self.top = mlp(dim + len(self.pairs), *_HIDDEN, 1)

    def forward(self, user: Tensor, features: Tensor) -> Tensor:
        vectors = torch.cat([user[:, None], features], dim=1)
        dots = (vectors @ vectors.mT).flatten(1).index_select(1, self.pairs)
        logits: Tensor = self.top(torch.cat([user, dots], dim=1))
        return logits.squeeze(1)


class Ranker(nn.Module):
    """Tables and towers."""

    def __init__(self, options: ReplicaOptions) -> None:
        super().__init__()
        self.item_table = nn.Parameter(torch.randn(options.items, options.dim), False)
        rows = options.tables * options.table_rows
        self.feature_table = nn.Parameter(torch.randn(rows, options.dim) * 0.3, False)
        self.user_tower: nn.Module = UserTower(options.dim)
        self.item_tower: nn.Module = ItemTower(options.tables, options.dim)


class Int8Linear(nn.Module):
    """A linear layer with weights of 8 bits; its input is quantised as it comes."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        scale = float(layer.weight.detach().abs().max()) / 127 or 1.0
        with warnings.catch_warnings():
            # Of a later torch than the project admits: its successor needs another package.
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor")
            weight = torch.quantize_per_tensor(layer.weight.detach(), scale, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(weight, layer.bias.detach())

    def forward(self, values: Tensor) -> Tensor:
        out: Tensor = torch.ops.quantized.linear_dynamic(values, self._packed, reduce_range=True)
        return out


def mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size, after in pairwise(sizes):
        layers += [nn.Linear(size, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Scorer:
    """The model as a replica runs it, with what it knows of users and items."""

    def __init__(self, options: ReplicaOptions) -> None:
        self._options = options
        self._ranker = load(options)
        self._histories, self._features = feature_store(options)
        self.cache: LruCache[Tensor] = LruCache(options.cache_users)
        self.score_error_pct = 0.0
        probe = [
            Ask(user % options.users, [i % options.items for i in range(user, user + _PROBE_ITEMS)])
            for user in range(_PROBE_USERS)
        ]
        self._bf16 = False
        exact = self._score(probe)
        prepare(self._ranker, options)
        self._bf16 = options.precision == "bf16"
        self.cache = LruCache(options.cache_users)
        self.score_error_pct = relative_error_pct(self._score(probe), exact)
        # What is compiled for a size, or allocated once, shall not wait for the first request.
        for size in {1, 2, min(options.max_batch, _PROBE_USERS)}:
            self._score(probe[:size])
        self.cache = LruCache(options.cache_users)

    @torch.inference_mode()
    def rank(self, asks: list[Ask]) -> list[Ranked]:
        """The best TOP_K of each request."""
        found = []
        for ask, scores in zip(asks, self._score(asks), strict=True):
            best = scores.topk(min(TOP_K, len(ask.items)))
            places = best.indices.tolist()
            found.append(Ranked([ask.items[i] for i in places], best.values.tolist()))
        return found

    def problem(self, ask: Ask) -> str | None:
        """Why a request cannot be answered, or None."""
        if not 0 <= ask.user < self._options.users:
            return f"user {ask.user} is not one of 0 to {self._options.users - 1}"
        if not ask.items:
            return "items: at least one is needed"
        if not all(0 <= item < self._options.items for item in ask.items):
            return f"items: each must be one of 0 to {self._options.items - 1}"
        return None

    @torch.inference_mode()
    def _score(self, asks: Sequence[Ask]) -> list[Tensor]:
        counts = [len(ask.items) for ask in asks]
        users = self._user_vectors([ask.user for ask in asks])
        items = torch.tensor([item for ask in asks for item in ask.items])
        rows = self._features[items]
        features = functional.embedding(rows, self._ranker.feature_table).float()
        repeated = users.repeat_interleave(torch.tensor(counts), dim=0)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            scores: Tensor = self._ranker.item_tower(repeated, features)
        return list(torch.split(scores.float(), counts))

    def _user_vectors(self, users: Sequence[int]) -> Tensor:
        known = {user: self.cache.get(user) for user in dict.fromkeys(users)}
        missing = [user for user, vector in known.items() if vector is None]
        if missing:
            for user, vector in zip(missing, self._towers(missing), strict=True):
                known[user] = vector
                self.cache.put(user, vector)
        return torch.stack([vector for user in users if (vector := known[user]) is not None])

    def _towers(self, users: Sequence[int]) -> Tensor:
        history = self._histories[torch.tensor(users)]
        seen = functional.embedding(history, self._ranker.item_table).float()
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            vectors: Tensor = self._ranker.user_tower(seen)
        return vectors.float()


def load(options: ReplicaOptions) -> Ranker:
    """The model with its weights as they were saved, or random. Raises OSError, RuntimeError."""
    torch.manual_seed(options.seed)
    ranker = Ranker(options).train(mode=False)
    if options.weights is not None:
        ranker.load_state_dict(torch.load(Path(options.weights), weights_only=True))
    return ranker.requires_grad_(False)


def feature_store(options: ReplicaOptions) -> tuple[Tensor, Tensor]:
    """[users, history] items, and [items, tables] rows of the feature table: by a hash."""
    users = torch.arange(options.users)[:, None] * _MIX[0] + torch.arange(options.history) * _MIX[1]
    histories = (users ^ (users >> 15)) % options.items
    tables = torch.arange(options.tables)
    items = torch.arange(options.items)[:, None] * _MIX[1] + tables * _MIX[0]
    rows = (items ^ (items >> 13)) % options.table_rows + tables * options.table_rows
    return histories, rows


def prepare(ranker: Ranker, options: ReplicaOptions) -> None:
    """Brings tables and dense layers into the precision and the form that were asked for."""
    if options.table_precision == "fp16":
        for table in (ranker.item_table, ranker.feature_table):
            table.data = table.data.half()
    if options.precision == "int8":
        quantise(ranker)
    if options.graph == "compile":
        ranker.user_tower.compile(dynamic=True)
        ranker.item_tower.compile(dynamic=True)
    if options.graph == "export":
        dim, tables = options.dim, options.tables
        user, history = torch.randn(2, dim), torch.randn(2, options.history, dim)
        ranker.item_tower = exported(ranker.item_tower, user, torch.randn(2, tables, dim))
        ranker.user_tower = exported(ranker.user_tower, history)


def quantise(module: nn.Module) -> None:
    """Puts Int8Linear in place of every linear layer."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear(child))
        else:
            quantise(child)


def exported(module: nn.Module, *inputs: Tensor) -> nn.Module:
    """The module as torch.export sees it, for any number of rows."""
    rows = torch.export.Dim.DYNAMIC
    shapes = tuple({0: rows} for _ in inputs)
    return torch.export.export(module, inputs, dynamic_shapes=shapes).module()


def relative_error_pct(scores: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    """Root mean square of what precision changes, relative to the spread of the scores."""
    difference = torch.cat([*scores]) - torch.cat([*exact])
    return 100 * float(difference.square().mean().sqrt() / torch.cat([*exact]).std())
