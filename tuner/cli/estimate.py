"""`trimtab estimate`: what-if without a trial."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli import models, output, session, text
from tuner.cli.output import Format, FormatOption
from tuner.errors import UserError

if TYPE_CHECKING:
    from tuner.estimate.calibrate import Calibration
    from tuner.estimate.planner import Answer, Estimate, Question
    from tuner.expression import Value

app = typer.Typer(help="Predict without a trial.", invoke_without_command=True)
app.command()(models.tasks)
app.command()(models.speedup)
app.command()(models.serving)

CountsOption = Annotated[
    str | None, typer.Option("--nodes", metavar="N,N", help="Numbers of nodes: 1,2,4,8.")
]


@app.callback()
def estimate(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", metavar="FILE", help="The job file; - reads standard input."),
    ] = None,
    nodes: CountsOption = None,
    gpu: Annotated[
        str | None, typer.Option("--gpu", metavar="NAME", help="Another GPU: A100, H100 ...")
    ] = None,
    link: Annotated[
        float | None, typer.Option("--link", metavar="GB/S", min=1e-6, help="Another link.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="N", min=1e-9, help="Wanted samples/s.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Another parameter.")
    ] = None,
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="Calibrate by this job's trials.")
    ] = None,
    probes: Annotated[
        int, typer.Option("--probes", min=0, help="Name so many runs that would calibrate best.")
    ] = 0,
    form: FormatOption = Format.TABLE,
) -> None:
    """Predict rate, time of a step, memory and price of a job on other nodes, GPUs and links."""
    if context.invoked_subcommand is not None:
        return
    if file is None:
        raise UserError("what is to be estimated? Remedy: --file JOB.YAML, or see --help")
    from tuner.cli.jobs import load
    from tuner.estimate import planner

    question = planner.Question(
        nodes=models.counts(nodes) if nodes else (),
        gpu=gpu,
        link_gb_per_s=link,
        rate_per_s=rate,
        params=dict(_setting(word) for word in settings or ()),
        probes=probes,
    )
    spec = load(file)
    trials = []
    if job is not None:
        with session.open_service() as service:
            trials = service.trials(job)
    found = planner.estimate(spec, question, trials)
    output.show_one(found, form, lambda: _lines(found, question))


def _setting(word: str) -> "tuple[str, Value]":
    import yaml

    name, sign, written = word.partition("=")
    value = yaml.safe_load(written) if sign else None
    if not isinstance(value, int | float | str | bool):
        raise UserError(f"--set {word!r}: write NAME=VALUE, such as global_batch_size=4096")
    return name, value


def _lines(found: "Estimate", question: "Question") -> list[str]:
    lines = output.aligned(_table(found.answers, question))
    for answer in found.answers:
        if answer.does_not_fit is not None:
            lines += ["", f"{answer.nodes} nodes do not fit: {answer.does_not_fit}"]
    lines += ["", *_rests_on(found.calibration), f"Defaults: {', '.join(found.defaults)}."]
    if found.probes:
        lines += ["", "Runs that would calibrate best", *map(text.params, found.probes)]
    return lines


def _table(answers: "Sequence[Answer]", question: "Question") -> output.Table:
    columns = ["Nodes", "Ranks", "Samples/s", "Step", "Computing", "Overhead", "Network", "Loader"]
    columns += ["Bound by", "Waits for data", "Memory of a rank", "USD per million"]
    columns += ["Gangs", "USD per hour"] if question.rate_per_s is not None else []
    rows = [_row(answer)[: len(columns)] for answer in answers]
    return output.Table(columns=tuple(columns), rows=rows, right=frozenset(columns))


def _row(answer: "Answer") -> tuple[str, ...]:
    step = answer.step
    high = max(step.waits, step.waits_varying)
    return (
        str(answer.nodes),
        str(answer.ranks),
        text.number(answer.samples_per_s),
        *map(_ms, (answer.step_s, step.device_s, step.overhead_s)),
        *map(_ms, (step.latency_s + step.transfer_s, step.loader_s)),
        step.bound_by,
        f"{step.waits:.0%} to {high:.0%}" if high - step.waits >= 0.005 else f"{step.waits:.0%}",
        f"{text.number(answer.memory_gib)} GiB",
        text.money(answer.usd_per_million_samples),
        str(answer.gangs),
        text.money(answer.usd_per_hour),
    )


def _ms(seconds: float) -> str:
    return f"{text.number(seconds * 1000)} ms"


def _rests_on(calibration: "Calibration") -> list[str]:
    told = sorted(calibration.factors.calibrated)
    if not calibration.runs:
        return ["Calibrated: nothing; --job NAME takes the trials of an earlier job."]
    before, after = calibration.error_before_pct, calibration.error_after_pct
    return [
        f"Calibrated by {calibration.runs} trials: {', '.join(told) or 'nothing'}. "
        f"Median error on them {before:.0f} % before, {after:.0f} % after."
    ]
