"""Matrix factorization on MovieLens-100K that can be stopped, resharded and continued.

    python -m workloads.factorization --global-batch-size=1024
    torchrun --nproc-per-node=2 -m workloads.factorization

Will this user rate this film 4 or better: a dot product of two vectors and two biases. The rows of
the table are dealt out to the ranks in blocks; every rank computes the loss of its share of the
batch. What it has learnt can be saved by two ranks and gone on with by one, or the other way round.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from tuner import report
from workloads import common, movielens
from workloads.checkpoint import Checkpoints, rows_of, sharded

SMOOTH = 0.02
"""Share of the latest step in the loss that is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line."""

    global_batch_size: int
    threads_per_rank: int | None
    dim: int
    lr: float
    seed: int
    max_samples: int | None


def parse(words: list[str], world: common.World) -> Options:
    """Reads the command line; ends with exit code 2 where these ranks cannot run it."""
    parser = argparse.ArgumentParser(prog="factorization", allow_abbrev=False)
    add, count = parser.add_argument, common.whole_number
    add("--global-batch-size", type=count(1), default=1024, help="samples per step of all ranks")
    add("--threads-per-rank", type=count(1), help="default: the cores divided by the local ranks")
    add("--dim", type=count(1), default=32, help="length of a vector")
    add("--lr", type=float, default=0.05)
    add("--seed", type=count(0), default=0)
    add("--max-samples", type=count(1), help="ends after so many; default: runs until stopped")
    options = Options(**vars(parser.parse_args(words)))
    if options.global_batch_size % world.world_size:
        batch, size = options.global_batch_size, world.world_size
        parser.error(f"global batch size {batch} cannot be divided among {size} ranks")
    return options


class Factors:
    """A rank's block of the rows of users and films, each a vector and a bias; Adagrad's sums."""

    def __init__(self, options: Options, num_rows: int, world: common.World) -> None:
        self._world, self._lr = world, options.lr
        self.num_rows = num_rows
        self._start, stop = rows_of(num_rows, world)
        generator = torch.Generator().manual_seed(options.seed)
        # Drawn whole and cut, so that any number of ranks starts from the same.
        first = torch.randn(num_rows, options.dim + 1, generator=generator) * 0.05
        first[:, -1] = 0
        self.weight = first[self._start : stop].clone()
        self.squares = torch.zeros_like(self.weight)

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint; the tensors themselves, so that loading fills them."""
        return {
            "weight": sharded(self.weight, self.num_rows, self._world),
            "squares": sharded(self.squares, self.num_rows, self._world),
        }

    def train(self, ids: Tensor, label: Tensor) -> Tensor:
        """One step on [B, 2] rows and [B] labels of the global batch; returns its mean loss."""
        size, rank = self._world.world_size, self._world.rank
        vectors = self._lookup(ids)
        b = len(ids) // size
        mine = slice(rank * b, (rank + 1) * b)
        share = vectors[mine].requires_grad_()
        user, film = share[:, 0], share[:, 1]
        logit = (user[:, :-1] * film[:, :-1]).sum(1) + user[:, -1] + film[:, -1]
        loss = functional.binary_cross_entropy_with_logits(logit, label[mine], reduction="sum")
        torch.autograd.backward(loss / len(ids))
        assert share.grad is not None
        grad, total = share.grad, loss.detach()
        if size > 1:
            parts = [torch.empty_like(grad) for _ in range(size)]
            dist.all_gather(parts, grad)
            grad = torch.cat(parts)
            dist.all_reduce(total)
        self._update(ids, grad)
        return total / len(ids)

    def _lookup(self, ids: Tensor) -> Tensor:
        """[B, 2] -> [B, 2, dim + 1], on every rank."""
        local = ids - self._start
        held = (local >= 0) & (local < len(self.weight))
        vectors = self.weight.new_zeros(*ids.shape, self.weight.shape[1])
        vectors[held] = self.weight[local[held]]
        if self._world.world_size > 1:
            dist.all_reduce(vectors)
        return vectors

    def _update(self, ids: Tensor, grad: Tensor) -> None:
        local = (ids - self._start).flatten()
        held = (local >= 0) & (local < len(self.weight))
        touched, place = torch.unique(local[held], return_inverse=True)
        summed = grad.new_zeros(len(touched), grad.shape[-1])
        summed.index_add_(0, place, grad.flatten(0, 1)[held])
        squares = self.squares[touched] + summed.square()
        self.squares[touched] = squares
        self.weight[touched] -= self._lr * summed / (squares.sqrt() + 1e-8)


def batches(num_rows: int, options: Options, start: int) -> Iterator[tuple[Tensor, int]]:
    """(rows of the data, samples trained after them), from a position of the sample stream on."""
    size, at = options.global_batch_size, start
    while options.max_samples is None or at < options.max_samples:
        rows = movielens.stream_rows((at, at + size), num_rows, options.seed)
        at += size
        yield rows, at


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
    users = int(data.columns[:, 0].max()) + 1
    ids = data.columns[: data.test_start, :2] + torch.tensor([0, users])
    label = data.label[: data.test_start]
    common.start_process_group(world, torch.device("cpu"))
    model = Factors(options, users + int(data.columns[:, 1].max()) + 1, world)
    checkpoints = Checkpoints(world)
    began = checkpoints.load(model.state())
    if world.leads:
        print(f"begins after {began:,} samples on {world.world_size} rank(s)", flush=True)
    smooth: float | None = None
    for step, (rows, trained) in enumerate(batches(len(ids), options, began), 1):
        loss = model.train(ids[rows], label[rows]).item()
        smooth = loss if smooth is None else smooth + SMOOTH * (loss - smooth)
        report.step(
            samples=len(rows) / world.world_size, loss=smooth, trained_samples=float(trained)
        )
        if checkpoints.is_due(step):
            checkpoints.save(model.state(), trained)
            break
    common.end_process_group()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except movielens.DataMissingError as error:
        sys.exit(str(error))
