"""A ranking model on features that `workloads.preprocess` wrote, on 1 to N ranks of any speed.

    python -m workloads.ranker --features=features
    torchrun --nproc-per-node=2 -m workloads.ranker --features=features --batch-shares=measured

Embeddings of the hashed columns and a small MLP, data parallel: gradients are added up as one
tensor. Files are read and decoded while it trains, `--prefetch` of them ahead, as features larger
than memory are. How long a step waits for them is told as `loader_wait_pct`.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from tuner import report
from workloads import common, uneven
from workloads.ahead import ahead
from workloads.clicks import auc
from workloads.dlrm_model import FlatAdagrad, mlp

LR_BATCH = 4096
"""The global batch that the learning rate is given for."""
TEST_SHARE = 20
"""Every so many-th file is for testing."""
EVAL_ROWS = 100_000
PRINT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line."""

    features: Path
    global_batch_size: int
    threads_per_rank: int | None
    reader_threads: int
    prefetch: int
    batch_shares: str
    embedding_dim: int
    hidden: int
    lr: float
    seed: int
    eval_at_samples: int | None
    max_samples: int | None


class Rows(NamedTuple):
    """Rows of features, n of them."""

    dense: Tensor
    """[n, dense] float32."""
    ids: Tensor
    """[n, tables] int64, each a row of all tables one below the other."""
    label: Tensor
    """[n] float32."""


def parse(words: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="ranker", allow_abbrev=False)
    add, count = parser.add_argument, common.whole_number
    add("--features", type=Path, required=True, help="a folder that preprocess wrote with --out")
    add("--global-batch-size", type=count(1), default=LR_BATCH, help="rows per step of all ranks")
    add("--threads-per-rank", type=count(1), help="default: the cores divided by the local ranks")
    add("--reader-threads", type=count(1), default=1, help="threads that decode a file")
    add("--prefetch", type=count(0), default=0, help="files decoded ahead of the one trained on")
    add("--batch-shares", default="even", help="even, measured, or a number for each rank: 2,1")
    add("--embedding-dim", type=count(1), default=8)
    add("--hidden", type=count(1), default=64)
    add("--lr", type=float, default=0.1, help=f"for a global batch of {LR_BATCH}")
    add("--seed", type=count(0), default=0)
    add("--eval-at-samples", type=count(1), help="evaluates once, after so many samples")
    add("--max-samples", type=count(1), help="ends after so many; default: runs until stopped")
    return Options(**vars(parser.parse_args(words)))


class Source:
    """The files of features, decoded."""

    def __init__(self, options: Options) -> None:
        from workloads import feature_files, features

        self._files = feature_files
        self._folder = options.features
        self._threads = options.reader_threads
        self._schema = features.SCHEMA
        self._manifest = feature_files.read_manifest(options.features)
        self.sizes = list(features.ID_ROWS.values())
        self.num_dense = len(features.DENSE)
        self._starts = torch.tensor([0, *self.sizes[:-1]]).cumsum(0)
        names = [
            n for n, rows in zip(self._manifest.parts, self._manifest.rows, strict=True) if rows
        ]
        self.test = names[::TEST_SHARE]
        self.train = [name for name in names if name not in self.test] or names

    def read(self, name: str) -> Rows:
        """[n] rows of a file, as tensors."""
        form, compression = self._manifest.format, self._manifest.compression
        path = self._folder / name
        table = self._files.read(path, form, compression, self._schema, self._threads)
        columns = [
            _tensor(self._files.values_of(c.combine_chunks()), c.type) for c in table.columns
        ]
        dense = torch.stack(columns[1 : 1 + self.num_dense], dim=1)
        ids = torch.stack(columns[1 + self.num_dense :], dim=1).long() + self._starts
        return Rows(dense, ids, columns[0].float())

    def epochs(self, seed: int) -> Iterator[Rows]:
        """File after file without end, in an order of their own in each epoch."""
        generator = torch.Generator().manual_seed(seed)
        while True:
            for place in torch.randperm(len(self.train), generator=generator).tolist():
                rows = self.read(self.train[place])
                order = torch.randperm(len(rows.label), generator=generator)
                yield Rows(*(part[order] for part in rows))


_TYPES = {"float": torch.float32, "int32": torch.int32, "int8": torch.int8}


def _tensor(values: memoryview, kind: object) -> Tensor:
    # A copy, as a tensor on read-only memory warns.
    return torch.frombuffer(bytearray(values), dtype=_TYPES[str(kind)])


def batches(files: Iterator[Rows], options: Options) -> Iterator[tuple[int, Rows]]:
    """Global batches with the samples trained after each; cut short where an evaluation or the
    end is due."""
    end, held, trained = options.max_samples, next(files), 0
    marks = [mark for mark in (options.eval_at_samples, end) if mark is not None]
    while end is None or trained < end:
        full = trained + options.global_batch_size
        wanted = min([full, *(mark for mark in marks if trained < mark < full)]) - trained
        while len(held.label) < wanted:
            more = next(files)
            held = Rows(*(torch.cat(pair) for pair in zip(held, more, strict=True)))
        batch, held = _cut(held, 0, wanted), _cut(held, wanted, len(held.label))
        trained += wanted
        yield trained, batch


def _cut(rows: Rows, start: int, stop: int) -> Rows:
    return Rows(*(part[start:stop] for part in rows))


class Ranker(nn.Module):
    """Embeddings of every column and the dense values through one MLP."""

    def __init__(self, source: Source, options: Options) -> None:
        super().__init__()
        torch.manual_seed(options.seed)
        width = options.embedding_dim * len(source.sizes) + source.num_dense
        self.table = nn.Parameter(torch.randn(sum(source.sizes), options.embedding_dim) * 0.05)
        self.mlp = mlp(width, options.hidden, options.hidden // 2 or 1, 1)

    def forward(self, rows: Rows) -> Tensor:
        """[n] logits."""
        vectors = functional.embedding(rows.ids, self.table).flatten(1)
        logits: Tensor = self.mlp(torch.cat([vectors, rows.dense], dim=1))
        return logits.squeeze(1)


def train(model: Ranker, optimizer: FlatAdagrad, mine: Rows, global_batch: int) -> Tensor:
    """One step on this rank's share; the sum of its losses."""
    loss = functional.binary_cross_entropy_with_logits(model(mine), mine.label, reduction="sum")
    torch.autograd.backward(loss / global_batch)
    if dist.is_initialized():
        dist.all_reduce(optimizer.grad)
    optimizer.step()
    return loss.detach()


@torch.no_grad()
def evaluate(model: Ranker, source: Source) -> dict[str, float]:
    """On files that are not trained on; every rank does the same, as it takes a moment."""
    rows = [source.read(name) for name in source.test]
    together = Rows(*(torch.cat(parts)[:EVAL_ROWS] for parts in zip(*rows, strict=True)))
    score = model(together)
    loss = functional.binary_cross_entropy_with_logits(score, together.label)
    return {"auc": auc(score, together.label), "loss_test": loss.item()}


def main(words: list[str]) -> None:
    options, world = parse(words), common.world_from_environment()
    common.end_on_sigterm()
    common.set_threads(world, options.threads_per_rank)
    common.start_process_group(world, torch.device("cpu"))
    speeds = uneven.speeds_of(options.batch_shares, world)
    source = Source(options)
    model = Ranker(source, options)
    scale = math.sqrt(options.global_batch_size / LR_BATCH)
    optimizer = FlatAdagrad(model, options.lr * scale)
    files = ahead(source.epochs(options.seed), options.prefetch)
    printed_s = time.monotonic()
    if world.leads:
        print(f"shares of {world.world_size} ranks: {uneven.shares(100, speeds)} %", flush=True)
    for trained, batch in report.loading(batches(files, options)):
        size = len(batch.label)
        mine = _cut(batch, *uneven.span(0, size, speeds, world.rank))
        loss = train(model, optimizer, mine, size).item() / max(1, len(mine.label))
        report.step(samples=len(mine.label), loss=loss)
        if trained == options.eval_at_samples:
            with report.pause():
                quality = evaluate(model, source)
            report.value(**quality, quality_samples=trained)
        if world.leads and time.monotonic() - printed_s >= PRINT_S:
            printed_s = time.monotonic()
            print(f"{trained:,} samples, loss {loss:.4f}", flush=True)
    common.end_process_group()


if __name__ == "__main__":
    main(sys.argv[1:])
