"""DLRM on MovieLens-100K: embedding tables, two MLPs and dot products, on 1 to N ranks.

    python -m workloads.dlrm --global-batch-size=1024
    torchrun --nproc-per-node=2 -m workloads.dlrm --shard-strategy=table_wise

Embedding tables are spread as `--shard-strategy` says (`workloads.sharding`), the MLPs are on
every rank. The optimizers are written out here: constructing the first `torch.optim` or
DistributedDataParallel object costs 2 to 3 seconds of imports, which is a lot for a trial.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from tuner import report
from workloads import common, movielens, sharding
from workloads.movielens import MovieLens, Span

BOTTOM, TOP = (128, 64), (256, 128)
LR_BATCH = 1024
"""The global batch that the learning rate is given for."""
EMBEDDING_LR_SHARE = 0.1
"""At the full rate embeddings know the training set by heart in their second epoch."""
EVAL_BATCH = 2048
CUDA_REPORT_S = 0.02
PRINT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line."""

    global_batch_size: int
    shard_strategy: str
    precision: str
    threads_per_rank: int | None
    loader_workers: int
    embedding_dim: int
    table_rows_scale: float
    lr: float
    seed: int
    eval_at_samples: int | None
    max_samples: int | None


def parse(words: list[str], world: common.World) -> Options:
    """Reads the command line; ends with exit code 2 where these ranks cannot run it."""
    parser = argparse.ArgumentParser(prog="dlrm", allow_abbrev=False)
    add, count = parser.add_argument, common.whole_number
    add("--global-batch-size", type=count(1), default=1024, help="samples per step of all ranks")
    add("--shard-strategy", choices=[*sharding.STRATEGIES], default="data_parallel")
    add("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16 is by autocast")
    add("--threads-per-rank", type=count(1), help="default: the cores divided by the local ranks")
    add("--loader-workers", type=count(0), default=0, help="0: the rank assembles its batches")
    add("--embedding-dim", type=count(1), default=16)
    add("--table-rows-scale", type=float, default=1.0, help="grows the tables of hashed crosses")
    add("--lr", type=float, default=0.005, help=f"for a global batch of {LR_BATCH}")
    add("--seed", type=count(0), default=0)
    add("--eval-at-samples", type=count(1), help="evaluates once, after so many samples")
    add("--max-samples", type=count(1), help="ends after so many; default: runs until stopped")
    options = Options(**vars(parser.parse_args(words)))
    problem = impossible(options, world.world_size)
    if problem:
        parser.error(problem)
    return options


def impossible(options: Options, world_size: int) -> str | None:
    """Why so many ranks cannot run this, or None."""
    batch, dim = options.global_batch_size, options.embedding_dim
    if batch % world_size:
        return f"global batch size {batch} cannot be divided among {world_size} ranks"
    if options.shard_strategy == "column_wise" and dim % world_size:
        return f"column_wise: embedding dim {dim} cannot be divided among {world_size} ranks"
    for mark in (options.eval_at_samples, options.max_samples):
        if mark is not None and mark < world_size:
            return f"{mark} samples are none for some of {world_size} ranks"
    return None


class Mlps(nn.Module):
    """The dense part of a DLRM: logits from dense features and the embedding of each table."""

    def __init__(self, num_dense: int, num_tables: int, dim: int) -> None:
        super().__init__()
        vectors = num_tables + 1
        rows, columns = torch.tril_indices(vectors, vectors, -1)
        self.pairs = nn.Buffer(rows * vectors + columns)
        self.bottom = mlp(num_dense, *BOTTOM, dim)
        self.top = mlp(dim + len(self.pairs), *TOP, 1)

    def forward(self, dense: Tensor, embeddings: Tensor) -> Tensor:
        """[b, num_dense], [b, tables, dim] -> [b]."""
        bottom = self.bottom(dense).relu()
        vectors = torch.cat([bottom[:, None], embeddings], dim=1)
        dots = (vectors @ vectors.mT).flatten(1).index_select(1, self.pairs)
        logits: Tensor = self.top(torch.cat([bottom, dots], dim=1))
        return logits.squeeze(1)


def mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size, after in pairwise(sizes):
        layers += [nn.Linear(size, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class FlatAdagrad:
    """Adagrad over all parameters as one tensor, so that gradients are added up in one message."""

    def __init__(self, module: nn.Module, lr: float) -> None:
        parameters = list(module.parameters())
        self._values = torch.cat([p.detach().flatten() for p in parameters])
        self.grad = torch.zeros_like(self._values)
        self._squares = torch.zeros_like(self._values)
        self._lr = lr
        start = 0
        for p in parameters:
            stop = start + p.numel()
            p.data = self._values[start:stop].view_as(p)
            p.grad = self.grad[start:stop].view_as(p)
            start = stop

    def step(self) -> None:
        self._squares.addcmul_(self.grad, self.grad)
        self._values.addcdiv_(self.grad, self._squares.sqrt().add_(1e-8), value=-self._lr)
        self.grad.zero_()


def learning_rate(options: Options) -> float:
    """Grows with the square root of the global batch, so that large batches still learn."""
    return options.lr * math.sqrt(options.global_batch_size / LR_BATCH)


class Dlrm:
    """Model and optimizers of one rank."""

    def __init__(self, options: Options, world: common.World, device: torch.device) -> None:
        rows = movielens.table_rows(options.table_rows_scale)
        lr = learning_rate(options)
        spec = sharding.TableSpec(
            rows=rows,
            dim=options.embedding_dim,
            lr=lr * EMBEDDING_LR_SHARE,
            seed=options.seed,
            device=device,
        )
        self.world = world
        self.device = device
        self._bf16 = options.precision == "bf16"
        self._tables = sharding.shard(options.shard_strategy, spec, world)
        torch.manual_seed(options.seed)
        self._mlps = Mlps(movielens.NUM_DENSE, len(rows), options.embedding_dim).to(device)
        self._dense = FlatAdagrad(self._mlps, lr)

    def train(self, batch: movielens.Batch, global_batch: int) -> Tensor:
        """One step; returns the mean loss of this rank's share."""
        dense, ids, label = (part.to(self.device, non_blocking=True) for part in batch)
        embeddings = self._tables.lookup(ids).requires_grad_()
        logits = self._logits(dense, embeddings)
        loss = functional.binary_cross_entropy_with_logits(logits, label, reduction="sum")
        torch.autograd.backward(loss / global_batch)
        several = self.world.world_size > 1
        sent = dist.all_reduce(self._dense.grad, async_op=True) if several else None
        assert embeddings.grad is not None
        self._tables.update(embeddings.grad)
        if sent is not None:
            sent.wait()
        self._dense.step()
        return loss.detach() / len(label)

    @torch.no_grad()
    def predict(self, batch: movielens.Batch) -> Tensor:
        """Logits of this rank's share."""
        dense, ids, _ = (part.to(self.device) for part in batch)
        return self._logits(dense, self._tables.lookup(ids))

    def _logits(self, dense: Tensor, embeddings: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            logits: Tensor = self._mlps(dense, embeddings)
        return logits.float()


class Progress:
    """Tells about steps that have really ended.

    On a GPU a step returns before it is done. Waiting for each would keep the GPU idle while the
    next is prepared, so the steps are held back and told together after a wait every 20 ms."""

    def __init__(self, device: torch.device, world: common.World) -> None:
        self._cuda = device.type == "cuda"
        self._world = world
        self._samples: list[int] = []
        self._trained = 0
        self._told_s = self._printed_s = float("-inf")

    def step(self, samples: int, loss: Tensor) -> None:
        self._samples.append(samples)
        if not self._cuda or time.monotonic() - self._told_s >= CUDA_REPORT_S:
            self.tell(loss)

    def tell(self, loss: Tensor) -> None:
        values = {"loss": loss.item()}  # waits for the device
        if self._cuda:
            values["gpu_peak_memory_gib"] = torch.cuda.max_memory_reserved() / 2**30
        for samples in self._samples:
            report.step(samples=samples, **values)
            self._trained += samples * self._world.world_size
        self._samples.clear()
        self._told_s = time.monotonic()
        if self._told_s - self._printed_s >= PRINT_S:
            self._printed_s = self._told_s
            self.print(f"{self._trained:,} samples, loss {values['loss']:.4f}")

    def print(self, text: str) -> None:
        """A line for people, by the first rank only."""
        if self._world.rank == 0:
            print(text, flush=True)


def evaluate(model: Dlrm, data: MovieLens, tables: list[int]) -> dict[str, float]:
    """Area under the ROC curve and loss over the whole test set."""
    world_size, rank = model.world.world_size, model.world.rank
    rows = torch.arange(data.test_start, len(data.label))
    logits = []
    for block in torch.split(rows, EVAL_BATCH * world_size):
        share = -(-len(block) // world_size)
        mine = block[(torch.arange(share) + rank * share).clamp(max=len(block) - 1)]
        logit = model.predict(movielens.assemble(data, mine, tables))
        logits.append(gather(logit, world_size)[: len(block)].cpu())
    score, label = torch.cat(logits), data.label[rows]
    loss = functional.binary_cross_entropy_with_logits(score, label)
    return {"auc": auc(score, label), "loss_test": loss.item()}


def gather(values: Tensor, world_size: int) -> Tensor:
    """[b] of each rank -> [W * b] on every rank."""
    if world_size == 1:
        return values
    gathered = values.new_empty(world_size * len(values))
    dist.all_gather(list(gathered.chunk(world_size)), values)
    return gathered


def auc(score: Tensor, label: Tensor) -> float:
    """Exact area under the ROC curve by the rank statistic, a tie counting half."""
    ordered = score.sort().values
    below = torch.searchsorted(ordered, score)
    not_above = torch.searchsorted(ordered, score, right=True)
    mean_rank = (below + not_above + 1).double() / 2
    positive = label > 0.5
    hits, misses = int(positive.sum()), int((~positive).sum())
    above = float(mean_rank[positive].sum()) - hits * (hits + 1) / 2
    return above / (hits * misses) if hits and misses else float("nan")


def spans(options: Options, world_size: int) -> Iterator[Span]:
    """Global batches, one after the other; cut short where an evaluation or the end is due."""
    wanted = (options.eval_at_samples, options.max_samples)
    marks = [mark // world_size * world_size for mark in wanted if mark is not None]
    start = 0
    while options.max_samples is None or start < marks[-1]:
        stop = start + options.global_batch_size
        stop = min([stop, *(mark for mark in marks if start < mark < stop)])
        yield start, stop
        start = stop


def prepare() -> None:
    """What any trial does first; a warm start has it done once, before it forks their ranks."""
    torch.set_num_threads(1)  # other threads would be missing in a fork
    movielens.load()


def main(words: list[str]) -> None:
    world = common.world_from_environment()
    options = parse(words, world)
    common.end_on_sigterm()
    common.set_threads(world, options.threads_per_rank)
    data = movielens.load()
    device = common.pick_device(world)
    tables = movielens.table_rows(options.table_rows_scale)
    batches = movielens.load_batches(
        movielens.TrainBatches(data, tables, world, options.seed),
        spans(options, world.world_size),
        options.loader_workers,
        pin_memory=device.type == "cuda",
    )
    # Loader workers are forked by now, before the threads of a process group run.
    common.start_process_group(world, device)
    model = Dlrm(options, world, device)
    progress = Progress(device, world)
    evaluate_at = (options.eval_at_samples or 0) // world.world_size * world.world_size
    for (start, stop), batch in zip(spans(options, world.world_size), batches, strict=True):
        loss = model.train(batch, stop - start)
        progress.step(len(batch.label), loss)
        if stop == evaluate_at:
            progress.tell(loss)
            with report.pause():
                quality = evaluate(model, data, tables)
            report.value(**quality, quality_samples=stop)
            progress.print(f"{stop:,} samples, on held-out ratings: {quality}")
    progress.tell(loss)
    common.end_process_group()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except movielens.DataMissingError as error:
        sys.exit(str(error))
