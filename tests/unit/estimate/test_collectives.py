import pytest

from tuner.estimate.collectives import (
    Kind,
    Link,
    all_reduce,
    collective,
    one_way,
    ring_all_reduce,
    tree_all_reduce,
)

LINK = Link(latency_s=10e-6, bytes_per_s=1e9)


def test_a_ring_of_four_moves_one_and_a_half_buffers_in_six_steps() -> None:
    cost = ring_all_reduce(4, 100e6, LINK)
    assert cost.transfer_s == pytest.approx(0.15)
    assert cost.latency_s == pytest.approx(60e-6)
    assert cost.total_s == pytest.approx(0.15006)


def test_a_tree_of_five_takes_three_rounds() -> None:
    cost = tree_all_reduce(5, 1000, LINK)
    assert cost.latency_s == pytest.approx(30e-6)
    assert cost.transfer_s == pytest.approx(3e-6)


def test_small_messages_go_by_tree_and_large_ones_by_ring() -> None:
    assert all_reduce(8, 1e3, LINK) == tree_all_reduce(8, 1e3, LINK)
    assert all_reduce(8, 1e8, LINK) == ring_all_reduce(8, 1e8, LINK)


def test_a_ring_is_a_reduce_scatter_and_an_all_gather() -> None:
    halves = one_way(6, 5e7, LINK) + one_way(6, 5e7, LINK)
    assert halves.total_s == pytest.approx(ring_all_reduce(6, 5e7, LINK).total_s)


@pytest.mark.parametrize("kind", ["all_reduce", "all_gather", "reduce_scatter", "all_to_all"])
def test_one_rank_sends_nothing_and_two_send_something(kind: Kind) -> None:
    assert collective(kind, 1, 1e6, LINK).total_s == 0
    assert collective(kind, 2, 1e6, LINK).total_s > 0
