"""Neural collaborative filtering of MovieLens-100K with PyTorch Lightning, as anybody may have it.

Learns which films a user rates at all, from every rating and from films drawn by chance.
"""

import argparse
import importlib.util
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
)

NUM_USERS, NUM_FILMS, NEGATIVES = 944, 1683, 4


def load() -> tuple[TensorDataset, TensorDataset]:
    """(user, film, whether rated) to train with, and of the latest tenth to validate with."""
    package = importlib.util.find_spec("recbole")
    if package is None or package.origin is None:
        raise SystemExit("MovieLens-100K is missing: pip install --no-deps recbole==1.2.1")
    file = Path(package.origin).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"
    numbers = file.read_text(encoding="utf-8").partition("\n")[2].split()
    rows = torch.tensor([int(word) for word in numbers]).view(-1, 4)
    rows = rows[rows[:, 3].argsort(stable=True)]
    users = rows[:, 0].repeat_interleave(1 + NEGATIVES)
    films = torch.randint(1, NUM_FILMS, (len(rows), 1 + NEGATIVES))
    films[:, 0] = rows[:, 1]
    rated = torch.zeros(films.shape)
    rated[:, 0] = 1.0
    columns = (users, films.flatten(), rated.flatten())
    cut = len(users) * 9 // 10
    return TensorDataset(*(c[:cut] for c in columns)), TensorDataset(*(c[cut:] for c in columns))


def loader(data: TensorDataset, batch_size: int, workers: int, *, shuffle: bool) -> DataLoader:
    """Whole batches at once, which is much quicker than row by row."""
    order = RandomSampler(data) if shuffle else SequentialSampler(data)
    batches = BatchSampler(order, batch_size, drop_last=shuffle)
    return DataLoader(
        data,
        sampler=batches,
        batch_size=None,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


class NeuralFiltering(pl.LightningModule):
    """Vectors of user and film: their product, and an MLP over both."""

    def __init__(self, dim: int, learning_rate: float) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.users = nn.Embedding(NUM_USERS, 2 * dim)
        self.films = nn.Embedding(NUM_FILMS, 2 * dim)
        self.mlp = nn.Sequential(
            nn.Linear(2 * dim, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, dim)
        )
        self.head = nn.Linear(2 * dim, 1)

    def forward(self, users: Tensor, films: Tensor) -> Tensor:
        (user, user_deep), (film, film_deep) = (
            vectors.chunk(2, dim=1) for vectors in (self.users(users), self.films(films))
        )
        deep = self.mlp(torch.cat([user_deep, film_deep], dim=1))
        logits: Tensor = self.head(torch.cat([user * film, deep], dim=1))
        return logits.squeeze(1)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        users, films, rated = batch
        loss = functional.binary_cross_entropy_with_logits(self(users, films), rated)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        users, films, rated = batch
        loss = functional.binary_cross_entropy_with_logits(self(users, films), rated)
        self.log("val_loss", loss, prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--num-workers", type=int, default=0)
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="32-true")
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--dim", type=int, default=32)
    options = parser.parse_args()
    pl.seed_everything(1)
    train, valid = load()
    trainer = pl.Trainer(
        accelerator="auto",
        max_epochs=options.epochs,
        precision=options.precision,
        accumulate_grad_batches=options.accumulate,
        callbacks=[TQDMProgressBar(refresh_rate=10)],
        logger=False,
        enable_checkpointing=False,
    )
    trainer.fit(
        NeuralFiltering(options.dim, learning_rate=0.002),
        loader(train, options.batch_size, options.num_workers, shuffle=True),
        loader(valid, 8192, 0, shuffle=False),
    )


if __name__ == "__main__":
    main()
