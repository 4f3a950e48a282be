"""A data-parallel model on made-up data, with the three lines that Trimtab needs."""

import argparse
import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional

from tuner import report  # 1

FEATURES = 256


def train_step(model: nn.Module, rows: int, lr: float, taste: torch.Tensor) -> float:
    features = torch.randn(rows, FEATURES)
    clicks = (features @ taste > 0).float()
    loss = functional.binary_cross_entropy_with_logits(model(features).squeeze(1), clicks)
    model.zero_grad()
    torch.autograd.backward(loss)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.sub_(parameter.grad, alpha=lr / dist.get_world_size())
    return loss.item()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--lr", type=float, default=0.03)
    parser.add_argument("--steps", type=int, default=100_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 256), nn.ReLU(), nn.Linear(256, 1))
    taste = torch.randn(FEATURES)
    dist.init_process_group("gloo")  # RANK, WORLD_SIZE and MASTER_ADDR are set for each rank
    torch.manual_seed(dist.get_rank())
    rows = options.batch_size // dist.get_world_size()
    for _ in range(options.steps):
        loss = train_step(model, rows, options.lr, taste)
        report.step(samples=rows, loss=loss)  # 2: this rank's share of the batch
    report.value(quality_samples=rows * options.steps)  # 3: whatever else there is to tell
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
