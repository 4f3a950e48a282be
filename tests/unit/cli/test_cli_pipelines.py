"""`trimtab run` with a pipeline file, over a fake service."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Invoke
from tests.unit.cli.fake_service import FakeService, make_plan
from tuner.cli import exits, pipelines
from tuner.model import Job, JobState, LaunchCommand, Placement
from tuner.spec import JobSpec

FILE = """
name: shop
budget: {minutes: 8}
stages:
  - name: prepare
    produce: ['--out=${output}']
    job:
      workload: {command: [prepare, '--n=${n}']}
      space: {params: {n: {low: 1, high: 4}}}
  - name: train
    job:
      workload: {command: [train, '--data=${stages.prepare}', '--b=${b}']}
      space: {params: {b: {options: [1, 2]}}}
"""


class Stages(FakeService):
    """Every job that is created is finished at once, with a plan unless told otherwise."""

    def __init__(self, verdict: str = "better", without_plan: str = "") -> None:
        super().__init__()
        self.verdict = verdict
        self.without_plan = without_plan
        self.created: list[JobSpec] = []

    def create_job(self, spec: JobSpec, *, actor: str) -> Job:
        self.created.append(spec)
        number = len(self.created)
        job = replace(super().create_job(spec, actor=actor), id=f"job_{number}")
        failed = spec.name == self.without_plan
        job = replace(job, state=JobState.FAILED if failed else JobState.SUCCEEDED)
        self.all_jobs[job.id], self.all_trials[job.id] = job, []
        if not failed:
            plan = replace(make_plan(job.id), id=f"plan_{number}", verdict=self.verdict)  # type: ignore[arg-type]
            self.all_plans.append(plan)
        return job


class Maker:
    """Runs nothing; makes the folder that the command names."""

    def __init__(self) -> None:
        self.commands: list[LaunchCommand] = []
        self.code = 0

    def __call__(self, command: LaunchCommand, placement: Placement) -> int:
        self.commands.append(command)
        Path(command.argv[-1].partition("=")[2]).mkdir()
        return self.code


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Maker:
    made = Maker()
    monkeypatch.setattr(pipelines, "_run", made)
    return made


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "shop.yaml"
    path.write_text(FILE)
    return str(path)


Serve = Callable[[Stages], Stages]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, service: FakeService) -> Serve:
    def put(fake: Stages) -> Stages:
        monkeypatch.setattr("tuner.cli.session.open_service", lambda folder=None: fake)
        return fake

    return put


def test_stages_run_in_turn_and_the_second_gets_what_the_first_made(
    invoke: Invoke, serve: Serve, maker: Maker, file: str
) -> None:
    service = serve(Stages())
    result = invoke("run", "-f", file)
    assert result.exit_code == 0, result.output
    assert [spec.name for spec in service.created] == ["shop-prepare", "shop-train"]
    made = str(Path(file).parent / "made" / "prepare-1")
    command = service.created[1].workload.command
    assert command is not None
    assert command[1] == f"--data={made}"
    assert Path(made).is_dir()
    assert service.created[0].budget.minutes == 4
    used = 252 / 60
    assert service.created[1].budget.minutes == pytest.approx(8 - used, abs=0.01)
    assert "Together" in result.stdout
    assert "prepare" in result.stdout


def test_the_joint_result_is_one_object(
    invoke: Invoke, serve: Serve, maker: Maker, file: str
) -> None:
    serve(Stages())
    found = json.loads(invoke("run", "-f", file, "-o", "json").stdout)
    assert found["gain_low_pct"] > 0
    assert found["spend"]["wall_s"] > 2 * 250


def test_what_is_not_better_is_not_gone_on_with(
    invoke: Invoke, serve: Serve, maker: Maker, file: str
) -> None:
    serve(Stages(verdict="within_noise"))
    assert invoke("run", "-f", file).exit_code == 0
    assert maker.commands[0].argv[0] == "prepare", "the baseline, as the job file says it"


def test_a_stage_without_a_plan_ends_the_pipeline(
    invoke: Invoke, serve: Serve, maker: Maker, file: str
) -> None:
    service = serve(Stages(without_plan="shop-prepare"))
    result = invoke("run", "-f", file)
    assert result.exit_code == exits.JOB_FAILED
    assert len(service.created) == 1
    assert "--resume" in result.stderr


def test_making_that_fails_ends_the_pipeline_and_leaves_nothing_whole(
    invoke: Invoke, serve: Serve, maker: Maker, file: str
) -> None:
    serve(Stages())
    maker.code = 3
    result = invoke("run", "-f", file)
    assert result.exit_code == exits.JOB_FAILED
    assert "ended with 3" in result.stderr
    assert not (Path(file).parent / "made" / "prepare-1").exists()


def test_resuming_repeats_nothing_that_is_finished(
    invoke: Invoke, serve: Serve, maker: Maker, file: str
) -> None:
    service = serve(Stages())
    assert invoke("run", "-f", file).exit_code == 0
    again = invoke("run", "-f", file, "--resume")
    assert again.exit_code == 0
    assert len(maker.commands) == 1
    assert service.created[0].name == "shop-prepare"
    assert [s.name for s in service.created].count("shop-prepare") == 1


def test_one_stage_alone_has_the_whole_budget(
    invoke: Invoke, serve: Serve, maker: Maker, file: str
) -> None:
    service = serve(Stages())
    early = invoke("run", "-f", file, "--stage", "train")
    assert early.exit_code == exits.USAGE
    assert "needs what 'prepare' makes" in early.stderr
    assert invoke("run", "-f", file, "--stage", "prepare").exit_code == 0
    assert service.created[0].budget.minutes == 8
    assert invoke("run", "-f", file, "--stage", "train").exit_code == 0
    assert service.created[1].budget.minutes == 8
    unknown = invoke("run", "-f", file, "--stage", "serve")
    assert "use one of prepare, train" in unknown.stderr


def test_a_job_file_has_no_stages(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("name: x\n")
    result = invoke("run", "-f", str(tmp_path / "job.yaml"), "--resume")
    assert result.exit_code == exits.USAGE
    assert "is no pipeline" in result.stderr
