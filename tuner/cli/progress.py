"""How a job is coming along: a live panel on a terminal, one line per event elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuner.cli import output, text
from tuner.cli.session import narrate
from tuner.model import Job, JobState, Spend, Trial, TrialState

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tuner.progress import Progress
    from tuner.service import Service

_BEST_SHOWN = 5
_FAILED_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A job at a moment."""

    job: Job
    progress: "Progress"
    trials: tuple[Trial, ...]

    @property
    def metric(self) -> str:
        """The first objective, the figure that stands for a trial in one line."""
        return self.job.spec.objectives[0].metric


Show = Callable[[Snapshot], None]


def look(service: "Service", job_id: str) -> Snapshot:
    """The present snapshot. The job is read last, so a finished job comes with all its trials."""
    return Snapshot(
        trials=tuple(service.trials(job_id)),
        progress=service.progress(job_id),
        job=service.job(job_id),
    )


@contextmanager
def display() -> Iterator[Show]:
    """Shows snapshots on standard error, in the way that fits it."""
    console = output.console(sys.stderr)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Narrator().show
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda snapshot: live.update(panel(snapshot), refresh=True)


class _Narrator:
    """Tells what has happened since the last snapshot."""

    def __init__(self) -> None:
        self._last: Snapshot | None = None

    def show(self, snapshot: Snapshot) -> None:
        for line in events(self._last, snapshot):
            narrate(line)
        self._last = snapshot


def events(before: Snapshot | None, after: Snapshot) -> list[str]:
    """A line for every trial that finished, pair that was run, and change of state."""
    if before is None:
        return [_state_line(after)]
    known = {trial.number for trial in before.trials if trial.state.is_finished}
    lines = [
        f"{_trial_line(trial, after)}, {_position(after)}"
        for trial in after.trials
        if trial.state.is_finished and trial.number not in known
    ]
    if after.progress.pairs_done > before.progress.pairs_done:
        pairs = f"{after.progress.pairs_done} of {after.progress.pairs_total}"
        lines.append(f"confirming pair {pairs} done | {_position(after)}")
    return [*lines, _state_line(after)] if _is_news(before.job, after.job) else lines


def _is_news(before: Job, after: Job) -> bool:
    """Whether state or message tell something; while confirming, the pairs have told it already."""
    if before.state is not after.state:
        return True
    return before.message != after.message and after.state is not JobState.CONFIRMING


def _state_line(snapshot: Snapshot) -> str:
    job, progress = snapshot.job, snapshot.progress
    done = f"{progress.trials_done} of {progress.trials_total} trials done"
    return f"job {job.name} ({job.id}) {job.state}, {done}{message(job)}"


def message(job: Job) -> str:
    """The job's message after a colon; nothing where it only repeats the state."""
    return f": {job.message}" if job.message not in ("", job.state) else ""


def _trial_line(trial: Trial, snapshot: Snapshot) -> str:
    done = f"{snapshot.progress.trials_done} of {snapshot.progress.trials_total}"
    result = trial_result(trial, snapshot.metric, snapshot.progress.baseline)
    return (
        f"trial {trial.number} {trial.state}: {result} | {_params(trial, snapshot)} | {done} done"
    )


def _params(trial: Trial, snapshot: Snapshot) -> str:
    return text.changed_params(trial.params, snapshot.job.spec.space.default())


def _position(snapshot: Snapshot) -> str:
    if snapshot.job.state.is_finished:
        return spent(snapshot.progress.spend)
    return f"ETA {text.duration(snapshot.progress.eta_s)}, {spent(snapshot.progress.spend)}"


def spent(used: Spend) -> str:
    """Time and money so far; money only where there are prices."""
    return f"spent {text.duration(used.wall_s)}" + (
        f" and {text.money(used.usd)}" if used.usd is not None else ""
    )


def trial_result(trial: Trial, metric: str, baseline: Trial | None) -> str:
    """A trial's figure beside the baseline's, or why there is none."""
    if trial.failure is not None:
        return f"{trial.failure.kind}: {trial.failure.cause}"
    if trial.measurement is None:
        return "no measurement"
    parts = [text.metric(metric, *measured(trial, metric))]
    if not trial.is_baseline:
        parts.append(f"{against(trial, metric, baseline)} against the baseline")
    if not trial.measurement.is_stable:
        parts.append("unstable")
    if trial.measurement.stopped == "beaten":
        parts.append("stopped early: clearly beaten")
    return ", ".join(parts)


def measured(trial: Trial | None, metric: str) -> tuple[float | None, tuple[float, float] | None]:
    """A trial's value of a metric and its interval."""
    if trial is None or trial.measurement is None:
        return None, None
    return trial.measurement.metrics.get(metric), trial.measurement.intervals.get(metric)


def against(trial: Trial, metric: str, baseline: Trial | None) -> str:
    """How a trial's metric differs from the baseline's."""
    change = text.change_pct(measured(trial, metric)[0], measured(baseline, metric)[0])
    return text.percent(change)


def panel(snapshot: Snapshot) -> "RenderableType":
    """What a terminal shows: where the job stands, running trials, the best, the last failures."""
    from rich.console import Group

    return Group(_head(snapshot), output.rich_table(trial_table(snapshot)))


def _head(snapshot: Snapshot) -> "RenderableType":
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    progress = snapshot.progress
    is_confirming = snapshot.job.state is JobState.CONFIRMING
    done, total, what = (
        (progress.pairs_done, progress.pairs_total, "pairs")
        if is_confirming
        else (progress.trials_done, progress.trials_total, "trials")
    )
    head = Table.grid(padding=(0, 2, 0, 0))
    head.add_row(
        Text(snapshot.job.name, "bold"),
        Text(snapshot.job.state, "cyan"),
        ProgressBar(total=max(total, 1), completed=done, width=24),
        Text(f"{done} of {total} {what}"),
        Text(_position(snapshot)),
    )
    return head


def trial_table(snapshot: Snapshot) -> output.Table:
    """Running trials first, then the baseline and the best, then the last failures."""
    rows = [_row("running", trial, snapshot) for trial in _running(snapshot)]
    rows += [_row("baseline", t, snapshot) for t in (snapshot.progress.baseline,) if t is not None]
    chosen = snapshot.progress.best
    for trial in best(snapshot):
        is_best = chosen is not None and trial.number == chosen.number
        rows.append(_row("best so far" if is_best else "", trial, snapshot))
    failed = [t for t in snapshot.trials if t.state is TrialState.FAILED]
    rows += [_row("failed", trial, snapshot) for trial in failed[-_FAILED_SHOWN:]]
    columns = ("", "Trial", snapshot.metric, "Change", "Configuration")
    return output.Table(columns=columns, rows=rows, right=frozenset(columns[1:4]))


def _running(snapshot: Snapshot) -> list[Trial]:
    return [trial for trial in snapshot.trials if trial.number in snapshot.progress.running]


def best(snapshot: Snapshot) -> list[Trial]:
    """The best measured trials by the first objective, the best first."""
    objective = snapshot.job.spec.objectives[0]
    sign = -1.0 if objective.direction == "maximize" else 1.0
    ranked = [
        (sign * value, trial.number, trial)
        for trial in snapshot.trials
        if trial.state is TrialState.COMPLETE and not trial.is_baseline
        for value in (measured(trial, objective.metric)[0],)
        if value is not None
    ]
    return [trial for _, _, trial in sorted(ranked, key=lambda row: row[:2])[:_BEST_SHOWN]]


def _row(label: str, trial: Trial, snapshot: Snapshot) -> tuple[str, ...]:
    if trial.failure is not None:
        return label, str(trial.number), trial.failure.kind, "", _params(trial, snapshot)
    if trial.measurement is None:
        return label, str(trial.number), "", "", _params(trial, snapshot)
    metric, baseline = snapshot.metric, snapshot.progress.baseline
    value = text.metric(metric, *measured(trial, metric))
    change = "" if trial.is_baseline else against(trial, metric, baseline)
    return label, str(trial.number), value, change, _params(trial, snapshot)
