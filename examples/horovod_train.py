"""Neural collaborative filtering of MovieLens-100K with Horovod, as anybody may have it.

horovodrun --gloo -np 2 python horovod_train.py
"""

import argparse
import importlib.util
from pathlib import Path

import horovod.torch as hvd
import torch
from torch import Tensor, nn
from torch.nn import functional

NUM_USERS, NUM_FILMS, DIM = 944, 1683, 32


def load() -> tuple[Tensor, Tensor]:
    """[n, 2] user and film, [n] whether the user liked it."""
    package = importlib.util.find_spec("recbole")
    if package is None or package.origin is None:
        raise SystemExit("MovieLens-100K is missing: pip install --no-deps recbole==1.2.1")
    file = Path(package.origin).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"
    numbers = file.read_text(encoding="utf-8").partition("\n")[2].split()
    rows = torch.tensor([int(word) for word in numbers]).view(-1, 4)
    return rows[:, :2], (rows[:, 2] >= 4).float()


class Filtering(nn.Module):
    """Vectors of user and film, and an MLP over both."""

    def __init__(self) -> None:
        super().__init__()
        self.users = nn.Embedding(NUM_USERS, DIM)
        self.films = nn.Embedding(NUM_FILMS, DIM)
        layers = [nn.Linear(2 * DIM, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(128, 1))

    def forward(self, pairs: Tensor) -> Tensor:
        vectors = torch.cat([self.users(pairs[:, 0]), self.films(pairs[:, 1])], dim=1)
        logits: Tensor = self.mlp(vectors)
        return logits.squeeze(1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=256, help="of each rank")
    parser.add_argument("--compression", choices=["none", "fp16"], default="none")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100_000)
    options = parser.parse_args()
    hvd.init()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    pairs, liked = load()
    model = Filtering()
    optimizer = hvd.DistributedOptimizer(
        torch.optim.SGD(model.parameters(), lr=0.1),
        named_parameters=model.named_parameters(),
        compression=getattr(hvd.Compression, options.compression),
    )
    hvd.broadcast_parameters(model.state_dict(), root_rank=0)
    torch.manual_seed(hvd.rank())
    for step in range(1, options.steps + 1):
        rows = torch.randint(len(liked), (options.batch_size,))
        loss = functional.binary_cross_entropy_with_logits(model(pairs[rows]), liked[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        if step % 10 == 0 and hvd.rank() == 0:
            print(f"step {step} of {options.steps}, loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
