"""The DLRM of one rank: its share of the tables, the MLPs, and their optimizers.

The optimizers are written out here: constructing the first `torch.optim` or
DistributedDataParallel object costs 2 to 3 seconds of imports, which is a lot for a trial.
"""

import os
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from workloads import common, sharding
from workloads.clicks import Clicks
from workloads.dlrm_options import Options
from workloads.movielens import Batch
from workloads.table_rows import TableSpec

BOTTOM, TOP = (128, 64), (256, 128)
EMBEDDING_LR_SHARE = 0.1
"""At the full rate embeddings know the training set by heart in their second epoch."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A batch on its device, and its ids on their way to the tables."""

    dense: Tensor
    label: Tensor
    asked: sharding.Asked


class Dlrm:
    """Model and optimizers of one rank."""

    def __init__(
        self, options: Options, world: common.World, device: torch.device, clicks: Clicks
    ) -> None:
        dim = options.embedding_dim
        spec = TableSpec(
            rows=clicks.rows,
            dim=dim,
            lr=options.learning_rate() * EMBEDDING_LR_SHARE,
            seed=options.seed,
            device=device,
            optimizer=options.embedding_optimizer,
        )
        self.world = world
        self.device = device
        self._bf16 = options.precision == "bf16"
        self._tables = sharding.shard(options.plan(), spec, world)
        torch.manual_seed(options.seed)
        self._mlps = Mlps(clicks.num_dense, len(clicks.rows), dim).to(device)
        self._dense = FlatAdagrad(self._mlps, options.learning_rate())
        self._inputs = (clicks.num_dense, len(clicks.rows), dim)
        self._compiled_b: int | None = None
        if options.compile == "mlps":
            self._compiled_b = options.global_batch_size // world.world_size
            self._mlps.compile(dynamic=False)
        self._syncs = world.world_size > 1
        self._ddp: nn.Module | None = None
        if self._syncs and options.dense_sync == "ddp":
            self._ddp = nn.parallel.DistributedDataParallel(self._mlps, broadcast_buffers=False)

    def send(self, batch: Batch) -> Sent:
        """Brings a batch to the device and begins to send its ids."""
        dense, ids, label = (part.to(self.device, non_blocking=True) for part in batch)
        return Sent(dense=dense, label=label, asked=self._tables.ask(ids))

    def train(self, sent: Sent, global_batch: int) -> Tensor:
        """One step; returns the mean loss of this rank's share."""
        embeddings = self._tables.lookup(sent.asked).requires_grad_()
        logits = self._logits(self._ddp or self._mlps, sent.dense, embeddings)
        loss = functional.binary_cross_entropy_with_logits(logits, sent.label, reduction="sum")
        torch.autograd.backward(loss / global_batch)
        sending = self._sync()
        assert embeddings.grad is not None
        self._tables.update(sent.asked, embeddings.grad)
        if sending is not None:
            sending.wait()
        self._dense.step()
        return loss.detach() / len(sent.label)

    @torch.no_grad()
    def predict(self, batch: Batch) -> Tensor:
        """Logits of this rank's share; never compiled, as it comes in sizes of its own."""
        sent = self.send(batch)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            logits = self._mlps.forward(sent.dense, self._tables.lookup(sent.asked))
        return logits.float()

    def warm_up(self) -> dict[str, float]:
        """Has the MLPs compiled, before any sample is learned; tells how long it took."""
        b, (num_dense, num_tables, dim) = self._compiled_b or 0, self._inputs
        started_s = time.monotonic()
        embeddings = torch.zeros(b, num_tables, dim, device=self.device, requires_grad=True)
        dense = torch.zeros(b, num_dense, device=self.device)
        logits = self._logits(self._ddp or self._mlps, dense, embeddings)
        torch.autograd.backward(logits.sum())
        self._dense.grad.zero_()
        hits = torch._dynamo.utils.counters["inductor"]["fxgraph_cache_hit"]
        return {"compile_s": time.monotonic() - started_s, "compile_cache_hits": float(hits)}

    def _logits(self, mlps: nn.Module, dense: Tensor, embeddings: Tensor) -> Tensor:
        with (
            self._stance(len(dense)),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16),
        ):
            logits: Tensor = mlps(dense, embeddings)
        return logits.float()

    def _stance(self, b: int) -> AbstractContextManager[None]:
        """A batch that was cut short is not worth compiling for."""
        if self._compiled_b in (None, b):
            return nullcontext()
        eager: AbstractContextManager[None] = torch.compiler.set_stance("force_eager")
        return eager

    def _sync(self) -> dist.Work | None:
        """Adds up the gradients of the MLPs over the ranks; DDP has made their mean already."""
        if self._ddp is not None:
            self._dense.grad.mul_(self.world.world_size)
        elif self._syncs:
            sending: dist.Work | None = dist.all_reduce(self._dense.grad, async_op=True)
            return sending
        return None


def set_compile_cache() -> None:
    """Where compiled code is kept between runs, unless the environment says so; and no pool of
    compilers, which would outlive a rank that is killed."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(root, "trimtab", "inductor")))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
