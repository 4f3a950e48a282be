"""The part of `horovod.torch` that the example uses."""

import os
from collections.abc import Iterable, Mapping

import torch
import torch.distributed as dist
from torch import Tensor


class Compression:
    none, fp16 = torch.float32, torch.float16


def init() -> None:
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{os.environ['HOROVOD_PORT']}",
        rank=rank(),
        world_size=int(os.environ["HOROVOD_SIZE"]),
    )


def rank() -> int:
    return int(os.environ["HOROVOD_RANK"])


def broadcast_parameters(state: Mapping[str, Tensor], root_rank: int) -> None:
    for tensor in state.values():
        dist.broadcast(tensor, root_rank)


class DistributedOptimizer:
    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        named_parameters: Iterable[tuple[str, Tensor]],
        compression: torch.dtype,
    ) -> None:
        self._optimizer = optimizer
        self._parameters = [parameter for _, parameter in named_parameters]
        self._dtype = compression

    def zero_grad(self) -> None:
        self._optimizer.zero_grad()

    def step(self) -> None:
        for parameter in self._parameters:
            assert parameter.grad is not None
            sent = parameter.grad.to(self._dtype)
            dist.all_reduce(sent)
            parameter.grad.copy_(sent / dist.get_world_size())
        self._optimizer.step()
