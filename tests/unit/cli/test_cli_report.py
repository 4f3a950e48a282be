"""The final report."""

from dataclasses import replace

from tests.unit.cli.fake_service import make_application, make_job, make_plan
from tuner.application import ApplicationState
from tuner.cli import report

JOB = make_job()
PLAN = make_plan()


def test_summary_of_an_applied_plan() -> None:
    assert report.summary(JOB, PLAN, make_application()) == [
        "Trial 1 is better: samples_per_s +274 %.",
        "",
        "Metric                           Baseline           Trial 1   Change",
        "samples_per_s            16,600 samples/s  62,300 samples/s   +275 %",
        "peak_memory_gib                   unknown           unknown  unknown",
        "auc                                0.7812            0.7809  -0.0003",
        "usd_per_million_samples          $0.00134         $0.000357  -73.4 %",
        "",
        "Quality (auc after 40,000 samples each): kept; a loss of 0.005 is allowed.",
        "",
        "Parameters",
        "  shard_strategy     data_parallel  ->  table_wise",
        "  nnodes             1              ->  2",
        "  global_batch_size  1024               1024",
        "",
        "Search cost  4 min 12 s, 0.14 core-hours, $0.00560",
        "Evidence     3 fresh, interleaved pairs of runs",
        "Pays back    after 5.7 million samples, 1 min 32 s of running with the plan",
        "Plan         plan_aa11 (job dlrm, job_aa11)",
        "Applied      yes, written to /jobs/plan.json",
    ]


def test_the_reason_of_the_policy_stands_beside_the_answer() -> None:
    why = "Trial 1 is better: samples_per_s +274 %. It waits for `trimtab apply`."
    assert report.answer(replace(JOB, message=why), PLAN) == why
    assert report.answer(replace(JOB, message="paused"), PLAN) == PLAN.explanation[0]


def test_change_of_learning_is_said() -> None:
    plan = replace(
        PLAN,
        params={**PLAN.params, "global_batch_size": 4096},
        learning_changes=("global_batch_size",),
    )
    lines = report.summary(JOB, plan, None)
    assert "  global_batch_size  1024           ->  4096        changes the learning" in lines


def test_quality_not_kept_is_said_loudly() -> None:
    lines = report.summary(JOB, replace(PLAN, quality_ok=False), None)
    assert any("NOT kept" in line for line in lines)


def test_the_baseline_as_the_best_has_one_column_and_no_payback() -> None:
    plan = replace(PLAN, verdict="not_better", trial_number=0, params=PLAN.baseline_params)
    lines = report.summary(JOB, plan, None)
    assert lines[2].split() == ["Metric", "Baseline"]
    assert not any(line.startswith("Pays back") for line in lines)
    assert lines[-1] == "Applied      no, there is nothing to apply"


def test_payback_may_be_unknown() -> None:
    plan = replace(PLAN, payback_samples=None, payback_s=None)
    assert "Pays back    never, or unknown" in report.summary(JOB, plan, None)


def test_not_applied_says_how_to() -> None:
    assert report.applied(JOB, PLAN, None) == (
        "no (mode recommend); `trimtab apply plan_aa11` puts it on /jobs/plan.json"
    )


def test_failed_application_is_said_with_its_reason() -> None:
    failed = replace(make_application(ApplicationState.FAILED), message="disk full")
    assert report.applied(JOB, PLAN, failed) == "failed, /jobs/plan.json; disk full"


def test_gain_without_bounds_is_unknown() -> None:
    assert report.gain_range(replace(PLAN, gain_pct=None)) == "unknown"
    assert report.gain_range(PLAN) == "+274 % (+251 % to +299 %)"


def test_next_steps_fit_the_situation() -> None:
    recommended = "\n".join(report.next_steps(JOB, PLAN, None))
    assert "trimtab apply plan_aa11" in recommended
    assert "rollback" not in recommended
    applied = "\n".join(report.next_steps(JOB, PLAN, make_application()))
    assert "trimtab start /jobs/plan.json" in applied
    assert "trimtab rollback app_cc33" in applied


def test_command_is_shown_as_it_would_be_typed() -> None:
    lines = report.launch_lines(PLAN)
    assert lines[0] == "words    OMP_NUM_THREADS=1 python train.py --batch=1024"
    assert lines[2] == "started  2 node(s) x 1 rank(s), a process per rank"
    assert lines[3] == "cores    0; 1 (of each node)"
    assert lines[-1] == f"hash     {PLAN.hash}"
