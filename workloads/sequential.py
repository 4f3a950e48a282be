"""A sequential recommender on MovieLens-100K: HSTU predicts the next film, on 1 to N ranks.

    python -m workloads.sequential --global-batch-size=64
    torchrun --nproc-per-node=2 -m workloads.sequential --strategy=fsdp --micro-batch-size=8

A sample is the history of a user. `--strategy` says how the model is spread over the ranks
(`workloads.sequential_parallel`), `--micro-batch-size` how much of its share of the global batch a
rank takes at once: it accumulates gradients over so many micro-batches as the share takes.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from workloads import common, movielens, sequential_data, sequential_parallel
from workloads.progress import Progress, evaluate_at, walk
from workloads.sequential_data import Batch, Histories, Share
from workloads.sequential_model import Hstu, hits_and_gains, rank_of_answer
from workloads.sequential_parallel import CHECKPOINTING, STRATEGIES, Spec, Spread

LR_BATCH = 64
"""The global batch that the learning rate is given for."""
TOP = 10
EVAL_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line."""

    global_batch_size: int
    micro_batch_size: int | None
    strategy: str
    reshard_after_forward: Literal["true", "false"]
    activation_checkpointing: str
    length_bucketing: Literal["true", "false"]
    precision: str
    threads_per_rank: int | None
    max_length: int
    dim: int
    heads: int
    blocks: int
    lr: float
    seed: int
    eval_at_samples: int | None
    max_samples: int | None


def parse(words: list[str], world: common.World) -> Options:
    """Reads the command line; ends with exit code 2 where these ranks cannot run it."""
    parser = argparse.ArgumentParser(prog="sequential", allow_abbrev=False)
    add, count, truth = parser.add_argument, common.whole_number, ["true", "false"]
    add("--global-batch-size", type=count(1), default=64, help="histories per step of all ranks")
    add("--micro-batch-size", type=count(1), help="of a rank, at once; default: all of its share")
    add("--strategy", choices=[*STRATEGIES], default="ddp")
    add("--reshard-after-forward", choices=truth, default="true", help="for fsdp and hsdp")
    add("--activation-checkpointing", choices=[*CHECKPOINTING], default="none", help="which blocks")
    add("--length-bucketing", choices=truth, default="false", help="micro-batches of like lengths")
    add("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16 is by autocast")
    add("--threads-per-rank", type=count(1), help="default: the cores divided by the local ranks")
    add("--max-length", type=count(1), default=128, help="events of a history, the latest ones")
    add("--dim", type=count(1), default=64)
    add("--heads", type=count(1), default=2)
    add("--blocks", type=count(1), default=2)
    add("--lr", type=float, default=0.003, help=f"for a global batch of {LR_BATCH}")
    add("--seed", type=count(0), default=0)
    add("--eval-at-samples", type=count(1), help="evaluates once, after so many samples")
    add("--max-samples", type=count(1), help="ends after so many; default: runs until stopped")
    options = Options(**vars(parser.parse_args(words)))
    problem = impossible(options, world)
    if problem:
        parser.error(problem)
    return options


def impossible(options: Options, world: common.World) -> str | None:
    """Why these ranks cannot run this, or None."""
    batch, size = options.global_batch_size, world.world_size
    if batch % size:
        return f"global batch size {batch} cannot be divided among {size} ranks"
    if options.dim % options.heads:
        return f"dim {options.dim} cannot be divided among {options.heads} heads"
    share = batch if options.strategy == "tensor_parallel" else batch // size
    if options.micro_batch_size is not None and options.micro_batch_size > share:
        return f"micro batch size {options.micro_batch_size} is more than a rank's share, {share}"
    for mark in (options.eval_at_samples, options.max_samples):
        if mark is not None and mark < size:
            return f"{mark} samples are none for some of {size} ranks"
    return sequential_parallel.impossible(options.strategy, options.heads, world)


class Trainer:
    """Model, optimizer and data of one rank."""

    def __init__(
        self, options: Options, world: common.World, device: torch.device, data: Histories
    ) -> None:
        torch.manual_seed(options.seed)
        model = Hstu(options.dim, options.heads, options.blocks, options.max_length).to(device)
        self.spread: Spread = sequential_parallel.spread(model, spec_of(options), world, device)
        alone = self.spread.sees_all_data
        ranks, rank = (1, 0) if alone else (world.world_size, world.rank)
        self._share = Share(
            rank=rank,
            ranks=ranks,
            micro_batch_size=options.micro_batch_size or options.global_batch_size,
            bucketing=options.length_bucketing == "true",
        )
        self._data = data
        self._device = device
        self._max_length = options.max_length
        self._bf16 = options.precision == "bf16"

    def train(self, users: Tensor) -> Tensor:
        """One step on a global batch; returns its mean loss over all events and ranks."""
        lengths = self._data.lengths(users, self._max_length)
        events = int(lengths.sum())
        batches = self._share.micro_batches(users, lengths)
        total = torch.zeros((), device=self._device)
        for number, mine in enumerate(batches, 1):
            batch = sequential_data.train_batch(self._data, mine, self._max_length)
            with self.spread.micro_batch(number == len(batches)):
                logits, answers = self._logits(batch)
                loss = functional.cross_entropy(logits, answers, reduction="sum")
                torch.autograd.backward(loss * (self._share.ranks / events))
            total += sequential_parallel.whole(loss.detach())
        self.spread.finish()
        self.spread.optimizer.step()
        self.spread.optimizer.zero_grad()
        self._add_up(total)
        return total / events

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """How often the held-out film is among the first, and how far up, over all users."""
        totals = torch.zeros(2, dtype=torch.float64, device=self._device)
        order = self._data.events.argsort(descending=True)
        for block in torch.split(order, EVAL_BATCH * self._share.ranks):
            mine = block[self._share.rank :: self._share.ranks]
            # A rank without users takes part all the same: parameters may be spread.
            users = mine if len(mine) else block[:1]
            batch = sequential_data.held_out_batch(self._data, users, self._max_length)
            logits, answers = self._logits(batch)
            seen = sequential_data.seen_before(self._data, users).to(self._device)
            place = rank_of_answer(sequential_parallel.whole(logits), answers, seen)[: len(mine)]
            totals += torch.stack([part.sum() for part in hits_and_gains(place, TOP)])
        self._add_up(totals)
        hits, gains = (totals / self._data.users).tolist()
        return {"ndcg_at_10": gains, "hr_at_10": hits}

    def _logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        batch = Batch(*(part.to(self._device) for part in batch))
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            logits: Tensor = self.spread.module(batch)
        return logits.float(), batch.answers

    def _add_up(self, values: Tensor) -> None:
        if self._share.ranks > 1:
            dist.all_reduce(values)


def spec_of(options: Options) -> Spec:
    """The learning rate grows with the square root of the global batch."""
    return Spec(
        strategy=options.strategy,
        reshard_after_forward=options.reshard_after_forward == "true",
        activation_checkpointing=options.activation_checkpointing,
        lr=options.lr * math.sqrt(options.global_batch_size / LR_BATCH),
    )


def prepare() -> None:
    """What any trial does first; a warm start has it done once, before it forks their ranks."""
    torch.set_num_threads(1)  # other threads would be missing in a fork
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # the first imports torch's compiler
    sequential_data.load()


def main(words: list[str]) -> None:
    world = common.world_from_environment()
    options = parse(words, world)
    common.end_on_sigterm()
    common.set_threads(world, options.threads_per_rank)
    device = common.pick_device(world)
    common.start_process_group(world, device)
    learn(options, world, device)
    # The model is gone by now: a process group does not end while one is spread over it.
    common.end_process_group()


def learn(options: Options, world: common.World, device: torch.device) -> None:
    data = sequential_data.load()
    trainer = Trainer(options, world, device, data)
    progress = Progress(device, world)
    evaluated_at = evaluate_at(options, world)
    for start, stop in walk(options, world):
        loss = trainer.train(sequential_data.users_of(data, (start, stop), options.seed))
        progress.step((stop - start) // world.world_size, loss)
        if stop == evaluated_at:
            progress.tell_quality(stop, loss, trainer.evaluate, "held-out films")
    progress.tell(loss)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except movielens.DataMissingError as error:
        sys.exit(str(error))
