"""Ranking, forecasts and the start of methods with a population."""

import math
import random

import pytest

from tests.unit.search.search_cases import TINY
from tuner.expression import Value
from tuner.known import NEVER
from tuner.search.history import Lesson
from tuner.search.population import (
    Individual,
    at_share,
    crowding,
    dominates,
    expect,
    fronts,
    most_promising,
    start,
    survivors,
)
from tuner.search.scale import coordinates, identity
from tuner.search.unseen import Unseen
from tuner.space import Choice, Float, Int, Params, Space

LINE = Space(params={"x": Int(low=0, high=100)})


def lesson(*gains: float, infeasible: float = -1.0) -> Lesson:
    return Lesson(sum(gains), gains, infeasible)


def told(gains: dict[int, float]) -> list[Individual]:
    return [Individual({"x": x}, lesson(gain)) for x, gain in gains.items()]


def test_what_may_win_comes_before_what_may_not_however_good() -> None:
    assert fronts([lesson(9.0, infeasible=0.1), lesson(-9.0)]) == [[1], [0]]


def test_of_two_that_may_not_win_the_smaller_violation_counts() -> None:
    above = dominates([lesson(1.0, infeasible=0.5), lesson(0.0, infeasible=0.2)])
    assert above.tolist() == [[False, False], [True, False]]


def test_neither_of_two_compromises_beats_the_other() -> None:
    assert fronts([lesson(0.0, 0.0), lesson(2.0, 1.0), lesson(1.0, 2.0)]) == [[1, 2], [0]]


def test_one_objective_is_compared_by_the_score_whatever_its_own_gain() -> None:
    assert fronts([Lesson(-1.0, (1.0,), -1.0), Lesson(-2.0, (2.0,), -1.0)]) == [[0], [1]]


def test_the_ends_of_a_front_are_the_loneliest_then_what_stands_apart() -> None:
    distances = crowding([lesson(0.0, 4.0), lesson(1.0, 3.0), lesson(1.5, 2.5), lesson(4.0, 0.0)])
    assert distances == [math.inf, pytest.approx(0.75), pytest.approx(1.5), math.inf]


def test_survivors_are_the_best_of_any_number() -> None:
    best = survivors(told({x: -abs(x - 70.0) for x in range(200)}), 3)
    assert [individual.params["x"] for individual in best] == [70, 69, 71]


def test_a_crowded_front_keeps_its_ends() -> None:
    front = [Individual({"x": x}, lesson(x / 10, -(x / 10))) for x in range(11)]
    assert {individual.params["x"] for individual in survivors(front, 2)} == {0, 10}


def test_neighbours_are_weighed_by_their_nearness() -> None:
    near, between = expect(LINE, told({0: 0.0, 10: 1.0}), [{"x": 9}, {"x": 5}], None)
    assert near.score == pytest.approx(81 / 82, abs=1e-4)
    assert between.gains == pytest.approx((0.5,))


def test_what_is_known_is_not_taken_from_neighbours() -> None:
    def known(params: Params) -> float:
        return float(params["x"])

    (expected,) = expect(LINE, told({0: 5.0, 10: 15.0}), [{"x": 50}], known)
    assert expected.score == pytest.approx(55.0)


def test_a_candidate_beside_a_failure_is_left() -> None:
    trials = [*told({0: 0.0, 10: 0.5}), Individual({"x": 90}, lesson(1.0, infeasible=1.0))]
    candidates = [{"x": 91}, {"x": 2}]
    chosen = most_promising(LINE, trials, [dict(c) for c in candidates], random.Random(0), None)
    assert chosen == {"x": 2}


def test_the_start_holds_the_best_by_what_is_known() -> None:
    default = TINY.default()
    unseen = Unseen(TINY, {identity(TINY, default): default})

    def known(params: Params) -> float:
        if params["nproc"] == 3:
            return NEVER
        # A price of 1 an hour is a price like any other.
        return 0.0 if params == {"nproc": 2, "strategy": "row_wise"} else -2.0

    suggestion = start(unseen, random.Random(0), 2, known)
    assert suggestion is not None
    assert suggestion.params == {"nproc": 2, "strategy": "row_wise"}
    flat = start(unseen, random.Random(0), 2, lambda params: -1.0)
    assert flat is not None
    assert flat.reason == "space-filling start 2 of 5"


@pytest.mark.parametrize(
    ("parameter", "where", "value"),
    [
        (Int(low=1, high=100, log=True), 0.5, 10),
        (Int(low=2, high=12, step=5), 0.6, 7),
        (Float(low=1e-4, high=1.0, log=True), 2.0, 1.0),
        (Choice(options=(8, 1, 4)), 0.5, 4),
        (Int(low=3, high=3), 0.7, 3),
    ],
)
def test_a_place_on_a_scale_has_a_value(
    parameter: Int | Float | Choice, where: float, value: float
) -> None:
    assert at_share(parameter, where) == pytest.approx(value)


def test_what_cannot_be_placed_is_not_tried_for_several_objectives_either() -> None:
    trials = [Individual({"x": x}, lesson(x / 100, 1 - x / 100)) for x in (0, 50, 100)]

    def known(params: Params) -> float:
        return NEVER if params["x"] == 99 else 0.0

    candidates: list[dict[str, Value]] = [{"x": 99}, {"x": 40}]
    assert most_promising(LINE, trials, candidates, random.Random(0), known) == {"x": 40}


def test_a_value_stands_still_on_a_scale_whose_end_no_step_reaches() -> None:
    parameter = Int(low=0, high=29, step=10)
    assert [at_share(parameter, coordinates(parameter, v)[0]) for v in (0, 10, 20)] == [0, 10, 20]
