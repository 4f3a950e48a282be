"""`run` and `job ...` over a fake service."""

import json
import threading
from dataclasses import replace

import pytest

from tests.unit.cli.conftest import Invoke
from tests.unit.cli.fake_service import LEASE, FakeService, make_plan, make_spec
from tuner.cli import exits
from tuner.cli.logs import new_part
from tuner.errors import StoreError
from tuner.model import JobState, TrialState
from tuner.spec import JobSpec


@pytest.fixture(autouse=True)
def job_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(file: str) -> JobSpec:
        return make_spec("from-file")

    monkeypatch.setattr("tuner.cli.jobs.load", load)


class Finish:
    """A controller that brings the latest job to its end at once."""

    def __init__(self, state: JobState, with_plan: bool) -> None:
        self.state = state
        self.with_plan = with_plan

    def __call__(self, service: FakeService, stop: threading.Event | None = None) -> None:
        job = service.job("@last")
        if self.with_plan:
            service.all_plans = [make_plan(job.id)]
        service.set_state(job.id, self.state)


def test_create_prints_an_object_with_an_id(invoke: Invoke, service: FakeService) -> None:
    result = invoke("job", "create", "-f", "x.yaml", "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["id"] == "job_new1"
    assert service.wishes == [("create", "job_new1", "ann")]
    assert "No controller is running" in result.stderr


def test_create_prints_the_bare_id_for_people_and_scripts(invoke: Invoke) -> None:
    assert invoke("job", "create", "-f", "x.yaml").stdout == "job_new1\n"


def test_dry_run_creates_nothing(invoke: Invoke, service: FakeService) -> None:
    result = invoke("job", "create", "-f", "x.yaml", "--dry-run")
    assert result.exit_code == 0
    assert service.wishes == []
    assert "8 different valid configurations of 8 combinations" in result.stdout
    assert "shard_strategy=data_parallel nnodes=1 global_batch_size=1024" in result.stdout
    assert "python train.py --batch=1024" in result.stdout


def test_list_as_a_table(invoke: Invoke) -> None:
    lines = invoke("job", "list").stdout.splitlines()
    assert lines[0].split() == ["ID", "Name", "State", "Trials", "Gain", "Spent", "Created"]
    assert lines[1].startswith(
        "job_aa11  dlrm  succeeded     3/4  +275 % (not confirmed)  $0.00560"
    )


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_list_as_json(invoke: Invoke, form: str) -> None:
    text = invoke("job", "list", "-o", form).stdout
    (job,) = json.loads(text) if form == "json" else [json.loads(text)]
    assert (job["id"], job["state"], job["spec"]["name"]) == ("job_aa11", "succeeded", "dlrm")


def test_list_as_csv_leaves_the_specification_out(invoke: Invoke) -> None:
    header, row = invoke("job", "list", "-o", "csv").stdout.splitlines()
    assert header.startswith("id,name,state,wish")
    assert row.startswith("job_aa11,dlrm,succeeded,run")


def test_an_empty_list_is_empty_json_and_a_word_on_stderr(
    invoke: Invoke, service: FakeService
) -> None:
    service.all_jobs = {}
    assert json.loads(invoke("job", "list", "-o", "json").stdout) == []
    table = invoke("job", "list")
    assert (table.stdout, table.stderr) == ("", "nothing to show\n")


def test_get_shows_plan_or_trials(invoke: Invoke, service: FakeService) -> None:
    assert "(default)" in invoke("job", "get", "dlrm").stdout
    service.all_plans = [make_plan()]
    assert "Trial 1 is better" in invoke("job", "get", "@last").stdout
    assert json.loads(invoke("job", "get", "-o", "json").stdout)["id"] == "job_aa11"


@pytest.mark.parametrize(
    ("state", "with_plan", "code"),
    [
        (JobState.SUCCEEDED, True, exits.OK),
        (JobState.SUCCEEDED, False, exits.NO_PLAN),
        (JobState.FAILED, False, exits.JOB_FAILED),
        (JobState.CANCELLED, False, exits.JOB_CANCELLED),
    ],
)
def test_watch_ends_with_the_outcome(
    invoke: Invoke, service: FakeService, state: JobState, with_plan: bool, code: int
) -> None:
    service.set_state("job_aa11", JobState.SEARCHING)
    service.on_run = Finish(state, with_plan)
    result = invoke("job", "watch", "job_aa11")
    assert result.exit_code == code
    assert service.runs == [("job_aa11",)]
    assert "this process controls" in result.stderr
    assert ("Trial 1 is better" in result.stdout) == with_plan


def test_watch_only_looks_while_another_process_controls(
    invoke: Invoke, service: FakeService
) -> None:
    service.set_state("job_aa11", JobState.SEARCHING)
    service.lease = LEASE
    looks = []

    def on_look(fake: FakeService) -> None:
        looks.append(1)
        if len(looks) == 3:
            Finish(JobState.SUCCEEDED, True)(fake)

    service.on_look = on_look
    assert invoke("job", "watch").exit_code == exits.OK
    assert service.runs == []


def test_watch_takes_over_when_the_controller_vanishes(
    invoke: Invoke, service: FakeService
) -> None:
    service.set_state("job_aa11", JobState.SEARCHING)
    service.lease = LEASE
    service.on_look = lambda fake: setattr(fake, "lease", None)
    service.on_run = Finish(JobState.SUCCEEDED, True)
    assert invoke("job", "watch").exit_code == exits.OK
    assert service.runs == [("job_aa11",)]


def test_watch_gives_up_after_the_timeout_and_stops_controlling(
    invoke: Invoke, service: FakeService
) -> None:
    service.set_state("job_aa11", JobState.SEARCHING)
    stopped = []
    service.on_run = lambda fake, stop: stopped.append(stop.wait(20))
    result = invoke("job", "watch", "--timeout", "0.01")
    assert result.exit_code == exits.STILL_RUNNING
    assert stopped == [True]
    assert "trimtab job watch job_aa11" in result.stderr


def test_ctrl_c_detaches(invoke: Invoke, service: FakeService) -> None:
    service.set_state("job_aa11", JobState.SEARCHING)
    service.lease = LEASE

    def interrupt(fake: FakeService) -> None:
        raise KeyboardInterrupt

    service.on_look = interrupt
    result = invoke("job", "watch")
    assert result.exit_code == exits.INTERRUPTED
    assert "Detached" in result.stderr


def test_an_error_of_the_controller_here_ends_the_command(
    invoke: Invoke, service: FakeService
) -> None:
    service.set_state("job_aa11", JobState.SEARCHING)

    def break_down(fake: FakeService, stop: threading.Event) -> None:
        raise StoreError("the disk is full")

    service.on_run = break_down
    result = invoke("job", "watch")
    assert result.exit_code == exits.UNREACHABLE
    assert "the disk is full" in result.stderr


def test_run_creates_controls_and_reports(invoke: Invoke, service: FakeService) -> None:
    service.on_run = Finish(JobState.SUCCEEDED, True)
    result = invoke("run", "-f", "x.yaml")
    assert result.exit_code == exits.OK
    assert service.runs == [("job_new1",)]
    assert "Created job from-file (job_new1)" in result.stderr
    assert "Next" in result.stdout
    assert service.is_closed


def test_run_as_json_prints_the_plan(invoke: Invoke, service: FakeService) -> None:
    service.on_run = Finish(JobState.SUCCEEDED, True)
    plan = json.loads(invoke("run", "-f", "x.yaml", "-o", "json").stdout)
    assert plan["verdict"] == "better"


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_wishes(invoke: Invoke, service: FakeService, verb: str) -> None:
    service.set_state("job_aa11", JobState.SEARCHING)
    result = invoke("job", verb, "dlrm")
    assert result.exit_code == 0
    assert service.wishes == [("run" if verb == "resume" else verb, "job_aa11", "ann")]
    assert "the request waits" in result.stderr


def test_logs_are_of_the_running_trial_and_can_be_cut(invoke: Invoke) -> None:
    result = invoke("job", "logs", "--tail", "2")
    assert result.stdout == "line 2\nline 3\n"
    assert result.stderr == "trial 3, rank 0\n"


def test_logs_follow_until_the_trial_ends(
    invoke: Invoke, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["a\n", "a\nb\n", "a\nb\nc\n"]
    running = service.trial("job_aa11", 3)

    def log(ref: str, number: int, *, rank: int) -> str:
        text = texts.pop(0)
        if len(texts) == 1:
            service.all_trials["job_aa11"][3] = replace(running, state=TrialState.COMPLETE)
        return text

    monkeypatch.setattr(service, "log", log)
    assert invoke("job", "logs", "-f").stdout == "a\nb\nc\n"
    assert texts == []


def test_logs_without_a_launch_are_not_found(invoke: Invoke, service: FakeService) -> None:
    service.all_trials["job_aa11"] = []
    assert invoke("job", "logs").exit_code == exits.NOT_FOUND


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        ("", "abc", "abc"),
        ("abc", "abcdef", "def"),
        ("abcdef", "defghi", "defghi"),
        ("x" * 500, "x" * 450 + "new", "new"),
    ],
)
def test_new_part_of_a_log(before: str, after: str, new: str) -> None:
    assert new_part(before, after) == new


def test_schema_is_json(invoke: Invoke) -> None:
    assert "properties" in json.loads(invoke("job", "schema").stdout)
