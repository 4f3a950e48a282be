"""What is particular to a method, beside the contract that all keep."""

import re
from dataclasses import replace

import pytest
from optuna.samplers import GridSampler

from tests.unit.search.search_cases import BIG, CONDITIONAL, REAL, TINY, ended, failed, job
from tuner.model import Suggestion, Trial
from tuner.search import GP_MAX_PARAMS, make_searcher
from tuner.search.optuna_search import START, Method, OptunaSearcher
from tuner.space import Choice, Float, Int, Space
from tuner.spec import Budget, JobSpec


def tried(spec: JobSpec, count: int) -> list[Trial]:
    """A history of random configurations."""
    random = make_searcher(replace(spec, search=replace(spec.search, method="random")), ())
    configurations = [spec.space.default(), *(s.params for s in random.ask(count - 1))]
    return [ended(i, p, samples_per_s=100.0 + i) for i, p in enumerate(configurations)]


def next_of(spec: JobSpec, trials: list[Trial]) -> Suggestion:
    return make_searcher(spec, trials).ask(1)[0]


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("tpe", "likeliest to be good by Parzen estimators over 9 trials"),
        ("genetic", "child of the best of 9 trials (NSGA-II): "),
        ("swarm", "particle 5 of 5 flies on, after 9 trials (PSO)"),
        ("random", "drawn at random"),
        ("grid", "next point of the grid"),
    ],
)
def test_the_reason_names_the_method(method: str, reason: str) -> None:
    spec = job(BIG, method=method)
    assert next_of(spec, tried(spec, 9)).reason.startswith(reason)


def test_auto_leaves_large_problems_to_parzen_estimators() -> None:
    wide = Space(params={f"p{i}": Int(low=1, high=4) for i in range(GP_MAX_PARAMS + 1)})
    long = replace(job(BIG, method="auto"), budget=Budget(trials=1000))
    for spec in (job(wide, method="auto"), long):
        assert "Parzen" in next_of(spec, tried(spec, 9)).reason


@pytest.mark.parametrize("method", ["tpe", "genetic", "swarm"])
def test_the_start_fills_the_space(method: str) -> None:
    spec = job(Space(params={"x": Int(low=0, high=60), "y": Int(low=0, high=60)}), method=method)
    asked = make_searcher(spec, tried(spec, 1)).ask(START - 1)
    reasons = [f"space-filling start {i} of {START}" for i in range(2, START + 1)]
    assert [s.reason for s in asked] == reasons
    # From the corner that is the default: the other corners, then the middle.
    corners = [{"x": 60, "y": 60}, {"x": 0, "y": 60}, {"x": 60, "y": 0}]
    assert sorted(map(str, (s.params for s in asked[:3]))) == sorted(map(str, corners))
    assert asked[3].params == {"x": 30, "y": 30}


def test_without_results_the_space_is_filled_further() -> None:
    spec = job(BIG, method="tpe")
    asked = make_searcher(spec, ()).ask(START)
    assert asked[-1].reason == "space-filling: only 0 of 2 results to learn from"


def test_what_a_sampler_wants_again_is_moved_to_a_neighbour() -> None:
    spec = job(Space(params={"x": Int(low=0, high=9)}))
    stubborn = Method(
        sampler=lambda seed: GridSampler({"x": [5]}, seed=seed), reason="obstinacy, {n} trials"
    )
    trials = [ended(i, {"x": x}, samples_per_s=1.0 + x) for i, x in enumerate((0, 4, 5, 7, 9))]
    assert OptunaSearcher(spec, trials, stubborn).ask(1) == [
        Suggestion(
            params={"x": 6}, reason="obstinacy, 5 trials; the nearest configuration not tried yet"
        )
    ]


@pytest.mark.parametrize("method", ["auto", "bayesian"])
def test_a_suggestion_says_what_is_expected_of_it(method: str) -> None:
    reason = next_of(job(BIG, method=method), tried(job(BIG, method=method), 9)).reason
    assert re.fullmatch(
        r"(refines|explores): expected [+-]\d+ % "
        r"\([+-]\d+ to [+-]\d+ %\) on the best so far(, risk of failing \d+ %)?",
        reason,
    )


def test_a_steep_slope_is_followed() -> None:
    spec = job(Space(params={"x": Float(low=1e-4, high=1.0, log=True)}), method="bayesian")
    trials = [
        ended(i, {"x": x}, samples_per_s=1e6 * x)
        for i, x in enumerate((1e-4, 1e-3, 1e-2, 3e-2, 0.1))
    ]
    assert float(next_of(spec, trials).params["x"]) > 0.1


def test_steps_on_a_logarithmic_scale_are_kept() -> None:
    spec = job(REAL, method="tpe")
    for suggestion in make_searcher(spec, tried(spec, 9)).ask(5):
        assert (int(suggestion.params["workers"]) - 2) % 3 == 0


def test_parallel_questions_get_different_answers() -> None:
    spec = job(BIG, method="bayesian")
    first, second = make_searcher(spec, tried(spec, 8)).ask(2)
    assert first.params != second.params


def test_the_grid_takes_real_numbers_at_a_few_points() -> None:
    space = Space(
        params={
            "rate": Float(low=1e-4, high=1.0, log=True),
            "share": Float(low=0.0, high=1.0),
            "on": Choice(options=(False, True)),
        }
    )
    spec = job(space, method="grid")
    asked = [s.params for s in make_searcher(spec, ()).ask(1000)]
    assert len(asked) == 5 * 5 * 2 - 1
    rates = sorted({float(params["rate"]) for params in asked})
    assert rates == pytest.approx([1e-4, 1e-3, 1e-2, 0.1, 1.0])
    assert sorted({params["share"] for params in asked}) == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_grid_cut_short_has_been_everywhere() -> None:
    spec = job(BIG, method="grid")
    asked = [s.params for s in make_searcher(spec, ()).ask(40)]
    for name in BIG.params:
        tenths = {int(params[name]) // 10 for params in asked}
        assert len(tenths) == 10, name


def test_a_conditional_parameter_is_searched_where_it_applies() -> None:
    spec = job(CONDITIONAL, method="tpe")
    asked = [s.params for s in make_searcher(spec, tried(spec, 20)).ask(30)]
    assert len({params["columns"] for params in asked if "columns" in params}) > 1
    assert all(("columns" in p) == (p["strategy"] == "table_wise") for p in asked)


def test_failures_alone_do_not_stop_a_model() -> None:
    spec = job(TINY, method="bayesian")
    trials = [failed(i, params) for i, params in enumerate(list(TINY.members())[:5])]
    assert len(make_searcher(spec, trials).ask(3)) == 1
