"""When an attempt has been measured well enough, and what ends it otherwise."""

from dataclasses import replace

import pytest

from tests.unit.builders import attempt, measurement, spec, trial
from tuner import assess
from tuner.gang import Record, RunState, RunStatus
from tuner.measure import read
from tuner.model import Attempt, AttemptState, Measurement, Placement
from tuner.spec import JobSpec

LIVE = attempt(1, state=AttemptState.RUNNING)
STEPPING = read([Record(rank=0, t_s=float(t), steps=1, samples=100) for t in range(90, 100)])
NOW = RunStatus(state=RunState.RUNNING, elapsed_s=20.0, now_s=99.5)


def reason(
    job: JobSpec,
    shown: Measurement | None,
    status: RunStatus = NOW,
    live: Attempt = LIVE,
    best: float = 1000.0,
) -> str | None:
    trials = [trial(0, outcome=measurement(best))]
    return assess.stop_reason(job, live, STEPPING, status, shown, trials)


def test_tight_interval_ends_it() -> None:
    assert reason(spec(), measurement(half_width_pct=2.9)) == "precise"
    assert reason(spec(), measurement(half_width_pct=3.1)) is None


def test_confirming_needs_a_tighter_one() -> None:
    confirming = replace(LIVE, purpose="confirm", pair=0)
    assert reason(spec(), measurement(half_width_pct=2.9), live=confirming) is None
    assert reason(spec(), measurement(half_width_pct=1.4), live=confirming) == "precise"


def test_neither_short_nor_unstable_windows_are_precise() -> None:
    assert reason(spec(), measurement(window_s=1.9)) is None
    assert reason(spec(), measurement(is_stable=False)) is None


def test_quality_has_to_be_known() -> None:
    guarded = spec(quality={"metric": "auc"})
    assert reason(guarded, measurement()) is None
    assert reason(guarded, measurement(metrics={"auc": 0.7})) == "precise"


def test_long_window_ends_it_however_wide_the_interval() -> None:
    wide = measurement(half_width_pct=9, window_s=60)
    assert reason(spec(), wide) == "cap"
    assert reason(spec(quality={"metric": "auc"}), wide) is None


def test_beaten_ends_it_but_not_the_baseline_and_not_a_pair() -> None:
    slow = measurement(500, half_width_pct=9)
    assert reason(spec(), slow) == "beaten"
    assert reason(spec(), slow, live=attempt(0)) is None
    assert reason(spec(), slow, live=replace(LIVE, purpose="confirm", pair=0)) is None


def test_measurement_has_costs_with_intervals_and_what_the_system_told() -> None:
    priced = spec(prices={"as_of": "2026-11-01", "per_core_hour": {"on_demand": 0.36}})
    records = [
        Record(rank=0, t_s=10 + 0.1 * i, steps=1, samples=100, values={"auc": 0.75})
        for i in range(300)
    ]
    status = RunStatus(state=RunState.EXITED, usage={"peak_memory_gib": 1.5, "energy_j": 990.0})
    reading, place = read(records), Placement(cores=((0, 1),), gpus=((),))
    found = assess.measurement_of(priced, reading, status, place, {"energy_j": 590.0})
    assert found is not None
    assert found.metrics["samples_per_s"] == pytest.approx(1000, rel=1e-3)
    assert found.metrics["usd_per_million_samples"] == pytest.approx(0.2, rel=1e-3)
    low, high = found.intervals["usd_per_million_samples"]
    assert low < 0.2 < high
    assert found.metrics["peak_memory_gib"] == 1.5
    assert found.metrics["joules_per_sample"] == pytest.approx(590 / 29900)
    assert found.metrics["auc"] == 0.75


def test_without_prices_costs_are_unknown_and_without_objective_there_is_nothing() -> None:
    status = RunStatus(state=RunState.EXITED)
    place = Placement(cores=((0,),), gpus=((),))
    found = assess.measurement_of(spec(), STEPPING, status, place, {})
    assert found is not None
    assert "usd_per_million_samples" not in found.metrics
    assert assess.measurement_of(spec(), read([]), status, place, {}) is None


def test_ranks_apart_and_doubtful_records_are_not_stable() -> None:
    status, place = RunStatus(state=RunState.EXITED), Placement(cores=((0,),), gpus=((),))
    apart = [
        Record(rank=rank, t_s=10 + pace * i, steps=1, samples=100)
        for rank, pace in ((0, 0.1), (1, 0.1), (2, 0.15))
        for i in range(200)
    ]
    found = assess.measurement_of(spec(), read(apart), status, place, {})
    assert found is not None
    assert not found.is_stable
    assert found.notes == ("ranks apart: the slowest takes 1.50 times the median's time",)
    doubtful = assess.measurement_of(spec(), STEPPING, status, place, {}, ["torn lines"])
    assert doubtful is not None
    assert not doubtful.is_stable
