"""A workload to start from: copy it, and put your model and data in the place of these.

    python template_train.py --max-samples=100000               by itself, on one rank
    trimtab job check -f template.yaml                          some steps on two ranks

What a workload has to do, and what it may leave out, is in docs/workloads.md.
"""

import argparse
import os

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from tuner import report

FIELDS, TABLE_ROWS, DIM = 8, 10_000, 16
EVAL_ROWS, EVAL_SEED = 20_000, 999


def draw(rows: int, chance: torch.Generator, taste: Tensor) -> tuple[Tensor, Tensor]:
    """[rows, FIELDS] ids, [rows] clicks. Your data comes in here."""
    ids = (torch.rand(rows, FIELDS, generator=chance) ** 3 * TABLE_ROWS).long()
    return ids, (taste[ids].sum(1) > 0).float()


def train_step(model: nn.Module, ids: Tensor, clicks: Tensor, lr: float) -> float:
    """Gradients are averaged over all ranks, so each rank holds the same model."""
    loss = functional.binary_cross_entropy_with_logits(model(ids).squeeze(1), clicks)
    model.zero_grad()
    torch.autograd.backward(loss)
    with torch.no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            if dist.is_initialized():
                dist.all_reduce(parameter.grad, dist.ReduceOp.AVG)
            parameter.sub_(parameter.grad, alpha=lr)
    return loss.item()


@torch.no_grad()
def evaluate(model: nn.Module, taste: Tensor) -> float:
    """The loss on data that was never trained on, the same for every configuration."""
    ids, clicks = draw(EVAL_ROWS, torch.Generator().manual_seed(EVAL_SEED), taste)
    return functional.binary_cross_entropy_with_logits(model(ids).squeeze(1), clicks).item()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--global-batch-size", type=int, default=1024, help="of all ranks")
    parser.add_argument("--threads", type=int, default=1, help="of each rank")
    parser.add_argument("--lr", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval-at-samples", type=int, help="evaluates once, after so many")
    parser.add_argument("--max-samples", type=int, help="ends there; else runs until ended")
    options = parser.parse_args()
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if options.global_batch_size % world_size:
        parser.error(f"{options.global_batch_size} samples cannot be divided by {world_size} ranks")
    torch.set_num_threads(options.threads)
    if world_size > 1:
        dist.init_process_group("gloo")
    torch.manual_seed(options.seed)  # the model is the same on every rank
    tables = nn.Embedding(TABLE_ROWS, DIM)
    model = nn.Sequential(
        tables, nn.Flatten(), nn.Linear(FIELDS * DIM, 64), nn.ReLU(), nn.Linear(64, 1)
    )
    taste = torch.randn(TABLE_ROWS)
    chance = torch.Generator().manual_seed(options.seed * world_size + rank)  # the data is not
    rows, trained = options.global_batch_size // world_size, 0
    while options.max_samples is None or trained < options.max_samples:
        loss = train_step(model, *draw(rows, chance, taste), options.lr)
        report.step(samples=rows, loss=loss)  # this rank's share of the batch
        due = options.eval_at_samples is not None and trained < options.eval_at_samples
        trained += options.global_batch_size
        if due and trained >= options.eval_at_samples and rank == 0:
            with report.pause():  # it is no training, and does not count as such
                loss_test = evaluate(model, taste)
            report.value(loss_test=loss_test, quality_samples=trained)


if __name__ == "__main__":
    main()
