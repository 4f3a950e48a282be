"""`trimtab run` and `trimtab job ...`."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.application import Application
from tuner.cli import output, progress, report, session, text, watch
from tuner.cli.output import Format, FormatOption
from tuner.errors import UserError
from tuner.model import Job, Plan
from tuner.spec import JobSpec

if TYPE_CHECKING:
    from tuner.service import Service

app = typer.Typer(help="Create, watch and steer jobs.", no_args_is_help=True)

JobRef = Annotated[
    str, typer.Argument(metavar="JOB", help="Id, unique prefix of one, name, or @last.")
]
JobOption = Annotated[
    str, typer.Option("--job", metavar="JOB", help="Id, unique prefix of one, name, or @last.")
]
FileOption = Annotated[
    str, typer.Option("--file", "-f", metavar="FILE", help="The job file; - reads standard input.")
]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", help="Give up waiting after this.")
]
_SPACE_LISTED = 1_000_000


def load(file: str) -> JobSpec:
    """Reads a job file, or standard input for `-` as if it lay here. Raises InvalidJob."""
    from tuner import jobfile

    if file == "-":
        here = Path.cwd()
        return jobfile.resolved(jobfile.load_job(sys.stdin.read(), "stdin", here), here)
    return jobfile.load_job_file(Path(file))


def run(
    file: FileOption,
    stage: Annotated[
        str | None, typer.Option("--stage", metavar="NAME", help="Only this stage of a pipeline.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the stages of an earlier run.")
    ] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Tune a job, or the stages of a pipeline, here and now: create, control, report."""
    from tuner import pipelinefile

    if pipelinefile.is_pipeline(Path(file)):
        from tuner.cli import pipelines

        pipelines.run(Path(file), stage, resume, form)
        return
    if stage is not None or resume:
        raise UserError(f"{file} is no pipeline: --stage and --resume go with its `stages`")
    spec = load(file)
    with session.open_service() as service:
        job = create_and_follow(service, spec)
        show_result(service, job, form)
        raise typer.Exit(watch.outcome(service, job))


def create_and_follow(service: "Service", spec: JobSpec) -> Job:
    """Creates a job and stays with it to its end."""
    job = service.create_job(spec, actor=session.actor())
    session.narrate(f"Created job {job.name} ({job.id}).")
    return watch.follow(service, job, None)


def show_result(service: "Service", job: Job, form: Format = Format.TABLE) -> None:
    """Prints the plan of a finished job, or says why there is none."""
    plan, application = plan_of(service, job)
    if plan is None:
        session.narrate(f"Job {job.name} {job.state} without a plan. {job.message}".strip())
        if form is Format.JSON:
            typer.echo("null")
        return
    steps = report.next_steps(job, plan, application)
    lines = [*report.summary(job, plan, application), "", *steps]
    output.show_one(plan, form, lambda: lines)


def plan_of(service: "Service", job: Job) -> tuple[Plan | None, Application | None]:
    """A job's latest plan and the latest application of that plan."""
    plans = service.plans(job.id)
    if not plans:
        return None, None
    return plans[-1], latest_application(service, plans[-1])


def latest_application(service: "Service", plan: Plan) -> Application | None:
    """The latest try to apply a plan."""
    tries = [a for a in service.applications(plan.job_id) if a.plan_id == plan.id]
    return tries[-1] if tries else None


@app.command()
def create(
    file: FileOption,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check it and show what it means; create nothing.")
    ] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Create a job; a controller (trimtab serve, trimtab job watch) works on it."""
    spec = load(file)
    if dry_run:
        output.print_lines(_dry_run(spec))
        return
    with session.open_service() as service:
        job = service.create_job(spec, actor=session.actor())
        output.show_one(job, form, lambda: [job.id])
        has_controller = service.controller() is not None
    where = "The running controller takes it up." if has_controller else "No controller is running."
    session.narrate(f"Created job {job.name}. {where}\n  trimtab job watch {job.id}")


def _dry_run(spec: JobSpec) -> list[str]:
    from tuner.launch import launch_command

    default = spec.space.default()
    command = launch_command(spec, default)
    rows = [
        ("Job", spec.name),
        ("Space", _space_size(spec)),
        ("Budget", f"{spec.budget.trials} trials, then {spec.apply.pairs} confirming pairs"),
        ("Prices", _prices(spec)),
        ("Default", text.params(default)),
        ("Command", report.shell_words(command)),
        ("Started", report.shape(command)),
    ]
    return output.aligned(output.Table(columns=("", ""), rows=rows))


def _prices(spec: JobSpec) -> str:
    from tuner import pricefile

    if spec.prices is None:
        return "none: costs will be unknown"
    return f"of {spec.prices.as_of}, {pricefile.age(spec.prices, datetime.now(UTC).date())}"


def _space_size(spec: JobSpec) -> str:
    raw = spec.space.raw_size()
    if raw is None:
        return f"{len(spec.space.params)} parameters, some real numbers: endless"
    if raw > _SPACE_LISTED:
        return f"{raw:,} configurations before conditions and constraints"
    valid = sum(1 for _ in spec.space.members())
    return f"{valid:,} different valid configurations of {raw:,} combinations"


@app.command()
def check(
    file: FileOption,
    limit_s: Annotated[float, typer.Option("--seconds", min=1, help="Longest time for it.")] = 60.0,
    form: FormatOption = Format.TABLE,
) -> None:
    """Launch a job for some steps on two ranks, and say whether its figures are read."""
    from tuner.cli import check as checked

    checked.check(load(file), limit_s, form)


@app.command("list")
def list_jobs(form: FormatOption = Format.TABLE) -> None:
    """List jobs, the latest last."""
    with session.open_service() as service:
        jobs = service.jobs()
        if form is Format.CSV:
            output.print_data([_flat(job) for job in jobs], form)
            return
        output.show_all(jobs, form, lambda: _job_table(service, jobs))


def _flat(job: Job) -> dict[str, object]:
    """A job without its specification, which fits no row."""
    data = output.to_data(job)
    data.pop("spec")
    return {"id": data.pop("id"), "name": job.name, **data}


def _job_table(service: "Service", jobs: Sequence[Job]) -> output.Table:
    rows = []
    for job in jobs:
        standing = service.progress(job.id)
        rows.append(
            (
                job.id,
                job.name,
                job.state,
                f"{standing.trials_done}/{standing.trials_total}",
                _gain(service, job),
                text.money(standing.spend.usd),
                text.ago(job.created_at),
            )
        )
    columns = ("ID", "Name", "State", "Trials", "Gain", "Spent", "Created")
    return output.Table(columns=columns, rows=rows, right=frozenset({"Trials", "Spent"}))


def _gain(service: "Service", job: Job) -> str:
    plan, _ = plan_of(service, job)
    if plan is not None:
        known = plan.gain_pct is not None
        return f"{plan.verdict} {report.gain_range(plan)}" if known else plan.verdict
    standing = service.progress(job.id)
    if standing.best is None or standing.best.is_baseline:
        return "-"
    return f"{text.percent(standing.best_gain_pct)} (not confirmed)"


@app.command()
def get(ref: JobRef = "@last", form: FormatOption = Format.TABLE) -> None:
    """Show one job: where it stands, what it found."""
    with session.open_service() as service:
        job = service.job(ref)
        output.show_one(job, form, lambda: _details(service, job))


def _details(service: "Service", job: Job) -> list[str]:
    snapshot = progress.look(service, job.id)
    standing = snapshot.progress
    rows = [
        ("Job", f"{job.name} ({job.id})"),
        ("State", f"{job.state}{progress.message(job)}"),
        ("Created", f"{text.timestamp(job.created_at)} ({text.ago(job.created_at)})"),
        ("Ended", text.timestamp(job.ended_at)),
        ("Trials", f"{standing.trials_done} of {standing.trials_total}"),
        ("Pairs", f"{standing.pairs_done} of {standing.pairs_total}"),
        ("Spent", text.spend(standing.spend)),
    ]
    if standing.prediction_error_pct is not None:
        rows.append(("Predictions", f"{standing.prediction_error_pct:.1f} % off (median)"))
    if not job.state.is_finished:
        rows.insert(4, ("ETA", text.duration(standing.eta_s)))
    lines = output.aligned(output.Table(columns=("", ""), rows=rows))
    plan, application = plan_of(service, job)
    if plan is None:
        return [*lines, "", *output.aligned(progress.trial_table(snapshot))]
    return [*lines, "", *report.summary(job, plan, application)]


@app.command()
def cost(ref: JobRef = "@last", form: FormatOption = Format.TABLE) -> None:
    """Show what a job has spent so far, launch by launch."""
    from tuner.cli import ledger

    with session.open_service() as service:
        ledger.show(service.ledger(ref), form)


@app.command()
def explain(ref: JobRef = "@last", form: FormatOption = Format.TABLE) -> None:
    """Show which parameters matter, what happens around the best, and what is nearly as good."""
    from tuner.cli import explain as explained

    with session.open_service() as service:
        baseline = service.job(ref).spec.space.default()
        explained.show(service.explain(ref), baseline, form)


@app.command("watch")
def watch_job(ref: JobRef = "@last", timeout: TimeoutOption = None) -> None:
    """Follow a job to its end; without any controller this process becomes it."""
    with session.open_service() as service:
        job = watch.follow(service, service.job(ref), timeout)
        show_result(service, job)
        raise typer.Exit(watch.outcome(service, job))


@app.command()
def logs(
    ref: JobRef = "@last",
    trial: Annotated[
        int | None, typer.Option("--trial", help="Which trial; the latest by itself.")
    ] = None,
    rank: Annotated[int, typer.Option("--rank", help="Which rank.")] = 0,
    tail: Annotated[int | None, typer.Option("--tail", help="Only the last N lines.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
) -> None:
    """Print what a rank of a trial has written."""
    from tuner.cli import logs as log_output

    with session.open_service() as service:
        job = service.job(ref)
        number = log_output.latest_trial(service, job) if trial is None else trial
        log_output.print_log(
            service, log_output.Source(job_id=job.id, trial=number, rank=rank), tail, follow
        )


@app.command()
def pause(ref: JobRef, form: FormatOption = Format.TABLE) -> None:
    """Start no more trials until resumed."""
    with session.open_service() as service:
        _wished(service, service.pause(ref, actor=session.actor()), form)


@app.command()
def resume(ref: JobRef, form: FormatOption = Format.TABLE) -> None:
    """Go on with a paused job."""
    with session.open_service() as service:
        _wished(service, service.resume(ref, actor=session.actor()), form)


@app.command()
def cancel(ref: JobRef, form: FormatOption = Format.TABLE) -> None:
    """End a job; its running trials are stopped, its results kept."""
    with session.open_service() as service:
        _wished(service, service.cancel(ref, actor=session.actor()), form)


def _wished(service: "Service", job: Job, form: Format) -> None:
    said = f"{job.name} ({job.id}): {job.wish} requested, now {job.state}"
    output.show_one(job, form, lambda: [said])
    if service.controller() is None and not job.state.is_finished:
        session.narrate(
            f"No controller is running: the request waits. Remedy: trimtab job watch {job.id}"
        )


@app.command()
def schema() -> None:
    """Print the JSON Schema of job files, for editors and programs."""
    from tuner import jobfile

    typer.echo(json.dumps(jobfile.job_schema(), indent=2))
