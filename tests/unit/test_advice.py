from typing import Any

from tests.unit.builders import measurement, spec, trial
from tuner.advice import advice
from tuner.model import Trial
from tuner.spec import JobSpec

LIMIT = {"metric": "samples_per_s", "min": 500}


def job() -> JobSpec:
    types: dict[str, Any] = {
        name: {"cores": 1, "per_hour": {"on_demand": price}}
        for name, price in (("fast", 0.04), ("slow", 0.01), ("tiny", 0.001))
    }
    return spec(
        space={"params": {"node_type": {"kind": "choice", "options": list(types)}}},
        prices={"as_of": "2026-11-01", "node_types": types},
        limits=[LIMIT],
        objectives=[{"metric": "usd_per_million_samples", "direction": "minimize"}],
    )


def on(number: int, node_type: str, rate: float, usd: float) -> Trial:
    found = measurement(rate, metrics={"usd_per_million_samples": usd})
    return trial(number, {"node_type": node_type}, found)


def waiting(number: int, pct: float) -> Trial:
    return trial(number, None, measurement(1000, metrics={"loader_wait_pct": pct}))


def test_the_cheapest_type_that_keeps_the_limits_is_named() -> None:
    trials = [on(0, "fast", 2000, 5.0), on(1, "slow", 900, 3.0), on(2, "tiny", 100, 0.1)]
    (said,) = advice(job(), trials, trials[1])
    assert said.startswith("Cheapest type of node that keeps the limits: slow")
    assert "slow $3, fast $5" in said
    assert "Outside the limits, or not steady: tiny" in said


def test_the_best_of_each_type_counts() -> None:
    trials = [on(0, "fast", 2000, 5.0), on(1, "slow", 900, 7.0), on(2, "slow", 900, 2.0)]
    (said,) = advice(job(), trials, trials[2])
    assert "slow $2, fast $5" in said


def test_input_that_is_waited_for_is_a_bottleneck() -> None:
    (said,) = advice(spec(), [waiting(0, 40)], waiting(0, 40))
    assert said.startswith("Input is a bottleneck: ranks wait 40 % of a step for it.")
    assert "loader workers" in said


def test_a_bottleneck_that_the_plan_removed_is_told_with_both_figures() -> None:
    (said,) = advice(spec(), [waiting(0, 40), waiting(1, 3)], waiting(1, 3))
    assert "no bottleneck" in said
    assert "3 %" in said
    assert "against 40 % with the default" in said


def test_nothing_is_said_of_input_that_never_mattered_or_is_unknown() -> None:
    assert advice(spec(), [waiting(0, 2), waiting(1, 3)], waiting(1, 3)) == ()
    known = trial(0, None, measurement())
    assert advice(spec(), [known], known) == ()
    assert advice(spec(), [], None) == ()
