"""What a canary has to show, and what it may not leave open."""

from typing import Any

from tests.unit.builders import spec
from tests.unit.plans import a_plan
from tuner.application import Sighting
from tuner.canary import judge

SPEC = spec()


def verdict(put_s: float = 10.0, **shown: Any) -> str:
    content: dict[str, Any] = {
        "state": "running",
        "plan_hash": a_plan().hash,
        "steps": 500,
        "metrics": {"samples_per_s": 1200.0},
        **shown,
    }
    return judge(SPEC, a_plan(), Sighting(**content), put_s).verdict


def test_seen_with_figures_as_good_as_before_it_passes() -> None:
    assert verdict() == "pass"
    assert verdict(metrics={"samples_per_s": 975.0}) == "pass", "within 3 %"


def test_worse_or_failed_it_goes_back() -> None:
    assert verdict(metrics={"samples_per_s": 900.0}) == "fail"
    assert verdict(state="failed") == "fail"


def test_no_data_is_never_a_success() -> None:
    lacks: list[dict[str, Any]] = [
        {"plan_hash": None},
        {"plan_hash": "another"},
        {"steps": 0},
        {"metrics": {}},
    ]
    for missing in lacks:
        assert verdict(**missing) == "wait"
        assert verdict(601, **missing) == "fail"
        if missing != {"steps": 0}:
            assert verdict(state="ended", **missing) == "fail"


def test_the_time_counts_from_when_it_took_the_plan_up() -> None:
    assert verdict(10_000, steps=0, elapsed_s=5.0) == "wait"
    assert verdict(10, steps=0, elapsed_s=700.0) == "fail"


def test_a_wide_interval_waits_and_then_is_inconclusive() -> None:
    wide: dict[str, Any] = {"intervals": {"samples_per_s": (900.0, 1300.0)}}
    assert verdict(**wide) == "wait"
    assert verdict(601, **wide) == "inconclusive"


def test_a_run_that_ended_well_needs_no_number_of_steps() -> None:
    assert verdict(state="ended", steps=20) == "pass"


def test_before_the_next_start_there_is_nothing_to_judge() -> None:
    assert verdict(1e6, state="waiting", plan_hash=None, steps=0) == "wait"


def test_limits_hold_for_what_is_live_too() -> None:
    limited = spec(limits=[{"metric": "peak_memory_gib", "max": 8}])
    shown = Sighting(
        state="running",
        plan_hash=a_plan().hash,
        steps=500,
        metrics={"samples_per_s": 1200.0, "peak_memory_gib": 9.0},
    )
    assert judge(limited, a_plan(), shown, 1.0).verdict == "fail"
