"""Stages of a pipeline: what each may use, what it is told of the others, what they come to."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.unit.plans import a_plan
from tuner import pipeline
from tuner.model import Plan, Spend
from tuner.pipeline import Pipeline, SharedBudget, Stage, StageResult
from tuner.spec import Budget


def stage(name: str, **fields: object) -> Stage:
    return Stage(name=name, job={}, **fields)  # type: ignore[arg-type]


def two(**budget: object) -> Pipeline:
    stages = (stage("prepare", share=1), stage("train", share=3))
    return Pipeline(name="shop", stages=stages, budget=SharedBudget(**budget))  # type: ignore[arg-type]


def result(
    name: str, before: float, after: float, *, plan: Plan | None = None, **fields: object
) -> StageResult:
    gain = 100 * (after / before - 1)
    made = plan or a_plan()
    made = replace(
        made,
        gain_pct=gain,
        gain_low_pct=gain / 2,
        baseline_metrics={"samples_per_s": before, "usd_per_million_samples": 100 / before},
        metrics={"samples_per_s": after, "usd_per_million_samples": 100 / after},
    )
    given: dict[str, object] = {"goal": ("samples_per_s",), "spend": Spend(wall_s=60), **fields}
    samples = given.pop("samples_per_unit", 1.0)
    return StageResult(
        stage=stage(name, samples_per_unit=samples),
        job_id="job_1",
        plan=made,
        **given,  # type: ignore[arg-type]
    )


def test_a_stage_may_use_its_share_of_what_is_left() -> None:
    first = pipeline.budget_of(two(minutes=8), 0, [], Budget())
    assert first is not None
    assert first.minutes == 2
    second = pipeline.budget_of(two(minutes=8), 1, [Spend(wall_s=30)], Budget())
    assert second is not None
    assert second.minutes == 7.5, "what the first did not need goes on"


def test_every_cap_is_shared_and_that_of_the_job_binds_too() -> None:
    shared = two(minutes=8, core_hours=4, gpu_hours=2, usd=Decimal(1))
    found = pipeline.budget_of(shared, 0, [], Budget(trials=5, minutes=0.5, usd=Decimal(9)))
    assert found == Budget(trials=5, minutes=0.5, core_hours=1, gpu_hours=0.5, usd=Decimal("0.25"))
    spent = Spend(wall_s=60, core_s=3600, gpu_s=3600, usd=Decimal("0.4"))
    rest = pipeline.budget_of(shared, 1, [spent], Budget())
    assert rest == Budget(minutes=7, core_hours=3, gpu_hours=1, usd=Decimal("0.6"))


def test_nothing_is_begun_once_a_cap_is_used_up() -> None:
    assert pipeline.budget_of(two(minutes=1), 1, [Spend(wall_s=60)], Budget()) is None
    unpriced = Spend(wall_s=1, usd=None)
    assert pipeline.budget_of(two(usd=Decimal(1)), 1, [unpriced], Budget()) is None
    assert pipeline.budget_of(two(), 1, [Spend(wall_s=1e9)], Budget()) == Budget()


def test_a_job_is_told_the_folders_of_earlier_stages_only() -> None:
    job = {"args": {"data": "${stages.prepare}/x"}, "env": ["${threads}", 3, None]}
    assert pipeline.needs(job) == ["prepare"]
    assert pipeline.filled(job, {"prepare": "/made/p"}) == {
        "args": {"data": "/made/p/x"},
        "env": ["${threads}", 3, None],
    }


def test_the_plan_is_run_once_to_make_data() -> None:
    maker = stage("prepare", produce=("--out=${output}", "--once"))
    command = pipeline.producing(maker, a_plan().command, "/made/p")
    assert command.argv == ("train", "--batch=1024", "--out=/made/p", "--once")


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ((), "at least one"),
        ((stage("a"), stage("a")), "'a' is there twice"),
        ((stage("a"), Stage(name="b", job={"x": "${stages.a}"})), "needs what 'a' makes"),
        ((Stage(name="b", job={"x": "${stages.b}"}),), "needs what 'b' makes"),
    ],
)
def test_stages_have_to_fit_together(stages: tuple[Stage, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Pipeline(name="shop", stages=stages)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"share": 0}, "share must be above 0"),
        ({"samples_per_unit": float("nan")}, "samples_per_unit must be above 0"),
        ({"produce": ("--out",)}, "does not say where"),
    ],
)
def test_a_stage_has_to_make_sense(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        stage("prepare", **fields)
    with pytest.raises(ValueError, match="use letters"):
        stage("no-dash")


def test_a_shared_budget_takes_caps_only() -> None:
    with pytest.raises(ValueError, match="minutes must be a number above 0"):
        SharedBudget(minutes=-1)


def test_stages_take_their_time_one_after_the_other() -> None:
    found = pipeline.joint(
        [result("prepare", 1000, 2000), result("train", 500, 1000, samples_per_unit=4.0)]
    )
    assert found.baseline_s == pytest.approx(1000 + 8000)
    assert found.plan_s == pytest.approx(500 + 4000)
    assert found.gain_pct == pytest.approx(100)
    assert found.gain_low_pct == pytest.approx(50)
    assert found.baseline_usd == pytest.approx(0.1 + 4 * 0.2)
    assert found.plan_usd == pytest.approx(0.05 + 4 * 0.1)
    assert found.spend.wall_s == 120


def test_what_is_not_proven_stays_as_it_was() -> None:
    noise = replace(a_plan(), verdict="within_noise")
    found = pipeline.joint([result("prepare", 1000, 2000, plan=noise)])
    assert (found.gain_pct, found.gain_low_pct) == (0, 0)
    assert found.plan_usd == found.baseline_usd


def test_a_gain_in_money_is_no_bound_of_time() -> None:
    found = pipeline.joint([result("prepare", 1000, 1500, goal=("usd_per_million_samples",))])
    assert found.gain_pct == pytest.approx(50)
    assert found.gain_low_pct is None


def test_what_one_stage_does_not_know_nobody_knows() -> None:
    without = result("prepare", 1000, 2000)
    without = replace(without, plan=replace(without.plan, baseline_metrics={}, metrics={}))
    found = pipeline.joint([without, result("train", 500, 1000)])
    assert (found.baseline_s, found.gain_pct, found.baseline_usd) == (None, None, None)
    assert found.spend.usd is None
