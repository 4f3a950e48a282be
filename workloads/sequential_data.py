"""MovieLens-100K as histories: what each user rated, in order of time; the last film is held out.

Every user is one sample: the latest events before the held-out one, each asking for the film of
the next. A global batch is the same for any number of ranks and any size of micro-batch; these,
and bucketing by length, only decide which histories are padded to the length of which others.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from workloads import movielens
from workloads.movielens import Span

NUM_ITEMS = 1682
"""Films are numbered from 1; 0 is padding."""
NUM_RATINGS = 5


class Batch(NamedTuple):
    """Histories of b users, padded at their ends to the longest of them, n events."""

    items: Tensor
    """[b, n] int64."""
    ratings: Tensor
    """[b, n] int64, 1 to 5; 0 is padding."""
    seconds: Tensor
    """[b, n] int64: Unix time of each event."""
    asked: Tensor
    """[b, n] int64: Unix time of the event after it, at which its film is asked for."""
    places: Tensor
    """[events] int64: which of the b * n places have an answer."""
    answers: Tensor
    """[events] int64: the films that are right there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histories:
    """All events, user by user, each user's in order of time."""

    items: Tensor
    ratings: Tensor
    seconds: Tensor
    ends: Tensor
    """[users] one after the last event of each user, which is the held-out one."""
    events: Tensor
    """[users] events of each user."""

    @property
    def users(self) -> int:
        return len(self.ends)

    def lengths(self, users: Tensor, max_length: int) -> Tensor:
        """Events that these users bring into training: the last two only answer."""
        return (self.events[users] - 2).clamp(max=max_length)


@lru_cache(maxsize=1)
def load() -> Histories:
    """Reads the data. Raises movielens.DataMissingError where the package is not installed."""
    return histories_of(movielens.read_ratings())


def histories_of(ratings: Tensor) -> Histories:
    """From [rows, 4] (user, item, rating, second) in order of time; a user has three or more."""
    ratings = ratings[ratings[:, 0].argsort(stable=True)]
    _, events = torch.unique_consecutive(ratings[:, 0], return_counts=True)
    _, items, stars, seconds = ratings.unbind(1)
    return Histories(
        items=items.contiguous(),
        ratings=stars.contiguous(),
        seconds=seconds.contiguous(),
        ends=events.cumsum(0),
        events=events,
    )


def train_batch(data: Histories, users: Tensor, max_length: int) -> Batch:
    """The latest events of each user but the held-out one; every event asks for the next."""
    return _assemble(data, data.ends[users] - 2, data.lengths(users, max_length))


def held_out_batch(data: Histories, users: Tensor, max_length: int) -> Batch:
    """The latest events before the held-out one, which only the last of them asks for."""
    stop = data.ends[users] - 1
    lengths = (data.events[users] - 1).clamp(max=max_length)
    batch = _assemble(data, stop, lengths)
    last = torch.arange(len(users)) * batch.items.shape[1] + lengths - 1
    return batch._replace(places=last, answers=data.items[stop])


def _assemble(data: Histories, stop: Tensor, lengths: Tensor) -> Batch:
    """The `lengths` events before `stop` of each of b users."""
    steps = torch.arange(int(lengths.max()))
    real = steps < lengths[:, None]
    index = torch.where(real, (stop - lengths)[:, None] + steps, 0)
    return Batch(
        items=torch.where(real, data.items[index], 0),
        ratings=torch.where(real, data.ratings[index], 0),
        seconds=data.seconds[index],
        asked=data.seconds[index + 1],
        places=real.flatten().nonzero().squeeze(1),
        answers=data.items[index + 1][real],
    )


def seen_before(data: Histories, users: Tensor) -> Tensor:
    """[b, 1 + NUM_ITEMS] bool: padding, and films that a user rated before the held-out one."""
    seen = torch.zeros(len(users), 1 + NUM_ITEMS, dtype=torch.bool)
    seen[:, 0] = True
    for row, (stop, events) in enumerate(zip(data.ends[users], data.events[users], strict=True)):
        seen[row, data.items[stop - events : stop - 1]] = True
    return seen


def users_of(data: Histories, span: Span, seed: int) -> Tensor:
    """The users at these positions of the endless stream, each epoch shuffled anew."""
    return movielens.stream_rows(span, data.users, seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How a global batch is dealt out to the ranks that hold different data."""

    rank: int
    ranks: int
    micro_batch_size: int
    bucketing: bool

    def micro_batches(self, users: Tensor, lengths: Tensor) -> list[Tensor]:
        """This rank's users of a global batch, one tensor per micro-batch.

        With bucketing each holds histories of similar length, longest first, and all ranks get
        about the same number of events; the global batch is the same."""
        if self.bucketing:
            users = users[lengths.argsort(descending=True, stable=True)]
        return list(torch.split(users[self.rank :: self.ranks], self.micro_batch_size))
