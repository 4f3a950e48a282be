"""Ways to spread the sequential model over the ranks, all of them PyTorch's own.

    ddp              every rank has everything; gradients are averaged (DistributedDataParallel)
    zero1            the same, but each rank keeps and updates its share of the optimizer (ZeRO-1)
    fsdp             each rank keeps a share of all (FSDP2); parameters are gathered block by block
    hsdp             fsdp among the ranks of a node, ddp between the nodes
    tensor_parallel  every rank has some of the heads and of the films, and sees all the data

They learn the same. With one rank there is nothing to spread, whatever the name.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    loss_parallel,
    parallelize_module,
)
from torch.nn.parallel import DistributedDataParallel

from workloads.common import World
from workloads.sequential_model import Hstu

with warnings.catch_warnings():
    # The package scripts optimizers that are not used here, which torch itself deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch.distributed.optim import ZeroRedundancyOptimizer

BETAS = (0.9, 0.98)
CHECKPOINTING = ("none", "alternate", "all")
MicroBatch = Callable[[bool], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """How the model shall be spread, and what all the ways have in common."""

    strategy: str
    reshard_after_forward: bool
    """For fsdp and hsdp: whether a block's parameters are freed between forward and backward."""
    activation_checkpointing: str
    """Which blocks keep their input only and are computed again for the backward pass."""
    lr: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A model spread over the ranks, and what training it takes. Gradients are averaged over the
    ranks that see different data, so a caller multiplies its loss by their number."""

    module: nn.Module
    optimizer: torch.optim.Optimizer
    micro_batch: MicroBatch
    """Around forward and backward of a micro-batch; told whether it is the last of the step."""
    finish: Callable[[], None] = lambda: None
    """What gradients need between the last backward pass and the optimizer."""
    sees_all_data: bool = False


def spread(model: Hstu, spec: Spec, world: World, device: torch.device) -> Spread:
    """The model in the way of that name; no longer to be used by itself."""
    if world.world_size == 1:
        return alone(model, spec, world, device)
    return STRATEGIES[spec.strategy](model, spec, world, device)


def alone(model: Hstu, spec: Spec, world: World, device: torch.device) -> Spread:
    _checkpoint_blocks(model, spec)
    return Spread(
        module=model, optimizer=_adam(model, spec), micro_batch=lambda is_last: nullcontext()
    )


def ddp(model: Hstu, spec: Spec, world: World, device: torch.device) -> Spread:
    module = _replicated(model, spec)
    return Spread(
        module=module, optimizer=_adam(model, spec), micro_batch=partial(_send_last, module)
    )


def zero1(model: Hstu, spec: Spec, world: World, device: torch.device) -> Spread:
    module = _replicated(model, spec)
    optimizer = ZeroRedundancyOptimizer(
        model.parameters(),
        optimizer_class=torch.optim.Adam,
        parameters_as_bucket_view=True,
        lr=spec.lr,
        betas=BETAS,
    )
    return Spread(module=module, optimizer=optimizer, micro_batch=partial(_send_last, module))


def fsdp(model: Hstu, spec: Spec, world: World, device: torch.device) -> Spread:
    return _sharded(model, spec, init_device_mesh(device.type, (world.world_size,)))


def hsdp(model: Hstu, spec: Spec, world: World, device: torch.device) -> Spread:
    nodes = world.world_size // world.local_world_size
    shape, names = (nodes, world.local_world_size), ("replicate", "shard")
    return _sharded(model, spec, init_device_mesh(device.type, shape, mesh_dim_names=names))


def tensor_parallel(model: Hstu, spec: Spec, world: World, device: torch.device) -> Spread:
    plan = {
        "items": RowwiseParallel(input_layouts=Replicate()),
        "blocks.*.uvqk": ColwiseParallel(),
        "blocks.*.out": RowwiseParallel(),
        "head": ColwiseParallel(output_layouts=Shard(-1), use_local_output=False),
    }
    parallelize_module(model, init_device_mesh(device.type, (world.world_size,)), plan)
    model.head.weight = model.items.weight
    # Every rank has the biases of attention, and gradients of its own heads only.
    partial_ones = [p for name, p in model.named_parameters() if ".bias." in name]
    _checkpoint_blocks(model, spec)
    return Spread(
        module=model,
        optimizer=_adam(model, spec),
        micro_batch=_split_loss,
        finish=partial(_add_up, partial_ones),
        sees_all_data=True,
    )


STRATEGIES: dict[str, Callable[[Hstu, Spec, World, torch.device], Spread]] = {
    "ddp": ddp,
    "zero1": zero1,
    "fsdp": fsdp,
    "hsdp": hsdp,
    "tensor_parallel": tensor_parallel,
}


def impossible(strategy: str, heads: int, world: World) -> str | None:
    """Why so many ranks cannot use a strategy, or None."""
    size, local = world.world_size, world.local_world_size
    if size > 1 and strategy == "hsdp" and not 1 < local < size:
        return f"hsdp needs several nodes of several ranks: of {size} ranks {local} are on a node"
    if strategy == "tensor_parallel" and heads % size:
        return f"tensor_parallel: {heads} heads cannot be divided among {size} ranks"
    return None


def whole(values: Tensor) -> Tensor:
    """The values themselves, where every rank has a part of them."""
    return values.full_tensor() if isinstance(values, DTensor) else values


def _replicated(model: Hstu, spec: Spec) -> DistributedDataParallel:
    _checkpoint_blocks(model, spec)
    return DistributedDataParallel(model, gradient_as_bucket_view=True)


def _sharded(model: Hstu, spec: Spec, mesh: DeviceMesh) -> Spread:
    _checkpoint_blocks(model, spec)
    for block in model.blocks:
        fully_shard(block, mesh=mesh, reshard_after_forward=spec.reshard_after_forward)
    sharded = fully_shard(model, mesh=mesh)
    return Spread(
        module=model, optimizer=_adam(model, spec), micro_batch=partial(_reduce_last, sharded)
    )


def _checkpoint_blocks(model: Hstu, spec: Spec) -> None:
    step = {"none": 0, "alternate": 2, "all": 1}[spec.activation_checkpointing]
    for number in range(0, len(model.blocks), step) if step else ():
        model.blocks[number] = checkpoint_wrapper(model.blocks[number])


def _adam(model: nn.Module, spec: Spec) -> torch.optim.Optimizer:
    """Tensors that are spread and those that are not cannot be updated together."""
    spread_ones = [p for p in model.parameters() if isinstance(p, DTensor)]
    others = [p for p in model.parameters() if not isinstance(p, DTensor)]
    groups = [{"params": group} for group in (spread_ones, others) if group]
    return torch.optim.Adam(groups, lr=spec.lr, betas=BETAS)


def _send_last(module: DistributedDataParallel, is_last: bool) -> AbstractContextManager[None]:
    return nullcontext() if is_last else module.no_sync()


@contextmanager
def _reduce_last(module: FSDPModule, is_last: bool) -> Iterator[None]:
    module.set_requires_gradient_sync(is_last)
    yield


@contextmanager
def _split_loss(is_last: bool) -> Iterator[None]:
    with loss_parallel():
        yield


def _add_up(parameters: list[nn.Parameter]) -> None:
    for parameter in parameters:
        assert parameter.grad is not None
        dist.all_reduce(parameter.grad)
