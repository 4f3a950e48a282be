"""Coordinates and identities of configurations."""

import math

import pytest

from tests.unit.search.search_cases import CONDITIONAL, REAL
from tuner.search.scale import filled, identity, position, ranked
from tuner.space import Choice, Int, Space


def test_a_logarithmic_scale_is_by_ratio() -> None:
    space = Space(params={"batch": Int(low=1, high=256, log=True), "n": Int(low=1, high=256)})
    assert position(space, {"batch": 16, "n": 1}) == pytest.approx((0.5, 0.0))


def test_numbers_lie_by_rank_whatever_their_order() -> None:
    space = Space(params={"batch": Choice(options=(1024, 256, 512))})
    places = [position(space, {"batch": value}) for value in (256, 512, 1024)]
    assert places == [(0.0,), (0.5,), (1.0,)]


def test_two_categories_are_one_apart() -> None:
    space = Space(params={"strategy": Choice(options=("a", "b", "c"))})
    a, b, c = (position(space, {"strategy": value}) for value in "abc")
    assert math.dist(a, b) == math.dist(b, c) == math.dist(a, c) == pytest.approx(1.0)


def test_a_parameter_of_one_value_takes_no_room() -> None:
    space = Space(params={"n": Int(low=3, high=3), "m": Choice(options=(7,))})
    assert position(space, {"n": 3, "m": 7}) == (0.0, 0.0)


def test_what_does_not_apply_stands_at_its_lowest() -> None:
    default = CONDITIONAL.default()
    assert "columns" not in default
    assert filled(CONDITIONAL, default) == {**default, "columns": 1}
    assert position(CONDITIONAL, default) == position(CONDITIONAL, {**default, "columns": 1})


def test_identity_does_not_depend_on_how_numbers_are_written() -> None:
    space = Space(params={"n": Choice(options=(1, 2.5)), "m": Int(low=1, high=3)})
    assert identity(space, {"n": 1.0, "m": 2.0}) == identity(space, {"m": 2, "n": 1})
    assert identity(REAL, {"share": 1}) == identity(REAL, {"share": 1.0})
    assert identity(space, {"n": 1, "m": 2}) != identity(space, {"n": 1, "m": 3})


def test_only_numbers_are_ranked() -> None:
    assert ranked(Choice(options=(3, 1, 2))) == (1, 2, 3)
    assert ranked(Choice(options=("b", "a"))) == ("b", "a")
    assert ranked(Choice(options=(True, False))) == (True, False)
