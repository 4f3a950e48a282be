"""`plan ...`, `apply`, `rollback` and `start` over a fake service."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Invoke
from tests.unit.cli.fake_service import LEASE, FakeService, make_application, make_job, make_plan
from tuner.application import ApplicationState
from tuner.cli import exits
from tuner.gang import Gang
from tuner.targets.file import PlanFile


@pytest.fixture(autouse=True)
def _with_plan(service: FakeService) -> None:
    service.all_plans = [make_plan()]


def test_list(invoke: Invoke) -> None:
    header, row = invoke("plan", "list").stdout.splitlines()
    assert header.split() == ["ID", "Job", "Verdict", "Gain", "Trial", "Applied", "Created"]
    assert row.startswith("plan_aa11  dlrm  better   +274 % (+251 % to +299 %)      1  -")


def test_list_as_json(invoke: Invoke) -> None:
    (plan,) = json.loads(invoke("plan", "list", "-o", "json").stdout)
    assert (plan["id"], plan["gain_pct"], plan["params"]["nnodes"]) == ("plan_aa11", 274.0, 2)


def test_get_shows_reasons_pairs_and_command(invoke: Invoke) -> None:
    text = invoke("plan", "get", "plan_aa").stdout
    assert "It was cheap." in text
    assert "words    OMP_NUM_THREADS=1 python train.py --batch=1024" in text
    assert "16,600 samples/s  62,300 samples/s  +275 %" in text


def test_diff_against_an_empty_target(invoke: Invoke) -> None:
    result = invoke("plan", "diff")
    assert "has not put anything on the target yet" in result.stderr
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["Parameter", "Baseline", "On", "target", "Plan"],
        ["shard_strategy", "data_parallel", "(nothing)", "table_wise"],
        ["nnodes", "1", "(nothing)", "2"],
    ]


def test_diff_against_another_plan_on_the_target(invoke: Invoke, service: FakeService) -> None:
    other = make_job(job_id="job_bb22")
    service.all_jobs[other.id] = other
    there = make_plan(other.id)
    there.params["global_batch_size"] = 4096
    service.all_plans.insert(0, there)
    service.all_applications = [make_application(job_id=other.id)]
    rows = json.loads(invoke("plan", "diff", "plan_aa11", "-o", "json").stdout)
    assert rows[-1] == {
        "param": "global_batch_size",
        "baseline": 1024,
        "on_target": 4096,
        "plan": 1024,
    }


def test_diff_after_a_rollback_is_against_the_baseline(
    invoke: Invoke, service: FakeService
) -> None:
    rolled_back = make_application(ApplicationState.ROLLED_BACK)
    service.all_applications = [replace(rolled_back, before_hash="the hash of the baseline")]
    rows = json.loads(invoke("plan", "diff", "-o", "json").stdout)
    assert [row["on_target"] for row in rows] == ["data_parallel", 1]


def test_diff_of_the_plan_on_the_target_says_so(invoke: Invoke, service: FakeService) -> None:
    service.all_applications = [make_application()]
    assert "This configuration is on the target." in invoke("plan", "diff").stderr


def test_apply_controls_here_until_it_is_settled(invoke: Invoke, service: FakeService) -> None:
    service.on_run = lambda fake, stop: fake.set_application(ApplicationState.LIVE)
    result = invoke("apply", "plan_aa11", "--yes")
    assert result.exit_code == exits.OK
    assert service.wishes == [("apply", "plan_aa11", "ann")]
    assert service.runs == [("job_aa11",)]
    assert result.stdout == "app_cc33 live (file /jobs/plan.json)\n"


def test_apply_leaves_it_to_a_controller_that_is_alive(
    invoke: Invoke, service: FakeService
) -> None:
    service.lease = LEASE
    service.on_look = lambda fake: fake.set_application(ApplicationState.LIVE)
    assert invoke("apply", "plan_aa11", "--yes").exit_code == exits.OK
    assert service.runs == []


def test_apply_says_whether_a_stale_plan_will_do(invoke: Invoke, service: FakeService) -> None:
    service.on_run = lambda fake, stop: fake.set_application(ApplicationState.LIVE)
    assert invoke("apply", "plan_aa11", "--yes").exit_code == exits.OK
    assert service.stale is False
    assert invoke("apply", "plan_aa11", "--yes", "--stale").exit_code == exits.OK
    assert service.stale is True


def test_a_failed_application_is_14_with_its_reason(invoke: Invoke, service: FakeService) -> None:
    service.on_run = lambda fake, stop: fake.set_application(ApplicationState.FAILED, "disk full")
    result = invoke("apply", "plan_aa11", "--yes")
    assert result.exit_code == exits.NOT_APPLIED
    assert "failed: disk full" in result.stdout


def test_apply_that_nobody_settles_times_out(invoke: Invoke, service: FakeService) -> None:
    service.lease = LEASE
    result = invoke("apply", "plan_aa11", "--yes", "--timeout", "0.01")
    assert result.exit_code == exits.STILL_RUNNING


def test_apply_without_a_terminal_needs_yes(invoke: Invoke, service: FakeService) -> None:
    result = invoke("apply", "plan_aa11")
    assert result.exit_code == exits.USAGE
    assert "--yes" in result.stderr
    assert service.wishes == []


def test_rollback_of_the_latest(invoke: Invoke, service: FakeService) -> None:
    service.all_applications = [make_application()]
    service.on_run = lambda fake, stop: fake.set_application(ApplicationState.ROLLED_BACK)
    result = invoke("rollback", "-y")
    assert result.exit_code == exits.OK
    assert service.wishes == [("rollback", "None", "ann")]
    assert result.stdout == "app_cc33 rolled_back (file /jobs/plan.json)\n"


def test_start_runs_the_command_of_the_file_and_ends_as_it_did(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = make_plan()
    started: list[tuple[Gang, Path]] = []

    def run(gang: Gang, folder: Path) -> int:
        started.append((gang, folder))
        return 3

    path = tmp_path / "plan.json"
    PlanFile(path).apply(plan, None)
    monkeypatch.setattr("tuner.targets.starting.run_in_foreground", run)
    assert invoke("start", str(path)).exit_code == 3
    ((gang, folder),) = started
    assert (gang.command.argv, gang.placement) == (plan.command.argv, plan.placement)
    assert gang.command.env["TRIMTAB_PLAN_HASH"] == plan.hash
    assert folder.parent == tmp_path / "home" / "starts"


def test_start_without_a_file_is_14(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("start", str(tmp_path / "none.json")).exit_code == exits.NOT_APPLIED
