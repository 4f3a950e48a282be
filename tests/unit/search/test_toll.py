"""What trying a configuration is expected to cost."""

import math

import numpy as np

from tests.unit.search.search_cases import ended, job
from tuner.search.bayesian import BayesianSearcher
from tuner.search.history import History, Lesson
from tuner.search.toll import expected_log_cost
from tuner.space import Choice, Int, Params, Space

LINE = Space(params={"x": Int(low=0, high=10)})
KINDS = Space(params={"kind": Choice(options=("a", "b", "c", "d", "e"))})


def lesson(cost: float) -> Lesson:
    return Lesson(0.0, (0.0,), -1.0, measured_s=cost)


def test_costs_are_learned_where_enough_are_seen() -> None:
    told: list[tuple[Params, Lesson]] = [({"x": x}, lesson(math.exp(x))) for x in (0, 3, 7, 10)]
    low, high = expected_log_cost(LINE, told, [{"x": 1}, {"x": 9}], None)
    assert 5 < high - low < 11


def test_of_few_costs_nothing_is_said() -> None:
    told: list[tuple[Params, Lesson]] = [({"x": 0}, lesson(1.0)), ({"x": 9}, lesson(50.0))]
    assert not expected_log_cost(LINE, told, [{"x": 1}, {"x": 8}], None).any()


def test_the_price_of_what_was_never_tried_is_known() -> None:
    prices = {"a": 1.0, "b": 2.0, "c": 4.0, "d": 8.0, "e": 64.0}
    told: list[tuple[Params, Lesson]] = [({"kind": k}, lesson(10 * prices[k])) for k in "abcd"]
    known = (np.array([-math.log(prices[k]) for k in "abcd"]), -np.log([64.0, 1.0]))
    dear, cheap = expected_log_cost(KINDS, told, [{"kind": "e"}, {"kind": "a"}], known)
    assert dear - cheap > 0.7 * math.log(64)


def test_a_trial_costs_its_seconds_times_its_price() -> None:
    trials = [ended(0, {"x": 0}, samples_per_s=1.0, usd_per_hour=0.5)]
    ((_, told),) = History(job(LINE), trials).lessons()
    assert (told.measured_s, told.usd_per_hour) == (11, 0.5)


def test_without_every_price_only_seconds_are_compared() -> None:
    told: list[tuple[Params, Lesson]] = [
        ({"x": x}, lesson(10.0)._replace(usd_per_hour=30.0 if x > 5 else None))
        for x in (0, 3, 7, 10)
    ]
    low, high = expected_log_cost(LINE, told, [{"x": 1}, {"x": 9}], None)
    assert abs(high - low) < 0.1


def test_of_equal_prospects_the_cheaper_trial_is_chosen() -> None:
    space = Space(params={"kind": Choice(options=("a", "b", "c", "d", "e", "f"))})
    spec = job(space, method="bayesian")
    trials = [
        ended(i, {"kind": kind}, samples_per_s=10.0, usd_per_hour=price)
        for i, (kind, price) in enumerate({"a": 1.0, "b": 1.0, "c": 1.0, "d": 100.0}.items())
    ]

    def known(params: Params) -> float:
        return {"d": -2.0, "e": -2.0}.get(str(params["kind"]), 0.0)

    assert BayesianSearcher(spec, trials, known).ask(1)[0].params["kind"] == "f"
