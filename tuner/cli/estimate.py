"""`trimtab estimate`: what-if without a trial."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli import output, session, text
from tuner.cli.output import Format, FormatOption
from tuner.errors import UserError

if TYPE_CHECKING:
    from tuner.estimate.calibrate import Calibration
    from tuner.estimate.planner import Answer, Estimate, Question
    from tuner.expression import Value

app = typer.Typer(help="Predict without a trial.", invoke_without_command=True)

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
        nodes=_counts(nodes) if nodes else (),
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


def _counts(words: str) -> tuple[int, ...]:
    counts = [int(word) for word in words.split(",") if word.strip().isdecimal()]
    if not counts or min(counts) < 1 or len(counts) < words.count(",") + 1:
        raise UserError(f"--nodes {words!r}: write numbers from 1 upwards, such as 1,2,4,8")
    return tuple(counts)


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
    columns += ["Waits for data", "Memory of a rank", "USD per million"]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksEstimate:
    """Independent tasks on workers."""

    alone_s: float
    makespan_s: float
    speedup: float
    efficiency: float
    """Speed-up over workers, from 0 to 1."""


@app.command()
def tasks(
    count: Annotated[int, typer.Option("--count", min=1, max=1_000_000, help="Tasks.")],
    seconds_each: Annotated[float, typer.Option("--seconds-each", min=1e-9, help="Time of one.")],
    workers: Annotated[int, typer.Option("--workers", min=1, max=100_000, help="Workers.")] = 1,
    speeds: Annotated[
        str | None,
        typer.Option("--speeds", metavar="X,X", help="Speeds of uneven workers: 1,1,0.5."),
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Predict how long equal, independent tasks take on several workers."""
    from tuner.estimate import scaling

    alone_s = scaling.equal_tasks_s(count, seconds_each, 1)
    if speeds is None:
        makespan_s, size = scaling.equal_tasks_s(count, seconds_each, workers), float(workers)
    else:
        uneven = _speeds(speeds)
        makespan_s, size = scaling.shared_tasks_s(count, seconds_each, uneven), sum(uneven)
    speedup = alone_s / makespan_s
    found = TasksEstimate(
        alone_s=alone_s, makespan_s=makespan_s, speedup=speedup, efficiency=speedup / size
    )
    output.show_one(found, form, lambda: [_tasks_line(found)])


def _speeds(words: str) -> list[float]:
    try:
        speeds = [float(word) for word in words.split(",")]
    except ValueError:
        speeds = []
    if not speeds or not all(0 < speed < 1e9 for speed in speeds):
        raise UserError(f"--speeds {words!r}: write numbers above 0, such as 1,1,0.5")
    return speeds


def _tasks_line(found: TasksEstimate) -> str:
    return (
        f"{text.number(found.makespan_s)} s, against {text.number(found.alone_s)} s on one worker: "
        f"{text.number(found.speedup)} times as fast, {found.efficiency:.0%} of what the workers "
        "could do"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingEstimate:
    """A service that answers in batches."""

    replicas: int | None
    """The fewest that hold the limit at the rate; None where no number does."""
    p99_s: float | None
    """At the rate, with so many replicas."""
    rate_each_per_s: float
    """The highest rate at which one replica holds the limit."""
    capacity_each_per_s: float
    """The highest rate of one replica, however late."""


@app.command()
def serving(
    rate: Annotated[float, typer.Option("--rate", min=1e-6, help="Requests per second.")],
    slo_ms: Annotated[float, typer.Option("--slo-ms", min=1e-6, help="Limit of the 99th centile.")],
    batch_ms: Annotated[float, typer.Option("--batch-ms", min=0.0, help="Time of a batch ...")],
    each_ms: Annotated[
        float, typer.Option("--each-ms", min=1e-9, help="... and of each request in it.")
    ],
    max_batch: Annotated[int, typer.Option("--max-batch", min=1, help="Largest batch.")] = 1,
    max_wait_ms: Annotated[
        float, typer.Option("--max-wait-ms", min=0.0, help="How long the first request may wait.")
    ] = 0.0,
    form: FormatOption = Format.TABLE,
) -> None:
    """Predict how many replicas hold a latency limit at a load."""
    from tuner.estimate import serving as model

    batching = model.Batching(
        fixed_s=batch_ms / 1000,
        each_s=each_ms / 1000,
        max_size=max_batch,
        max_wait_s=max_wait_ms / 1000,
    )
    replicas = model.fewest_replicas(rate, batching, slo_ms / 1000)
    found = ServingEstimate(
        replicas=replicas,
        p99_s=None if replicas is None else model.latency_quantile_s(rate, replicas, batching),
        rate_each_per_s=model.highest_rate_per_s(1, batching, slo_ms / 1000),
        capacity_each_per_s=batching.capacity_per_s,
    )
    output.show_one(found, form, lambda: [_serving_line(found, slo_ms)])


def _serving_line(found: ServingEstimate, slo_ms: float) -> str:
    each = f"one bears {text.number(found.rate_each_per_s)}/s within {slo_ms:g} ms"
    if found.replicas is None or found.p99_s is None:
        return f"no number of replicas holds {slo_ms:g} ms: {each}"
    late = text.number(found.p99_s * 1000)
    return f"{found.replicas} replica(s), 99 % within {late} ms; {each}"
