import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads import uneven
from workloads.common import World


def test_shares_are_in_proportion_to_speed() -> None:
    assert uneven.shares(300, [2, 1]) == [200, 100]
    assert uneven.shares(8, [1, 1]) == [4, 4]
    assert uneven.shares(5, [1, 1]) == [3, 2]


@given(st.integers(0, 10_000), st.lists(st.floats(0.01, 100), min_size=1, max_size=9))
def test_shares_add_up_and_nobody_is_left_out(total: int, speeds: list[float]) -> None:
    parts = uneven.shares(total, speeds)
    assert sum(parts) == total
    assert min(parts) >= (1 if total >= len(speeds) else 0)
    exact = [total * speed / sum(speeds) for speed in speeds]
    assert all(abs(p - e) <= len(speeds) + 1 for p, e in zip(parts, exact, strict=True))


def test_spans_follow_each_other() -> None:
    spans = [uneven.span(100, 110, [3, 1, 1], rank) for rank in range(3)]
    assert spans == [(100, 106), (106, 108), (108, 110)]


def test_speeds_may_be_given() -> None:
    two = World(rank=0, world_size=2)
    assert uneven.speeds_of("even", two) == [1, 1]
    assert uneven.speeds_of("2,0.5", two) == [2, 0.5]
    assert uneven.speeds_of("measured", World()) == [1], "one rank has nobody to share with"
    for wrong in ("1", "1,0", "1,2,3"):
        with pytest.raises(ValueError, match="2 numbers above 0"):
            uneven.speeds_of(wrong, two)
    with pytest.raises(ValueError, match="fast"):
        uneven.speeds_of("fast,slow", two)
