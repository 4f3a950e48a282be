"""Compromises between several objectives."""

from dataclasses import replace

from tests.unit.builders import measurement, spec, trial
from tuner.explain.front import front
from tuner.model import Trial
from tuner.spec import Objective

BOTH = (
    Objective(metric="samples_per_s", direction="maximize"),
    Objective(metric="peak_memory_gib", direction="minimize"),
)


def tried(number: int, rate: float, memory: float) -> Trial:
    made = measurement(rate)
    metrics = {**made.metrics, "peak_memory_gib": memory}
    params = {"global_batch_size": 256 * (number + 1), "loader_workers": 0}
    return trial(number, params, replace(made, metrics=metrics))


def test_what_is_beaten_in_both_is_left_out() -> None:
    trials = [tried(0, 1000, 2.0), tried(1, 2000, 4.0), tried(2, 1500, 5.0), tried(3, 500, 2.5)]
    found = front(replace(spec(), objectives=BOTH), trials)
    assert [one.trial_number for one in found] == [1, 0]
    assert found[0].gains_pct == {"samples_per_s": 100.0, "peak_memory_gib": -50.0}


def test_one_objective_has_no_front() -> None:
    assert front(spec(), [tried(0, 1000, 2.0), tried(1, 2000, 4.0)]) == []
