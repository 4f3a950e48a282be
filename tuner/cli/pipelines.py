"""`trimtab run` for a pipeline file: its stages in turn, and what they come to together."""

import contextlib
import shutil
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tuner import pipeline as pipelines
from tuner.cli import exits, jobs, output, report, session, text, watch
from tuner.cli.output import Format
from tuner.errors import UserError
from tuner.model import Job, LaunchCommand, Placement, Plan, Spend
from tuner.pipeline import Joint, Pipeline, StageResult
from tuner.spec import JobSpec

if TYPE_CHECKING:
    from tuner.service import Service


def run(path: Path, only: str | None, resume: bool, form: Format) -> None:
    """Tunes every stage of a pipeline, or one of them, and shows them together."""
    from tuner import pipelinefile

    pipeline = pipelinefile.load_pipeline(path)
    if only is not None:
        pipeline = _alone(pipeline, only)
    with session.open_service() as service:
        results: list[StageResult] = []
        for number in range(len(pipeline.stages)):
            results.append(_tuned(service, pipeline, number, results, resume=resume))
        joint = pipelines.joint(results)
        form = Format.JSON if form is Format.JSONL else form
        output.show_one(joint, form, lambda: lines(results, joint))


def _alone(pipeline: Pipeline, only: str) -> Pipeline:
    """One stage with the whole budget; what it needs has to be there from an earlier run."""
    names = [stage.name for stage in pipeline.stages]
    if only not in names:
        raise UserError(f"there is no stage {only!r}. Remedy: use one of {', '.join(names)}")
    stage = pipeline.stages[names.index(only)]
    made = {}
    for name in pipelines.needs(stage.job):
        found = sorted(Path(pipeline.folder).glob(f"{name}-*"), key=lambda p: p.stat().st_mtime)
        if not found:
            raise UserError(
                f"stage {only!r} needs what {name!r} makes, and there is nothing in "
                f"{pipeline.folder}. Remedy: run the whole pipeline once, or --stage {name}"
            )
        made[name] = str(found[-1])
    job = pipelines.filled(stage.job, made)
    assert isinstance(job, dict)
    return replace(pipeline, stages=(replace(stage, job=job),))


def _tuned(
    service: "Service",
    pipeline: Pipeline,
    number: int,
    before: list[StageResult],
    *,
    resume: bool,
) -> StageResult:
    """Tunes a stage with its share of what is left, and makes what later ones need."""
    stage, last = pipeline.stages[number], len(pipeline.stages)
    spec = _spec(pipeline, number, before)
    session.narrate(f"Stage {number + 1} of {last}, {stage.name}: {_may_use(spec)}.")
    job = _earlier(service, spec) if resume else None
    if job is None:
        job = jobs.create_and_follow(service, spec)
    elif not job.state.is_finished:
        job = watch.follow(service, job, None)
    plan, _ = jobs.plan_of(service, job)
    if plan is None:
        session.narrate(f"Stage {stage.name}: job {job.name} {job.state} without a plan.")
        session.narrate(f"{job.message} Remedy: correct it, then run it again with --resume")
        raise typer.Exit(watch.outcome(service, job))
    session.narrate(report.answer(job, plan))
    spend = service.progress(job.id).spend
    goal = tuple(objective.metric for objective in spec.objectives)
    result = StageResult(stage=stage, job_id=job.id, plan=plan, goal=goal, spend=spend)
    return _made(service, pipeline, job, result) if stage.produce else result


def _spec(pipeline: Pipeline, number: int, before: list[StageResult]) -> JobSpec:
    from tuner import pipelinefile

    stage = pipeline.stages[number]
    spec = pipelinefile.stage_spec(pipeline, stage, {r.stage.name: r.made for r in before})
    budget = pipelines.budget_of(pipeline, number, [r.spend for r in before], spec.budget)
    if budget is None:
        raise UserError(
            f"nothing of the shared budget is left for stage {stage.name!r}. Remedy: raise it, or "
            "lower the share of the stages before"
        )
    return replace(spec, budget=budget)


def _may_use(spec: JobSpec) -> str:
    caps = [f"{name} {cap:.4g}" for name, cap in spec.budget.caps().items()]
    return "may use " + ", ".join([*caps, f"{spec.budget.trials} trials"])


def _earlier(service: "Service", spec: JobSpec) -> Job | None:
    """The latest job of an earlier run that is the same in every word."""
    same = [job for job in service.jobs() if job.spec == spec]
    return same[-1] if same else None


def _made(service: "Service", pipeline: Pipeline, job: Job, result: StageResult) -> StageResult:
    """Runs the plan once, unless what it makes is there from an earlier run."""
    command, placement = chosen(service, job, result.plan)
    where = Path(pipeline.folder, f"{result.stage.name}-{result.plan.id.removeprefix('plan_')}")
    result = replace(result, made=str(where))
    if where.exists():
        return result
    unfinished = where.with_name(f".{where.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    session.narrate(f"Stage {result.stage.name}: making {where} with it.")
    began_s = time.monotonic()
    code = _run(pipelines.producing(result.stage, command, str(unfinished)), placement)
    if code != 0 or not unfinished.exists():
        session.narrate(f"Stage {result.stage.name} made nothing: its command ended with {code}.")
        raise typer.Exit(exits.JOB_FAILED)
    unfinished.rename(where)
    return replace(result, spend=_with_making(job.spec, placement, result.spend, began_s))


def chosen(service: "Service", job: Job, plan: Plan) -> tuple[LaunchCommand, Placement]:
    """What a stage goes on with: its plan where that is proven better, else its baseline."""
    from tuner.launch import launch_command

    if plan.verdict == "better":
        return plan.command, plan.placement
    attempts = [a.placement for a in service.attempts(job.id, 0)]
    placement = attempts[-1] if attempts else plan.placement
    return launch_command(job.spec, plan.baseline_params), placement


def _run(command: LaunchCommand, placement: Placement) -> int:
    """Runs a command to its end; what it prints is narration here."""
    from tuner.executors.foreground import run_in_foreground
    from tuner.gang import Gang

    key = f"make-{uuid.uuid4().hex[:12]}"
    gang = Gang(launch_key=key, command=command, placement=placement, lease_s=10.0)
    with contextlib.redirect_stdout(sys.stderr):
        return run_in_foreground(gang, session.home() / "starts" / key)


def _with_making(spec: JobSpec, placement: Placement, spend: Spend, began_s: float) -> Spend:
    """Making the data is paid from the shared budget too."""
    from tuner import cost

    took = cost.held_for(spec, placement, time.monotonic() - began_s)
    return pipelines.total([spend, took])


def lines(results: list[StageResult], joint: Joint) -> list[str]:
    """The stages as a table, then what they come to together."""
    rows = [
        (
            r.stage.name,
            r.plan.verdict,
            report.gain_range(r.plan),
            text.changed_params(r.plan.params, r.plan.baseline_params),
            text.spend(r.spend),
        )
        for r in results
    ]
    columns = ("Stage", "Verdict", "Gain", "Plan", "Spent")
    together = [
        (
            "Time of a million",
            f"{text.duration(joint.baseline_s)} -> {text.duration(joint.plan_s)}",
        ),
        ("Together", f"{text.percent(joint.gain_pct)}{_at_least(joint)}"),
        ("Price of a million", f"{text.money(joint.baseline_usd)} -> {text.money(joint.plan_usd)}"),
        ("Spent", text.spend(joint.spend)),
    ]
    made = [(f"Made by {r.stage.name}", r.made) for r in results if r.made]
    facts = output.aligned(output.Table(columns=("", ""), rows=[*together, *made]))
    return [*output.aligned(output.Table(columns=columns, rows=rows)), "", *facts]


def _at_least(joint: Joint) -> str:
    low = joint.gain_low_pct
    return "" if low is None else f" (at least {text.percent(low)}), as one stage after the other"
