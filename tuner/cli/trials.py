"""`trimtab trial ...`."""

from collections.abc import Sequence
from typing import Annotated

import typer

from tuner.cli import logs, output, progress, session, text
from tuner.cli.jobs import JobOption
from tuner.cli.output import Format, FormatOption
from tuner.expression import Value
from tuner.model import Attempt, Job, Measurement, Trial

app = typer.Typer(help="What was tried, and what came out.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(metavar="N", help="The number of the trial.")]


@app.command("list")
def list_trials(job: JobOption = "@last", form: FormatOption = Format.TABLE) -> None:
    """List the trials of a job; 0 is the baseline."""
    with session.open_service() as service:
        found = service.job(job)
        trials = service.trials(found.id)
        output.show_all(trials, form, lambda: _table(found, trials))


def _table(job: Job, trials: Sequence[Trial]) -> output.Table:
    metrics = [objective.metric for objective in job.spec.objectives]
    baseline = next((trial for trial in trials if trial.is_baseline), None)
    rows = [
        (
            str(trial.number),
            trial.state,
            *(text.metric(name, *progress.measured(trial, name)) for name in metrics),
            _change(trial, metrics[0], baseline),
            _remark(trial),
            text.changed_params(trial.params, job.spec.space.default()),
        )
        for trial in trials
    ]
    columns = ("N", "State", *metrics, "Change", "Remark", "Configuration")
    return output.Table(columns=columns, rows=rows, right=frozenset({"N", *metrics, "Change"}))


def _change(trial: Trial, metric: str, baseline: Trial | None) -> str:
    if trial.is_baseline:
        return "baseline"
    return progress.against(trial, metric, baseline) if trial.measurement else ""


def _remark(trial: Trial) -> str:
    if trial.failure is not None:
        return trial.failure.kind
    if trial.measurement is None:
        return ""
    if not trial.measurement.is_stable:
        return "unstable"
    return "beaten" if trial.measurement.stopped == "beaten" else ""


@app.command()
def get(number: Number, job: JobOption = "@last", form: FormatOption = Format.TABLE) -> None:
    """Show one trial: configuration, measurement or failure, launches."""
    with session.open_service() as service:
        found = service.job(job)
        trial = service.trial(found.id, number)
        attempts = service.attempts(found.id, number)
        output.show_one(trial, form, lambda: _details(found, trial, attempts))


def _details(job: Job, trial: Trial, attempts: Sequence[Attempt]) -> list[str]:
    rows = [
        ("Trial", f"{trial.number} of job {job.name} ({job.id})"),
        ("State", trial.state),
        ("Suggested", trial.reason),
        *[(f"  {name}", text.value(item)) for name, item in trial.params.items()],
    ]
    if trial.failure is not None:
        where = "" if trial.failure.rank is None else f" (rank {trial.failure.rank})"
        rows += [
            ("Failure", f"{trial.failure.kind}{where}: {trial.failure.cause}"),
            ("Remedy", trial.failure.remedy),
        ]
    lines = output.aligned(output.Table(columns=("", ""), rows=rows))
    if trial.measurement is not None:
        lines += ["", *_measurement(trial.measurement, trial.predicted)]
    if trial.failure is not None and trial.failure.log_tail:
        lines += ["", "Last lines of its log", *(f"  {line}" for line in trial.failure.log_tail)]
    return [*lines, "", *output.aligned(_attempt_table(attempts))] if attempts else lines


def _measurement(found: Measurement, predicted: dict[str, float]) -> list[str]:
    rows = [
        (
            name,
            text.metric(name, item, found.intervals.get(name)),
            text.metric(name, predicted[name]) if name in predicted else "",
            found.sources.get(name, ""),
        )
        for name, item in found.metrics.items()
    ]
    columns = ("Metric", "Measured", "Predicted" if predicted else "", "Read from")
    lines = output.aligned(output.Table(columns=columns, rows=rows))
    window = (
        f"steady window {text.duration(found.window_s)} after {text.duration(found.warmup_s)} of "
        f"warm-up, {found.steps:,} steps, {text.count(found.samples)} samples; "
        f"ended: {found.stopped}"
    )
    conditions = output.aligned(
        output.Table(columns=("Measured on", ""), rows=list(found.fingerprint.items()))
    )
    notes = [f"note: {note}" for note in found.notes]
    return [*lines, window, *notes, *(["", *conditions] if found.fingerprint else [])]


def _attempt_table(attempts: Sequence[Attempt]) -> output.Table:
    rows = [
        (
            str(attempt.number),
            attempt.purpose if attempt.pair is None else f"{attempt.purpose} {attempt.pair}",
            attempt.state,
            text.timestamp(attempt.created_at),
            text.duration(attempt.spend.wall_s),
            text.money(attempt.spend.usd),
            attempt.failure.kind if attempt.failure else "",
        )
        for attempt in attempts
    ]
    columns = ("Launch", "Purpose", "State", "Started", "Took", "Cost", "Failure")
    return output.Table(columns=columns, rows=rows, right=frozenset({"Launch", "Took", "Cost"}))


@app.command("logs")
def trial_logs(
    number: Number,
    job: JobOption = "@last",
    rank: Annotated[int, typer.Option("--rank", help="Which rank.")] = 0,
    tail: Annotated[int | None, typer.Option("--tail", help="Only the last N lines.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    at: Annotated[
        str | None, typer.Option("--at", help="Only the line of a source, as `trial get` names it.")
    ] = None,
    attempt: Annotated[int | None, typer.Option("--launch", help="With --at: which one.")] = None,
) -> None:
    """Print what a rank of a trial has written."""
    with session.open_service() as service:
        if at is not None:
            typer.echo(service.line(service.job(job).id, number, at, attempt))
            return
        source = logs.Source(job_id=service.job(job).id, trial=number, rank=rank)
        logs.print_log(service, source, tail, follow)


@app.command()
def compare(
    first: Annotated[int, typer.Argument(metavar="N", help="A trial's number.")],
    second: Annotated[int, typer.Argument(metavar="M", help="Another's.")],
    job: JobOption = "@last",
    form: FormatOption = Format.TABLE,
) -> None:
    """Put two trials side by side: parameters that differ, all metrics."""
    with session.open_service() as service:
        found = service.job(job)
        pair = service.trial(found.id, first), service.trial(found.id, second)
    if form is Format.TABLE:
        output.print_lines(_comparison(*pair))
    else:
        output.print_data(_comparison_data(*pair), form)


def _comparison(left: Trial, right: Trial) -> list[str]:
    columns = ("", f"Trial {left.number}", f"Trial {right.number}", "Change")
    rows: list[tuple[str, ...]] = [("state", left.state, right.state, "")]
    for name, (new, old) in text.differences(right.params, left.params).items():
        rows.append((name, text.value(old), text.value(new), ""))
    for name, (new, old) in _other_conditions(left, right).items():
        rows.append((f"measured on: {name}", text.value(old), text.value(new), ""))
    for name in _shared_metrics(left, right):
        cells = [text.metric(name, *progress.measured(trial, name)) for trial in (left, right)]
        rows.append((name, *cells, progress.against(right, name, left)))
    return output.aligned(output.Table(columns=columns, rows=rows, right=frozenset(columns[1:])))


def _other_conditions(left: Trial, right: Trial) -> dict[str, tuple[Value | None, Value | None]]:
    """Where two trials were not measured on the same, which makes their figures incomparable."""
    before, after = (t.measurement.fingerprint if t.measurement else {} for t in (left, right))
    return text.differences(after, before) if before and after else {}


def _shared_metrics(left: Trial, right: Trial) -> list[str]:
    measured = [trial.measurement.metrics for trial in (left, right) if trial.measurement]
    return list(dict.fromkeys(name for metrics in measured for name in metrics))


def _comparison_data(left: Trial, right: Trial) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {"kind": "param", "name": name, "first": old, "second": new}
        for name, (new, old) in text.differences(right.params, left.params).items()
    ]
    rows += [
        {"kind": "condition", "name": name, "first": old, "second": new}
        for name, (new, old) in _other_conditions(left, right).items()
    ]
    for name in _shared_metrics(left, right):
        (old, old_interval), (new, new_interval) = (
            progress.measured(trial, name) for trial in (left, right)
        )
        rows.append(
            {
                "kind": "metric",
                "name": name,
                "first": old,
                "second": new,
                "first_interval": old_interval,
                "second_interval": new_interval,
                "change_pct": text.change_pct(new, old),
            }
        )
    return rows
