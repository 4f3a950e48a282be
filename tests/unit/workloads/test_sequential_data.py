"""Histories: nothing of the held-out film is trained on, and a global batch is always the same."""

import pytest
import torch
from torch import Tensor

from workloads import sequential_data
from workloads.sequential_data import Histories, Share

EVENTS = {7: [11, 12, 13, 14, 15, 16], 3: [21, 22, 23], 9: [31, 32, 33, 34]}
"""The films of three users, each in order of time."""


@pytest.fixture
def data() -> Histories:
    """The users' events one after the other, as they come in a file in order of time."""
    rows, second = [], 1000
    for turn in range(6):
        for user, films in EVENTS.items():
            if turn < len(films):
                rows.append([user, films[turn], 1 + turn % 5, second])
                second += 10
    return sequential_data.histories_of(torch.tensor(rows))


EVERYONE = torch.tensor([0, 1, 2])  # in order of their numbers: 3, 7, 9


def answers_of(batch: sequential_data.Batch) -> list[tuple[int, int]]:
    """(film of the event, film that is right there) for all places with an answer."""
    asking = batch.items.flatten()[batch.places]
    return list(zip(asking.tolist(), batch.answers.tolist(), strict=True))


def test_every_event_asks_for_the_next_but_never_for_the_held_out_one(data: Histories) -> None:
    batch = sequential_data.train_batch(data, EVERYONE, 100)
    assert batch.items.tolist() == [[21, 0, 0, 0], [11, 12, 13, 14], [31, 32, 0, 0]]
    pairs = [(21, 22), (11, 12), (12, 13), (13, 14), (14, 15), (31, 32), (32, 33)]
    assert answers_of(batch) == pairs


def test_the_held_out_film_is_asked_for_by_the_event_before_it(data: Histories) -> None:
    batch = sequential_data.held_out_batch(data, EVERYONE, 100)
    assert batch.items.tolist() == [[21, 22, 0, 0, 0], [11, 12, 13, 14, 15], [31, 32, 33, 0, 0]]
    assert answers_of(batch) == [(22, 23), (15, 16), (33, 34)]


def test_long_histories_keep_their_latest_events(data: Histories) -> None:
    assert sequential_data.train_batch(data, EVERYONE, 2).items.tolist() == [
        [21, 0],
        [13, 14],
        [31, 32],
    ]
    held_out = sequential_data.held_out_batch(data, EVERYONE, 2)
    assert held_out.items.tolist() == [[21, 22], [14, 15], [32, 33]]
    assert data.lengths(EVERYONE, 2).tolist() == [1, 2, 2]


def test_an_event_is_asked_at_the_moment_of_the_next(data: Histories) -> None:
    batch = sequential_data.train_batch(data, EVERYONE[1:2], 100)
    assert torch.equal(batch.asked[:, :-1], batch.seconds[:, 1:])
    assert bool((batch.asked > batch.seconds).all())
    assert batch.ratings.tolist() == [[1, 2, 3, 4]]


def test_films_seen_before_cannot_be_shown_again(data: Histories) -> None:
    seen = sequential_data.seen_before(data, EVERYONE)
    assert seen.shape == (3, 1 + sequential_data.NUM_ITEMS)
    assert [row.nonzero().flatten().tolist() for row in seen] == [
        [0, 21, 22],
        [0, 11, 12, 13, 14, 15],
        [0, 31, 32, 33],
    ]


@pytest.mark.parametrize("bucketing", [False, True])
@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("micro_batch_size", [1, 3, 16])
def test_all_ranks_together_have_the_whole_batch_once(
    ranks: int, micro_batch_size: int, bucketing: bool
) -> None:
    users, lengths = torch.arange(100, 132), torch.arange(32) * 37 % 101
    dealt = [share(r, ranks, micro_batch_size, bucketing, users, lengths) for r in range(ranks)]
    assert len({len(batches) for batches in dealt}) == 1
    assert all(len(mine) <= micro_batch_size for batches in dealt for mine in batches)
    everyone = torch.cat([mine for batches in dealt for mine in batches])
    assert sorted(everyone.tolist()) == users.tolist()


def test_bucketing_pads_less_and_deals_out_events_evenly() -> None:
    users, lengths = torch.arange(64), torch.arange(64) * 37 % 128 + 1
    padded, events = {}, {}
    for bucketing in (False, True):
        dealt = [share(r, 2, 8, bucketing, users, lengths) for r in range(2)]
        padded[bucketing] = sum(len(m) * int(lengths[m].max()) for b in dealt for m in b)
        events[bucketing] = [int(lengths[torch.cat(batches)].sum()) for batches in dealt]
    assert padded[True] < 0.8 * padded[False]
    assert max(events[True]) < 1.05 * min(events[True])
    assert sum(events[True]) == sum(events[False])


def share(
    rank: int,
    ranks: int,
    micro_batch_size: int,
    bucketing: bool,
    users: Tensor,
    lengths: Tensor,
) -> list[Tensor]:
    dealt = Share(rank=rank, ranks=ranks, micro_batch_size=micro_batch_size, bucketing=bucketing)
    return dealt.micro_batches(users, lengths)


def test_movielens_is_943_users_with_one_film_held_out_each() -> None:
    data = sequential_data.load()
    everyone = torch.arange(data.users)
    assert (data.users, int(data.events.sum()), int(data.events.min())) == (943, 100_000, 20)
    assert int(data.ends[-1]) == len(data.items) == 100_000
    assert int(data.items.max()) == sequential_data.NUM_ITEMS
    held_out = sequential_data.held_out_batch(data, everyone, 50)
    seen = sequential_data.seen_before(data, everyone)
    assert not bool(seen.gather(1, held_out.answers[:, None]).any())
    assert bool((held_out.asked >= held_out.seconds).all())


def test_an_epoch_visits_every_user_once_in_an_order_of_its_own() -> None:
    data = sequential_data.load()
    first, second = (sequential_data.users_of(data, (s, s + 943), seed=0) for s in (0, 943))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(943))
    assert not torch.equal(first, second)
