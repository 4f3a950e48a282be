"""A small click model on made-up data: a script as anybody may have it, without Trimtab."""

import argparse
import time

import torch
from torch import nn
from torch.nn import functional

FIELDS, ROWS, DIM = 8, 20_000, 16


class ClickModel(nn.Module):
    """Embeddings, their dot products or themselves, and a small MLP."""

    def __init__(self, interaction: str, projection: int) -> None:
        super().__init__()
        self.interaction = interaction
        self.tables = nn.Embedding(FIELDS * ROWS, DIM)
        self.project = nn.Linear(DIM, projection)
        width = FIELDS * FIELDS if interaction == "dot" else FIELDS * DIM
        self.mlp = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        vectors = self.tables(ids)
        if self.interaction == "dot":
            small = self.project(vectors)
            vectors = small @ small.mT
        logits: torch.Tensor = self.mlp(vectors.flatten(1))
        return logits.squeeze(1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--interaction", choices=["dot", "concat"], default="dot")
    parser.add_argument("--projection", type=int, default=DIM)
    parser.add_argument("--steps", type=int, default=100_000)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = ClickModel(options.interaction, options.projection)
    offsets = torch.arange(FIELDS) * ROWS
    taste = torch.randn(FIELDS * ROWS)
    started_s = time.perf_counter()
    for step in range(1, options.steps + 1):
        ids = (torch.rand(options.batch_size, FIELDS) ** 3 * ROWS).long() + offsets
        clicks = (taste[ids].sum(1) > 0).float()
        loss = functional.binary_cross_entropy_with_logits(model(ids), clicks)
        model.zero_grad()
        torch.autograd.backward(loss)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=0.1)
        if step % 10 == 0:
            step_ms = (time.perf_counter() - started_s) * 100
            line = f"step {step} of {options.steps}, {step_ms:.2f} ms, loss {loss.item():.4f}"
            print(line, flush=True)
            started_s = time.perf_counter()


if __name__ == "__main__":
    main()
