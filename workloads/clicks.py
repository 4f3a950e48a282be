"""Click data for the DLRMs: which there is, a rank's share of it, loading, and quality on a test
set."""

from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from workloads import movielens, synthetic
from workloads.ahead import ahead
from workloads.common import World, end_with_parent, whole_number
from workloads.movielens import Batch, MovieLensClicks, Span
from workloads.synthetic import Synthetic

EVAL_BATCH = 2048


class Clicks(Protocol):
    """An endless stream of samples to learn, and a test set."""

    @property
    def rows(self) -> list[int]:
        """Rows of every embedding table."""
        ...

    @property
    def num_dense(self) -> int: ...

    @property
    def num_test(self) -> int: ...

    def train(self, span: Span) -> Batch:
        """The samples at these positions of the stream."""
        ...

    def test(self, places: Tensor) -> Batch:
        """These of the test set."""
        ...


class DataOptions(Protocol):
    """What a command line says of the data."""

    @property
    def data(self) -> str: ...

    @property
    def table_rows_scale(self) -> float: ...

    @property
    def max_table_rows(self) -> int: ...

    @property
    def zipf_exponent(self) -> float: ...

    @property
    def seed(self) -> int: ...


def add_options(parser: ArgumentParser) -> None:
    """The options of the data and of loading it."""
    add, count = parser.add_argument, whole_number
    add("--data", choices=["movielens", "synthetic"], default="movielens")
    add("--table-rows-scale", type=float, default=1.0, help="grows hashed or synthetic tables")
    add("--max-table-rows", type=count(1), default=10_000_000, help="cuts synthetic tables")
    add("--zipf-exponent", type=float, default=1.05, help="of synthetic ids; 0: all the same")
    add("--loader-workers", type=count(0), default=0, help="0: the rank assembles its batches")
    add("--prefetch", type=count(0), help="batches made ahead: by each worker (default 2), or by "
        "a thread of the rank where there are none (default 0)")  # fmt: skip


def table_rows(options: DataOptions) -> list[int]:
    """Rows of every embedding table; reads no data."""
    if options.data == "movielens":
        return movielens.table_rows(options.table_rows_scale)
    return synthetic.table_rows(options.table_rows_scale, options.max_table_rows)


def open_clicks(options: DataOptions) -> Clicks:
    """Raises movielens.DataMissingError where its package is not installed."""
    rows = table_rows(options)
    if options.data == "movielens":
        return MovieLensClicks(data=movielens.load(), rows=rows, seed=options.seed)
    return Synthetic(rows=rows, zipf_exponent=options.zipf_exponent, seed=options.seed)


class Share(Dataset[Batch]):
    """Span of the global stream, which is the same for any world -> this rank's share of it."""

    def __init__(self, clicks: Clicks, world: World) -> None:
        self._clicks = clicks
        self._world = world

    def __getitem__(self, span: Span) -> Batch:
        start, stop = span
        share = (stop - start) // self._world.world_size
        first = start + self._world.rank * share
        return self._clicks.train((first, first + share))


def load_batches(
    batches: Share, spans: Iterable[Span], workers: int, prefetch: int | None, pin_memory: bool
) -> Iterator[Batch]:
    """The batches in order: assembled by so many worker processes, by a thread, or when needed."""
    if workers == 0:
        return ahead(map(batches.__getitem__, spans), prefetch or 0)
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=spans,
        num_workers=workers,
        prefetch_factor=prefetch,
        pin_memory=pin_memory,
        worker_init_fn=end_with_parent,
        multiprocessing_context="fork",
    )
    return iter(loader)


def evaluate(predict: Callable[[Batch], Tensor], clicks: Clicks, world: World) -> dict[str, float]:
    """Area under the ROC curve and loss over the whole test set, from logits of ranks' shares."""
    size = world.world_size
    logits, labels = [], []
    for block in torch.split(torch.arange(clicks.num_test), EVAL_BATCH * size):
        share = -(-len(block) // size)
        mine = (torch.arange(share) + world.rank * share).clamp(max=len(block) - 1)
        batch = clicks.test(block)
        logit = predict(Batch(*(part[mine] for part in batch)))
        logits.append(gather(logit, size)[: len(block)].cpu())
        labels.append(batch.label)
    score, label = torch.cat(logits), torch.cat(labels)
    loss = functional.binary_cross_entropy_with_logits(score, label)
    return {"auc": auc(score, label), "loss_test": loss.item()}


def gather(values: Tensor, world_size: int) -> Tensor:
    """[b] of each rank -> [W * b] on every rank."""
    if world_size == 1:
        return values
    gathered = values.new_empty(world_size * len(values))
    dist.all_gather(list(gathered.chunk(world_size)), values)
    return gathered


def auc(score: Tensor, label: Tensor) -> float:
    """Exact area under the ROC curve by the rank statistic, a tie counting half."""
    ordered = score.sort().values
    below = torch.searchsorted(ordered, score)
    not_above = torch.searchsorted(ordered, score, right=True)
    mean_rank = (below + not_above + 1).double() / 2
    positive = label > 0.5
    hits, misses = int(positive.sum()), int((~positive).sum())
    above = float(mean_rank[positive].sum()) - hits * (hits + 1) / 2
    return above / (hits * misses) if hits and misses else float("nan")
