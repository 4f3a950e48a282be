import os

import pytest

from tuner.executors.supervisor import first_cause, reap_ranks, sample_gap_s


@pytest.mark.parametrize(
    ("exits", "cause"),
    [
        ({}, None),
        ({0: 0, 1: 0}, None),
        ({0: 0, 1: 3}, 1),
        ({0: 1, 1: 1}, 0),
        ({0: 1, 1: 1, 2: -9}, 2),
        ({0: -15, 1: -9}, 0),
    ],
)
def test_the_cause_is_the_rank_that_a_signal_ended(
    exits: dict[int, int | None], cause: int | None
) -> None:
    assert first_cause(exits) == cause


def test_an_orphan_with_the_pid_of_a_rank_does_not_end_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pids = {0: 70, 1: 71}
    turns = iter([(70, 0), (70, 9), (0, 0), (70, 9), (71, 15), (0, 0)])
    monkeypatch.setattr(os, "waitpid", lambda pid, options: next(turns))
    first = reap_ranks(pids, {})
    assert first == {0: 0}
    assert reap_ranks(pids, first) == {1: -15}


@pytest.mark.parametrize(
    ("spent_s", "limit_gib", "gap_s"),
    [(0.001, None, 0.5), (0.001, 4.0, 0.5), (0.1, None, 10.0), (0.1, 4.0, 2.0)],
)
def test_a_limit_of_memory_is_watched_whatever_that_takes(
    spent_s: float, limit_gib: float | None, gap_s: float
) -> None:
    assert sample_gap_s(spent_s, limit_gib) == gap_s
