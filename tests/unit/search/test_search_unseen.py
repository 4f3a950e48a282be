"""Choosing among the members that nobody has tried."""

import random

from tests.unit.search.search_cases import CONDITIONAL
from tuner.search.unseen import LISTABLE, Unseen
from tuner.space import Choice, Float, Int, Params, Space, key

PLANE = Space(params={"x": Int(low=0, high=10), "y": Int(low=0, high=10)})
HUGE = Space(
    params={name: Int(low=0, high=1000) for name in "xyz"}, constraints=("x + y + z >= 1500",)
)


def taken(*configurations: Params) -> dict[str, Params]:
    return {key(params): params for params in configurations}


def test_the_farthest_is_the_opposite_corner() -> None:
    unseen = Unseen(PLANE, taken({"x": 0, "y": 0}))
    assert unseen.farthest(random.Random(0)) == {"x": 10, "y": 10}


def test_the_nearest_is_next_to_what_is_taken() -> None:
    unseen = Unseen(PLANE, taken({"x": 5, "y": 5}))
    nearest = unseen.nearest({"x": 5, "y": 5}, random.Random(0))
    assert nearest is not None
    assert abs(int(nearest["x"]) - 5) + abs(int(nearest["y"]) - 5) == 1


def test_equals_are_left_to_chance() -> None:
    unseen = Unseen(PLANE, taken({"x": 5, "y": 5}))
    corners = {str(unseen.farthest(random.Random(seed))) for seed in range(20)}
    assert len(corners) == 4


def test_a_large_space_is_sampled() -> None:
    size = HUGE.raw_size()
    assert size is not None
    assert size > LISTABLE
    start = {"x": 1000, "y": 1000, "z": 1000}
    unseen = Unseen(HUGE, taken(start))
    farthest = unseen.farthest(random.Random(0))
    assert farthest is not None
    assert HUGE.contains(farthest)
    assert sum(map(int, farthest.values())) < 2200


def test_in_a_large_space_a_broken_constraint_is_repaired_close_by() -> None:
    nearest = Unseen(HUGE, {}).nearest({"x": 1000, "y": 490, "z": 0}, random.Random(0))
    assert nearest is not None
    assert HUGE.contains(nearest)
    assert int(nearest["x"]) > 800


def test_real_numbers_never_run_out() -> None:
    space = Space(params={"x": Float(low=0, high=1)})
    first = Unseen(space, {}).any(random.Random(0))
    assert first is not None
    second = Unseen(space, taken(first)).any(random.Random(0))
    assert second not in (None, first)


def test_the_last_members_are_found() -> None:
    members = list(CONDITIONAL.members())
    for left in (1, 0):
        unseen = Unseen(CONDITIONAL, taken(*members[left:]))
        expected = members[0] if left else None
        assert unseen.any(random.Random(0)) == expected
        assert unseen.farthest(random.Random(0)) == expected
        assert unseen.nearest(members[5], random.Random(0)) == expected


def test_a_space_that_chance_does_not_hit_is_walked() -> None:
    numbers = Choice(options=tuple(range(100)))
    space = Space(params={"a": numbers, "b": numbers}, constraints=("a + b == 0",))
    assert Unseen(space, {}).any(random.Random(0)) == {"a": 0, "b": 0}
    assert Unseen(space, taken({"a": 0, "b": 0})).any(random.Random(0)) is None


def test_no_member_at_all() -> None:
    space = Space(params={"x": Float(low=0, high=1)}, constraints=("x > 2",))
    unseen = Unseen(space, {})
    assert unseen.any(random.Random(0)) is None
    assert unseen.farthest(random.Random(0)) is None
