"""`trimtab plan ...`, `apply`, `rollback` and `start`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.application import Application, ApplicationState
from tuner.cli import exits, output, report, session, text, watch
from tuner.cli.jobs import latest_application
from tuner.cli.output import Format, FormatOption
from tuner.expression import Value
from tuner.model import Plan

if TYPE_CHECKING:
    from tuner.service import Service

app = typer.Typer(help="What is worth applying, with its evidence.", no_args_is_help=True)

PlanRef = Annotated[str, typer.Argument(metavar="PLAN", help="Id, unique prefix of one, or @last.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
SettleOption = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="Give up waiting after this.")
]


@app.command("list")
def list_plans(
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="Only the plans of this job.")
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List plans, the latest last."""
    with session.open_service() as service:
        plans = service.plans(job)
        output.show_all(plans, form, lambda: _table(service, plans))


def _table(service: "Service", plans: Sequence[Plan]) -> output.Table:
    rows = []
    for plan in plans:
        application = latest_application(service, plan)
        rows.append(
            (
                plan.id,
                service.job(plan.job_id).name,
                plan.verdict,
                report.gain_range(plan),
                str(plan.trial_number),
                application.state if application else "-",
                text.ago(plan.created_at),
            )
        )
    columns = ("ID", "Job", "Verdict", "Gain", "Trial", "Applied", "Created")
    return output.Table(columns=columns, rows=rows, right=frozenset({"Trial"}))


@app.command()
def get(ref: PlanRef = "@last", form: FormatOption = Format.TABLE) -> None:
    """Show one plan: what it gains, why, its pairs and its launch command."""
    with session.open_service() as service:
        plan = service.plan(ref)
        job = service.job(plan.job_id)
        application = latest_application(service, plan)
        output.show_one(plan, form, lambda: report.plan_details(job, plan, application))


@app.command()
def diff(ref: PlanRef = "@last", form: FormatOption = Format.TABLE) -> None:
    """Show what a plan changes: against the baseline, and against what is on its target now."""
    with session.open_service() as service:
        plan = service.plan(ref)
        there = params_on_target(service, plan)
    rows = _diff_rows(plan, there)
    if form is not Format.TABLE:
        output.print_data(rows, form)
        return
    if there is None:
        session.narrate("Trimtab has not put anything on the target yet.")
    elif there == plan.params:
        session.narrate("This configuration is on the target.")
    columns = ("Parameter", "Baseline", "On target", "Plan")
    cells = [tuple(str(cell) for cell in _diff_cells(row, there)) for row in rows]
    output.print_table(output.Table(columns=columns, rows=cells))


def params_on_target(service: "Service", plan: Plan) -> dict[str, Value] | None:
    """The configuration that the latest application left on the target of this plan's job."""
    target = service.job(plan.job_id).spec.apply.target
    tries = [
        application
        for application in service.applications()
        if target is not None
        and application.target_path == target.place
        and (application.state.is_on_target or application.state is ApplicationState.ROLLED_BACK)
    ]
    if not tries:
        return None
    latest = max(tries, key=lambda application: application.updated_at)
    applied = service.plan(latest.plan_id)
    if latest.state.is_on_target:
        return applied.params
    back = [p.params for p in service.plans() if p.hash == latest.before_hash]
    # The first application of all writes the baseline first, for a rollback to go back to.
    return back[-1] if back else applied.baseline_params


def _diff_rows(plan: Plan, there: dict[str, Value] | None) -> list[dict[str, object]]:
    """Parameters that differ between the plan and either of the other two."""
    present = there or {}
    names = list(dict.fromkeys([*plan.baseline_params, *plan.params, *present]))
    rows: list[dict[str, object]] = []
    for name in names:
        new, default = plan.params.get(name), plan.baseline_params.get(name)
        current = present.get(name)
        if new != default or (there is not None and new != current):
            rows.append({"param": name, "baseline": default, "on_target": current, "plan": new})
    return rows


def _diff_cells(row: dict[str, object], there: dict[str, Value] | None) -> list[object]:
    dashed = ["-" if item is None else item for item in row.values()]
    if there is None:
        dashed[2] = "(nothing)"
    return dashed


def apply(
    ref: PlanRef,
    yes: YesOption = False,
    stale: Annotated[
        bool, typer.Option("--stale", help="Although conditions changed since it was measured.")
    ] = False,
    timeout: SettleOption = 120,
) -> None:
    """Put a plan on its target."""
    with session.open_service() as service:
        plan = service.plan(ref)
        target = service.job(plan.job_id).spec.apply.target
        where = target.place if target is not None else "its target"
        session.confirm(f"Apply {plan.id} ({plan.verdict}, {_gain(plan)}) to {where}?", yes=yes)
        application = service.apply(plan.id, actor=session.actor(), stale=stale)
        _finish(watch.settle(service, application, timeout))


def _gain(plan: Plan) -> str:
    return f"gain {report.gain_range(plan)}"


def rollback(
    ref: Annotated[
        str | None,
        typer.Argument(metavar="[APPLICATION]", help="Id; the one in force last by itself."),
    ] = None,
    yes: YesOption = False,
    timeout: SettleOption = 120,
) -> None:
    """Put back what was on the target before a plan was applied."""
    with session.open_service() as service:
        what = f"application {ref}" if ref else "the latest application"
        session.confirm(f"Roll back {what}?", yes=yes)
        application = service.rollback(ref, actor=session.actor())
        _finish(watch.settle(service, application, timeout))


_NOT_APPLIED = (
    ApplicationState.REJECTED,
    ApplicationState.FAILED,
    ApplicationState.EXPIRED,
    ApplicationState.FROZEN,
)


def _finish(application: Application) -> None:
    message = f": {application.message}" if application.message else ""
    state = f"{application.id} {application.state}{message}"
    typer.echo(f"{state} ({application.target_kind} {application.target_path})")
    if application.state in _NOT_APPLIED:
        raise typer.Exit(exits.NOT_APPLIED)


def start(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN_FILE", help="As `apply` wrote it.")],
) -> None:
    """Run a job in the foreground exactly as a plan file says; ends with the job's exit code."""
    from tuner.targets.starting import start_from

    raise typer.Exit(start_from(plan_file, session.home() / "starts", session.narrate))


def approve(
    ref: Annotated[str, typer.Argument(metavar="APPLICATION", help="Id, or @last.")] = "@last",
    yes: YesOption = False,
) -> None:
    """Approve an application that waits for people; not one that you asked for yourself."""
    with session.open_service() as service:
        application = service.application(ref)
        what = f"{application.plan_id} ({application.plan_hash[:12]}) on {application.target_path}"
        session.confirm(f"Approve {what}?", yes=yes)
        service.approve(application.id, actor=session.actor())
        session.narrate(f"Approved: {application.id}.")


def reject(
    ref: Annotated[str, typer.Argument(metavar="APPLICATION", help="Id, or @last.")] = "@last",
) -> None:
    """Reject an application before it changes anything."""
    with session.open_service() as service:
        application = service.reject(ref, actor=session.actor())
        session.narrate(f"Rejected: {application.id}.")


def halt(
    lift: Annotated[bool, typer.Option("--lift", help="Let applications go on again.")] = False,
) -> None:
    """Stop every application at once: nothing goes forward any more, only back."""
    with session.open_service() as service:
        service.halt(lift=lift, actor=session.actor())
        session.narrate("Applications go on." if lift else "Halted: nothing is applied any more.")
