"""Pipeline files: YAML to a Pipeline whose jobs are all there, checked before anything is tuned."""

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import cast

from pydantic import TypeAdapter, ValidationError

from tuner import jobfile, spec_faults, yaml_lines
from tuner.errors import InvalidJob, Problem
from tuner.pipeline import Pipeline, Stage, filled
from tuner.spec import JobSpec

_STAGES = "stages"


def is_pipeline(path: Path) -> bool:
    """Whether a file describes stages, not a job. What cannot be read is none."""
    try:
        return _STAGES in yaml_lines.read(path.read_text(encoding="utf-8"), str(path)).data
    except (OSError, UnicodeDecodeError, InvalidJob):
        return False


def load_pipeline(path: Path) -> Pipeline:
    """The pipeline in a file, with every job file read and every job checked. Raises InvalidJob."""
    document = yaml_lines.read(path.read_text(encoding="utf-8"), str(path))
    try:
        pipeline = _adapter().validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        problems = spec_faults.explain(error, document, _adapter().json_schema())
        raise InvalidJob(problems, str(path)) from error
    folder = path.absolute().parent
    pipeline = replace(
        pipeline,
        folder=str((folder / Path(pipeline.folder).expanduser()).resolve()),
        stages=tuple(_whole(stage, folder) for stage in pipeline.stages),
    )
    planned = {stage.name: str(Path(pipeline.folder, stage.name)) for stage in pipeline.stages}
    for stage in pipeline.stages:
        stage_spec(pipeline, stage, planned)
    return pipeline


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Pipeline]:
    return TypeAdapter(Pipeline)


def _whole(stage: Stage, folder: Path) -> Stage:
    """The stage with its job in the place of the name of a job file, and with whole paths."""
    content = stage.job
    if isinstance(content, str):
        file = (folder / Path(content).expanduser()).resolve()
        content, folder = _read(file, stage), file.parent
    placed = dict(content)
    if isinstance(placed.get("workload"), dict):
        placed["workload"] = {"working_dir": ".", **cast(dict[str, object], placed["workload"])}
    for path in (("workload", "working_dir"), ("prices", "file"), ("apply", "target", "path")):
        placed = _placed(placed, path, folder)
    return replace(stage, job=placed)


def _placed(content: dict[str, object], path: tuple[str, ...], folder: Path) -> dict[str, object]:
    """The content with the file that it names there taken from a folder."""
    name, *rest = path
    value = content.get(name)
    if rest:
        inner = _placed(value, tuple(rest), folder) if isinstance(value, dict) else value
        return {**content, name: inner} if name in content else content
    if not isinstance(value, str):
        return content
    return {**content, name: str((folder / Path(value).expanduser()).resolve())}


def _read(file: Path, stage: Stage) -> dict[str, object]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(
            field=f"stages.{stage.name}.job",
            message=f"cannot be read: {error}",
            remedy="give the path of a job file from the folder of the pipeline file",
            value=str(file),
        )
        raise InvalidJob([problem], str(file)) from error
    return yaml_lines.read(text, str(file)).data


def stage_spec(pipeline: Pipeline, stage: Stage, made: dict[str, str]) -> JobSpec:
    """The job of a stage, once the folders that it names are made. Raises InvalidJob."""
    assert isinstance(stage.job, dict)
    content = filled(stage.job, made)
    assert isinstance(content, dict)
    named = json.dumps({**content, "name": pipeline.job_name(stage)})
    # Every path in it is whole already.
    return jobfile.resolved(jobfile.load_job(named, f"stage {stage.name}", Path("/")), Path("/"))
