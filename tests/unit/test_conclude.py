"""Plans from evidence: verdict, payback, and the words."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.builders import NOON, attempt, job, measurement, trial
from tuner.conclude import Evidence, changed_params, make_plan
from tuner.model import Attempt, Measurement, Plan, Spend

PRICES = {"as_of": "2026-11-01", "per_core_hour": {"on_demand": 0.36}}


def shown(rate: float, auc: float | None = None, **metrics: float) -> Measurement:
    quality = {} if auc is None else {"auc": auc, "quality_samples": 1000.0}
    money = {"usd_per_million_samples": 100.0 / rate}
    return measurement(rate, metrics={**quality, **money, **metrics})


def plan_for(
    baseline: Measurement | None,
    candidate: Measurement,
    *,
    rates: tuple[float, ...] = (1200, 1210, 1190),
    number: int | None = 1,
    more: Sequence[Attempt] = (),
    **changes: Any,
) -> Plan | None:
    """A plan whose pairs show `baseline` against `candidate` at these rates."""
    trials = [
        trial(0, {"loader_workers": 0, "global_batch_size": 256}, baseline),
        trial(1, {"loader_workers": 2, "global_batch_size": 512}, candidate),
    ]
    attempts = [attempt(t.number, 0, measurement=t.measurement) for t in trials]
    for pair, rate in enumerate(rates if baseline is not None else ()):
        for n, outcome in ((0, baseline), (1, candidate)):
            assert outcome is not None
            value = {**outcome.metrics, **({"samples_per_s": rate} if n else {})}
            run = replace(outcome, metrics=value)
            spend = Spend(wall_s=30, core_s=60, usd=Decimal("0.5"))
            attempts.append(
                attempt(n, pair + 1, purpose="confirm", pair=pair, measurement=run, spend=spend)
            )
    attempts += more
    owner = job(**changes)
    evidence = Evidence(job=owner, trials=trials, attempts=attempts, candidate=number)
    return make_plan(evidence, NOON)


def test_better_plan_with_its_gain_cost_and_payback() -> None:
    plan = plan_for(shown(1000), shown(1200), prices=PRICES)
    assert plan is not None
    assert plan.verdict == "better"
    assert plan.gain_pct == pytest.approx(20, abs=0.1)
    assert plan.search_spend.usd == pytest.approx(3.0)
    saved_per_sample = (0.1 - 100 / 1200) / 1e6
    assert plan.payback_samples == pytest.approx(3.0 / saved_per_sample, rel=1e-6)
    assert plan.payback_samples is not None
    assert plan.payback_s == pytest.approx(plan.payback_samples / 1200, rel=1e-3)
    assert plan.learning_changes == ("global_batch_size",)
    assert changed_params(plan) == [("loader_workers", 0, 2), ("global_batch_size", 256, 512)]
    assert plan.explanation[0].startswith(
        "Trial 1 is better: loader_workers 0 → 2, global_batch_size 256 → 512: samples_per_s +20.0"
    )
    assert "no quality figure" in " ".join(plan.explanation)


def test_payback_in_core_time_without_prices() -> None:
    plan = plan_for(measurement(1000), measurement(1200))
    assert plan is not None
    saved = 1 / 1000 - 1 / 1200
    assert plan.payback_samples == pytest.approx(360 / saved, rel=1e-6)


def test_within_noise_says_so_and_pays_nothing_back() -> None:
    plan = plan_for(shown(1000), shown(1200), rates=(900, 1100, 1010))
    assert plan is not None
    assert plan.verdict == "within_noise"
    assert plan.payback_samples is None
    assert "within the noise" in plan.explanation[0]


def test_a_pair_that_does_not_count_is_named_with_its_reason() -> None:
    unsteady = replace(shown(1200), is_stable=False, notes=("no steady state: +20 %",))
    runs = [
        attempt(n, 9, purpose="confirm", pair=7, measurement=m)
        for n, m in ((0, shown(1000)), (1, unsteady))
    ]
    plan = plan_for(shown(1000), shown(1200), more=runs)
    assert plan is not None
    assert len(plan.pairs) == 3
    assert "Pair 7 does not count: no steady state: +20 %." in plan.explanation


def test_gain_below_the_minimum_is_not_enough() -> None:
    plan = plan_for(shown(1000), shown(1020), rates=(1020, 1021, 1019), apply={"min_gain_pct": 3})
    assert plan is not None
    assert plan.verdict == "within_noise"


def test_quality_is_told_at_equal_samples() -> None:
    quality = {"metric": "auc", "max_loss": 0.01}
    plan = plan_for(shown(1000, 0.78), shown(1200, 0.775), quality=quality)
    assert plan is not None
    assert plan.quality_ok is True
    text = " ".join(plan.explanation)
    assert "after 1,000 samples auc is 0.7750 against 0.7800" in text


def test_worse_quality_in_the_pairs_breaks_the_limit() -> None:
    quality = {"metric": "auc", "max_loss": 0.01}
    plan = plan_for(shown(1000, 0.78), shown(1200, 0.75), quality=quality)
    assert plan is not None
    assert plan.verdict == "limit_broken"
    assert plan.quality_ok is False
    assert any("auc within 0.01" in line for line in plan.explanation)


def test_no_candidate_means_the_default_stays() -> None:
    plan = plan_for(shown(1000), shown(900), number=None)
    assert plan is not None
    assert (plan.verdict, plan.trial_number) == ("not_better", 0)
    assert "default configuration is the best" in plan.explanation[0]


def test_without_a_baseline_it_is_unproven() -> None:
    plan = plan_for(None, shown(1200))
    assert plan is not None
    assert plan.verdict == "unproven"


def test_nothing_measured_gives_no_plan() -> None:
    assert plan_for(None, shown(1), number=None) is None


def test_hash_is_of_what_would_run() -> None:
    one, other = plan_for(shown(1000), shown(1200)), plan_for(shown(1000), shown(1300))
    assert one is not None
    assert other is not None
    assert one.hash == other.hash
    moved = replace(one, command=replace(one.command, argv=("other",)))
    assert moved.hash != one.hash


def test_when_the_default_breaks_a_limit_the_best_that_keeps_it_is_unproven() -> None:
    limits = [{"metric": "peak_memory_gib", "max": 8}]
    default, other = shown(1000, peak_memory_gib=10.0), shown(500, peak_memory_gib=1.0)
    plan = plan_for(default, other, rates=(), limits=limits)
    assert plan is not None
    assert plan.verdict == "unproven"
    assert plan_for(default, other, rates=(), limits=limits, number=None) is None


def test_measuring_only_says_that_nothing_was_confirmed() -> None:
    plan = plan_for(shown(1000), shown(1200), rates=(), apply={"mode": "off"})
    assert plan is not None
    assert "not confirmed" in plan.explanation[0]
