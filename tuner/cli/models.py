"""`trimtab estimate tasks`, `speedup` and `serving`: models that need no job file."""

from dataclasses import dataclass
from typing import Annotated

import typer

from tuner.cli import output, text
from tuner.cli.output import Format, FormatOption
from tuner.errors import UserError


def counts(words: str) -> tuple[int, ...]:
    """Numbers from 1 upwards, between commas. Raises UserError."""
    found = [int(word) for word in words.split(",") if word.strip().isdecimal()]
    if not found or min(found) < 1 or len(found) < words.count(",") + 1:
        raise UserError(f"{words!r}: write numbers from 1 upwards, such as 1,2,4,8")
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksEstimate:
    """Independent tasks on workers."""

    alone_s: float
    makespan_s: float
    speedup: float
    efficiency: float
    """Speed-up over workers, from 0 to 1."""
    lower_bound_s: float
    """No schedule is faster."""


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

    uneven = _speeds(speeds) if speeds else [1.0] * workers
    alone_s = scaling.equal_tasks_s(count, seconds_each, 1)
    makespan_s = scaling.equal_tasks_s(count, seconds_each, workers)
    if speeds:
        makespan_s = scaling.shared_tasks_s(count, seconds_each, uneven)
    speedup = alone_s / makespan_s
    found = TasksEstimate(
        alone_s=alone_s,
        makespan_s=makespan_s,
        speedup=speedup,
        efficiency=speedup / sum(uneven),
        lower_bound_s=scaling.lower_bound_s([seconds_each] * count, uneven),
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
class Speedup:
    """How many times as fast some workers are as one."""

    workers: int
    amdahl: float
    """The same work."""
    gustafson: float
    """Work that grows with the workers."""
    data_parallel: float
    """The same work with a gradient added up among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedupEstimate:
    """Speed-ups of several numbers of workers."""

    speedups: tuple[Speedup, ...]
    fastest: int
    """The number of workers that takes least, data-parallel."""


def speedup(
    workers: Annotated[str, typer.Option("--workers", metavar="N,N", help="1,2,4,8 ...")],
    serial_share: Annotated[
        float, typer.Option("--serial-share", min=0, max=1, help="What cannot be shared, 0 to 1.")
    ] = 0.0,
    step_ms: Annotated[float, typer.Option("--step-ms", min=1e-6, help="A step alone.")] = 100.0,
    gradient_mb: Annotated[
        float, typer.Option("--gradient-mb", min=0, help="10^6 bytes to add up in a step.")
    ] = 0.0,
    link: Annotated[float, typer.Option("--link", metavar="GB/S", min=1e-6)] = 1.25,
    latency_us: Annotated[float, typer.Option("--latency-us", min=0)] = 30.0,
    form: FormatOption = Format.TABLE,
) -> None:
    """Predict speed-ups by Amdahl, by Gustafson, and with a ring that adds up gradients."""
    from tuner.estimate import scaling
    from tuner.estimate.collectives import Link, collective

    wire = Link(latency_s=latency_us * 1e-6, bytes_per_s=link * 1e9)
    fixed_s, shared_s = step_ms / 1000 * serial_share, step_ms / 1000 * (1 - serial_share)

    def talk_s(n: int) -> float:
        return collective("all_reduce", n, gradient_mb * 1e6, wire).total_s

    sizes = counts(workers)
    rows = [
        Speedup(
            workers=n,
            amdahl=scaling.amdahl_speedup(n, serial_share),
            gustafson=scaling.gustafson_speedup(n, serial_share),
            data_parallel=step_ms / 1000 / scaling.data_parallel_s(n, shared_s, talk_s, fixed_s),
        )
        for n in sizes
    ]
    fastest = scaling.fastest_count(sizes, shared_s, talk_s, fixed_s)
    found = SpeedupEstimate(speedups=tuple(rows), fastest=fastest)
    output.show_one(found, form, lambda: _speedup_lines(found))


def _speedup_lines(found: SpeedupEstimate) -> list[str]:
    columns = ("Workers", "Amdahl", "Gustafson", "Data parallel")
    rows = [
        (str(row.workers), *map(text.number, (row.amdahl, row.gustafson, row.data_parallel)))
        for row in found.speedups
    ]
    table = output.Table(columns=columns, rows=rows, right=frozenset(columns))
    return [*output.aligned(table), "", f"Data-parallel, {found.fastest} of them are fastest."]


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
