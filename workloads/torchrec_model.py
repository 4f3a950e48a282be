"""The DLRM by TorchRec: an EmbeddingBagCollection under DistributedModelParallel.

It needs the extra `torchrec`. MLPs, first values and learning rates are those of `workloads.dlrm`.
"""

import time
from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.distributed as dist
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from torch import Tensor, nn
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torch.nn import functional
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor
from torchrec.distributed import DistributedModelParallel
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.fbgemm_qcomm_codec import (
    CommType,
    QCommsConfig,
    get_qcomm_codecs_registry,
)
from torchrec.optim import RowWiseAdagrad
from torchrec.optim.optimizers import in_backward_optimizer_filter

from workloads import common
from workloads.dlrm_model import EMBEDDING_LR_SHARE, Mlps
from workloads.movielens import Batch
from workloads.table_rows import TableSpec, first_values
from workloads.torchrec_plan import AnySharder, Wish, make_plan

FUSED = {
    "sgd": EmbOptimType.EXACT_SGD,
    "adagrad": EmbOptimType.EXACT_ADAGRAD,
    "rowwise_adagrad": EmbOptimType.EXACT_ROWWISE_ADAGRAD,
}
"""Those that FBGEMM has on a CPU."""
_COMM = {"fp16": CommType.FP16, "bf16": CommType.BF16}
_EPS = 1e-8
_PROBE_WARM, _PROBE_STEPS = 3, 10


class Dlrm(nn.Module):
    """Tables and MLPs, before they are spread."""

    def __init__(self, rows: Sequence[int], num_dense: int, dim: int) -> None:
        super().__init__()
        self.features = [f"f{number}" for number in range(len(rows))]
        self.tables = EmbeddingBagCollection(
            device=torch.device("meta"),
            tables=[
                EmbeddingBagConfig(
                    name=f"t{number}",
                    embedding_dim=dim,
                    num_embeddings=size,
                    feature_names=[self.features[number]],
                )
                for number, size in enumerate(rows)
            ],
        )
        self.mlps = Mlps(num_dense, len(rows), dim)

    def forward(self, dense: Tensor, ids: KeyedJaggedTensor) -> Tensor:
        logits: Tensor = self.mlps(dense, vectors(self.tables(ids), self.features))
        return logits


def vectors(found: Mapping[str, Tensor], features: Sequence[str]) -> Tensor:
    """[b, tables, dim] in the order of the tables, whatever order their ways have."""
    return torch.stack([found[name] for name in features], dim=1)


def make_sharder(
    optimizer: str, lr: float, comm_precision: str, *, any_type: bool
) -> EmbeddingBagCollectionSharder:
    codecs = None
    if comm_precision != "fp32":
        kind = _COMM[comm_precision]
        codecs = get_qcomm_codecs_registry(
            QCommsConfig(forward_precision=kind, backward_precision=kind)
        )
    fused = {"optimizer": FUSED[optimizer], "learning_rate": lr, "eps": _EPS}
    sharder = AnySharder if any_type else EmbeddingBagCollectionSharder
    return sharder(fused_params=fused, qcomm_codecs_registry=codecs)


class SpreadDlrm:
    """The model of one rank with its optimizers, spread by the planner's plan."""

    def __init__(
        self,
        spec: TableSpec,
        num_dense: int,
        optimizer: str,
        sharder: EmbeddingBagCollectionSharder,
        wish: Wish,
        world: common.World,
    ) -> None:
        torch.manual_seed(spec.seed)
        model = Dlrm(spec.rows, num_dense, spec.dim)
        started_s = time.monotonic()
        plan, self.planned = make_plan(model, sharder, wish, world)
        self.planner_s = time.monotonic() - started_s
        self.device = spec.device
        self._features = model.features
        self._model = DistributedModelParallel(
            model, device=spec.device, plan=plan, sharders=[sharder]
        )
        set_first_values(self._model, spec)
        self._optimizers = dense_optimizers(self._model, optimizer, spec.lr)

    def train(self, batch: Batch) -> Tensor:
        """One step; returns the mean loss of this rank's share. Fused tables learn in backward."""
        dense, ids, label = (part.to(self.device, non_blocking=True) for part in batch)
        logits = self._model(dense, self._keyed(ids))
        loss = functional.binary_cross_entropy_with_logits(logits, label)
        torch.autograd.backward(loss)
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    @torch.no_grad()
    def predict(self, batch: Batch) -> Tensor:
        """Logits of this rank's share."""
        dense, ids, _ = (part.to(self.device) for part in batch)
        logits: Tensor = self._model(dense, self._keyed(ids))
        return logits

    def embedding_s(self, batch: Batch) -> float:
        """Time that the tables alone take in a step. Gradients of 0 leave them as they are."""
        ids = self._keyed(batch.ids.to(self.device))
        for step in range(_PROBE_WARM + _PROBE_STEPS):
            if step == _PROBE_WARM:
                dist.barrier()
                started_s = time.monotonic()
            found = vectors(self._model.module.tables(ids), self._features)
            torch.autograd.backward((found * 0).sum())
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        return (time.monotonic() - started_s) / _PROBE_STEPS

    def _keyed(self, ids: Tensor) -> KeyedJaggedTensor:
        """[b, tables] -> one id for each sample and feature."""
        lengths = torch.ones(ids.numel(), dtype=torch.int32, device=ids.device)
        return KeyedJaggedTensor(self._features, ids.T.flatten(), lengths=lengths)


@torch.no_grad()
def set_first_values(model: nn.Module, spec: TableSpec) -> None:
    """So that every way of spreading starts from the same model."""
    state = model.state_dict()
    for number, size in enumerate(spec.rows):
        [value] = [v for name, v in state.items() if name.endswith(f".t{number}.weight")]
        table = first_values(spec, size, number)
        if not isinstance(value, ShardedTensor):
            value.copy_(table)
            continue
        for shard in value.local_shards():
            (row, column), (rows, columns) = (
                shard.metadata.shard_offsets,
                shard.metadata.shard_sizes,
            )
            shard.tensor.copy_(table[row : row + rows, column : column + columns])


def dense_optimizers(model: nn.Module, optimizer: str, lr: float) -> list[torch.optim.Optimizer]:
    """Of whatever no fused kernel updates: MLPs, and tables that are data-parallel."""
    rest = dict(in_backward_optimizer_filter(model.named_parameters()))
    tables = [p for name, p in rest.items() if "embedding_bags" in name]
    mlps = [p for name, p in rest.items() if "embedding_bags" not in name]
    made: list[torch.optim.Optimizer] = [
        torch.optim.Adagrad(mlps, lr=lr / EMBEDDING_LR_SHARE, eps=_EPS)
    ]
    if tables:
        made.append(_of_tables(optimizer, tables, lr))
    return made


def _of_tables(optimizer: str, tables: Iterable[Tensor], lr: float) -> torch.optim.Optimizer:
    if optimizer == "sgd":
        return torch.optim.SGD(tables, lr=lr)
    if optimizer == "adagrad":
        return torch.optim.Adagrad(tables, lr=lr, eps=_EPS)
    made: torch.optim.Optimizer = RowWiseAdagrad(tables, lr=lr, eps=_EPS)
    return made
