"""What `trimtab job check` prints."""

import tempfile
from pathlib import Path

import typer

from tuner.cli import exits, output, report, session, text
from tuner.cli.output import Format
from tuner.executors.host import LocalHost
from tuner.executors.local import LocalExecutor
from tuner.model import Failure
from tuner.smoke import RANKS, STEPS, Smoke, try_out
from tuner.spec import JobSpec


def check(spec: JobSpec, limit_s: float, form: Format) -> None:
    """Exits with the code of a failed job where an objective was not read."""
    session.narrate(f"Launching {spec.name} for {STEPS} steps, on {RANKS} ranks where it may.")
    with tempfile.TemporaryDirectory(prefix="trimtab-check-") as folder:
        executor = LocalExecutor(Path(folder), warm_package=None)
        try:
            smoke = try_out(executor, LocalHost(), spec, limit_s=limit_s)
        finally:
            executor.close()
    output.show_one(smoke, form, lambda: lines(spec, smoke))
    if smoke.failure is not None:
        raise typer.Exit(exits.JOB_FAILED)


def lines(spec: JobSpec, smoke: Smoke) -> list[str]:
    """What was launched, what it told of, and what is missing."""
    rows = [
        ("Job", spec.name),
        ("Params", text.params(smoke.params)),
        ("Command", report.shell_words(smoke.command)),
        ("Started", report.shape(smoke.command)),
        ("Steps", ", ".join(f"rank {rank}: {n}" for rank, n in smoke.steps.items()) or "none"),
        ("Samples", f"{smoke.samples:,.0f}"),
        ("Read", _read(spec, smoke) or "nothing"),
    ]
    if smoke.unseen:
        rows.append(("Not yet", f"{', '.join(smoke.unseen)}: not told within so few steps"))
    rows.append(("Result", "ok" if smoke.failure is None else f"failed: {smoke.failure.cause}"))
    told = output.aligned(output.Table(columns=("", ""), rows=rows))
    return told if smoke.failure is None else [*told, *_remedy(smoke.failure)]


def _read(spec: JobSpec, smoke: Smoke) -> str:
    """The job's own figures in front, then what else it told of; the system's are left out."""
    first = [o.metric for o in spec.objectives if o.metric in smoke.metrics]
    told = [n for n in ("samples_per_s", "loss", "auc", "p99_latency_ms") if n in smoke.metrics]
    names = dict.fromkeys([*first, *told])
    return ", ".join(f"{name} {text.metric(name, smoke.metrics[name])}" for name in names)


def _remedy(failure: Failure) -> list[str]:
    tail = [f"  {line}" for line in failure.log_tail]
    return [f"Remedy: {failure.remedy}", *(["The end of its log:", *tail] if tail else [])]
