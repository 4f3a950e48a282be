"""Where the Bayesian search goes, and what it keeps away from."""

import math

import pytest

from tests.unit.search.search_cases import ended, failed, job, waiting
from tuner.model import FailureKind
from tuner.search.bayesian import BayesianSearcher
from tuner.space import Choice, Int, Params, Space
from tuner.spec import Limit

LINE = Space(params={"x": Int(low=0, high=40)})


def rate(x: int) -> float:
    return 100.0 * math.exp(-(((x - 27) / 12) ** 2))


def test_it_finds_the_top_of_a_hill_in_few_trials() -> None:
    spec = job(LINE, method="bayesian")
    trials = [ended(0, {"x": 0}, samples_per_s=rate(0))]
    while len(trials) < 9:
        (asked,) = BayesianSearcher(spec, trials).ask(1)
        trials.append(ended(len(trials), asked.params, samples_per_s=rate(int(asked.params["x"]))))
    best = max(trials, key=lambda t: t.measurement.metrics["samples_per_s"] if t.measurement else 0)
    assert abs(int(best.params["x"]) - 27) <= 1


def test_what_it_predicts_is_told_in_the_unit_of_the_objective() -> None:
    spec = job(LINE, method="bayesian")
    trials = [ended(i, {"x": x}, samples_per_s=rate(x)) for i, x in enumerate((0, 20, 30, 40))]
    asked = BayesianSearcher(spec, trials).ask(1)[0]
    assert asked.predicted["samples_per_s"] == pytest.approx(rate(int(asked.params["x"])), rel=0.2)


def test_it_keeps_away_from_where_memory_ended() -> None:
    spec = job(LINE, method="bayesian")
    trials = [ended(i, {"x": x}, samples_per_s=10.0 + x) for i, x in enumerate((0, 8, 14, 18))]
    trials += [failed(4 + i, {"x": x}, FailureKind.OUT_OF_MEMORY) for i, x in enumerate((24, 32))]
    asked = BayesianSearcher(spec, trials).ask(1)[0]
    assert 18 < int(asked.params["x"]) < 24
    assert "risk of failing" in asked.reason


def test_without_anything_that_may_win_it_looks_for_what_keeps_the_limits() -> None:
    spec = job(LINE, method="bayesian", limits=(Limit(metric="memory_gib", max=10.0),))
    trials = [
        ended(i, {"x": x}, samples_per_s=10.0 + x, memory_gib=10.5 + x / 10)
        for i, x in enumerate((40, 30, 20))
    ]
    asked = BayesianSearcher(spec, trials).ask(1)[0]
    assert asked.reason.startswith("likeliest to keep the limits")
    assert int(asked.params["x"]) < 10


def test_what_is_known_need_not_be_learned() -> None:
    prices = {"cheap": 1.0, "dear": 50.0, "dearer": 80.0}
    space = Space(
        params={"kind": Choice(options=("dear", "dearer", "cheap")), "x": Int(low=0, high=9)}
    )
    spec = job(space, method="bayesian")

    def known(params: Params) -> float:
        return -math.log(prices[str(params["kind"])])

    tried = [("dear", 0), ("dearer", 9), ("dear", 5)]
    trials = [
        ended(i, {"kind": k, "x": x}, samples_per_s=1.0 / prices[k])
        for i, (k, x) in enumerate(tried)
    ]
    assert BayesianSearcher(spec, trials, known).ask(1)[0].params["kind"] == "cheap"


def test_questions_side_by_side_do_not_crowd() -> None:
    spec = job(Space(params={"x": Int(low=0, high=400)}), method="bayesian")
    trials = [
        ended(i, {"x": x}, samples_per_s=rate(x // 10)) for i, x in enumerate((0, 400, 150, 330))
    ]
    first, second = BayesianSearcher(spec, trials).ask(2)
    assert abs(int(first.params["x"]) - int(second.params["x"])) > 5
    running = waiting(4, dict(first.params))
    assert BayesianSearcher(spec, [*trials, running]).ask(1)[0].params == second.params
