from pathlib import Path

import pytest

from tuner import pipelinefile
from tuner.errors import InvalidJob
from tuner.pipeline import Pipeline

JOB = """
name: alone
workload: {command: ['${python}', make.py, '--n=${n}']}
space: {params: {n: {low: 1, high: 4}}}
apply: {target: {path: plans/alone.json}}
"""
FILE = """
name: shop
budget: {minutes: 4}
stages:
  - name: prepare
    job: jobs/prepare.yaml
    produce: ['--out=${output}']
  - name: train
    share: 2
    job:
      workload: {command: [train, '--data=${stages.prepare}', '--b=${b}']}
      space: {params: {b: {options: [1, 2]}}}
      budget: {trials: 3}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "prepare.yaml").write_text(JOB)
    return tmp_path


def load(folder: Path, text: str = FILE) -> Pipeline:
    path = folder / "shop.yaml"
    path.write_text(text)
    return pipelinefile.load_pipeline(path)


def test_jobs_are_read_from_their_files_and_paths_are_whole(folder: Path) -> None:
    pipeline = load(folder)
    assert pipeline.folder == str(folder / "made")
    prepare = pipelinefile.stage_spec(pipeline, pipeline.stages[0], {})
    assert prepare.name == "shop-prepare"
    assert prepare.workload.working_dir == str(folder / "jobs")
    assert str(folder / "jobs" / "plans" / "alone.json") in str(prepare.apply.target)


def test_a_stage_gets_what_an_earlier_one_made(folder: Path) -> None:
    pipeline = load(folder)
    train = pipelinefile.stage_spec(pipeline, pipeline.stages[1], {"prepare": "/made/p"})
    assert train.workload.command == ("train", "--data=/made/p", "--b=${b}")
    assert train.workload.working_dir == str(folder)
    assert train.budget.trials == 3
    assert pipeline.stages[1].share == 2


def test_prices_in_a_file_of_their_own_are_found_from_the_job(folder: Path) -> None:
    (folder / "jobs" / "p.yaml").write_text("as_of: 2026-11-01\nper_core_hour: {on_demand: 1}\n")
    (folder / "jobs" / "prepare.yaml").write_text(f"{JOB}prices: {{file: p.yaml}}\n")
    pipeline = load(folder)
    spec = pipelinefile.stage_spec(pipeline, pipeline.stages[0], {})
    assert spec.prices is not None
    assert spec.prices.per_core_hour.on_demand == 1


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("jobs/prepare.yaml", "jobs/none.yaml", "stages.prepare.job: cannot be read"),
        ("options: [1, 2]", "options: []", "stage train"),
        ("--b=${b}", "--b=${c}", "names no parameter"),
        ("share: 2", "shore: 2", "shore"),
        ("share: 2", "share: -1", "share must be above 0"),
        ("${stages.prepare}", "${stages.other}", "needs what 'other' makes"),
        ("minutes: 4", "minutes: 0", "minutes must be a number above 0"),
        ("minutes: 4", "trials: 4", "trials"),
    ],
)
def test_faults_are_told_before_anything_is_tuned(
    folder: Path, before: str, after: str, said: str
) -> None:
    assert before in FILE
    with pytest.raises(InvalidJob) as told:
        load(folder, FILE.replace(before, after))
    assert said in str(told.value)


def test_what_has_stages_is_a_pipeline(folder: Path) -> None:
    load(folder)
    assert pipelinefile.is_pipeline(folder / "shop.yaml")
    assert not pipelinefile.is_pipeline(folder / "jobs" / "prepare.yaml")
    assert not pipelinefile.is_pipeline(folder / "nothing.yaml")


def test_the_example_is_whole() -> None:
    example = Path(__file__).parents[2] / "examples" / "pipelines" / "shop.yaml"
    pipeline = pipelinefile.load_pipeline(example)
    assert [stage.name for stage in pipeline.stages] == ["preprocess", "train"]
    text = example.read_text(encoding="utf-8")
    assert "trimtab run -f examples/pipelines/shop.yaml" in text
    assert "EXAMPLE FIGURES" in text
