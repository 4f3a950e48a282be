"""What-if without a trial: rate, time of a step, memory and price of configurations never run."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import islice

from tuner import cost
from tuner.description import Description, Hardware
from tuner.errors import UserError
from tuner.estimate.calibrate import Calibration, calibrate
from tuner.estimate.configuration import Configuration, configuration_of
from tuner.estimate.devices import GPUS, Device, data_sheet, device_of
from tuner.estimate.factors import NAMES, Factors
from tuner.estimate.memory import RankMemory, does_not_fit, rank_memory
from tuner.estimate.probes import most_telling
from tuner.estimate.step import Step, step_of
from tuner.expression import Value
from tuner.model import Placement, Trial
from tuner.money import Money
from tuner.space import Params
from tuner.spec import JobSpec

_PROBED = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked. What is left out is as the job file says."""

    nodes: tuple[int, ...] = ()
    gpu: str | None = None
    link_gb_per_s: float | None = None
    rate_per_s: float | None = None
    """Samples per second that are wanted; so many gangs side by side are counted."""
    params: dict[str, Value] = field(default_factory=dict)
    """Parameters that differ from the default."""
    probes: int = 0
    """How many runs to name that would calibrate best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The prediction of one configuration."""

    nodes: int
    ranks: int
    device: str
    samples_per_s: float
    step_s: float
    step: Step
    memory_gib: float
    """Of the fullest rank."""
    memory: RankMemory
    does_not_fit: str | None
    """The sum in words; None where it fits, or where nobody knows the room."""
    usd_per_million_samples: Money | None
    gangs: int | None = None
    """How many of them the wanted rate takes."""
    usd_per_hour: Money | None = None
    """Of all those gangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Answers, and what they rest on."""

    answers: tuple[Answer, ...]
    calibration: Calibration
    defaults: tuple[str, ...]
    """Factors and fields of the hardware that nobody has given or measured."""
    probes: tuple[Params, ...] = ()
    """Configurations of the space whose runs would tell most, the first one first."""


def estimate(spec: JobSpec, question: Question, trials: Sequence[Trial] = ()) -> Estimate:
    """Predicts each number of nodes. Raises UserError where the job file does not tell the work."""
    work = described(spec)
    calibration = calibration_of(spec, trials)
    hardware = _asked(work.hardware, question)
    device = device_of(hardware)
    params = _params(spec, question)
    own = configuration_of(spec, params)
    runs = [replace(own, nodes=nodes) for nodes in question.nodes or (own.nodes,)]
    answers = [_answer(spec, device, run, calibration.factors, question.rate_per_s) for run in runs]
    factors = [name for name in NAMES if name not in calibration.factors.calibrated]
    defaults = (*device.defaults, *(f"factor {name}" for name in factors))
    return Estimate(
        answers=tuple(answers),
        calibration=calibration,
        defaults=defaults,
        probes=_probes(spec, question.probes),
    )


def _probes(spec: JobSpec, count: int) -> tuple[Params, ...]:
    """None where the space is endless; of a very large one its first part is looked at."""
    if not count or spec.space.raw_size() is None:
        return ()
    work = described(spec)
    device = device_of(work.hardware)
    members = list(islice(spec.space.members(), _PROBED))
    runs = [configuration_of(spec, params) for params in members]
    found = most_telling(
        lambda factors: [step_of(work, device, run, factors).total_s for run in runs], count
    )
    return tuple(members[position] for position in found)


def described(spec: JobSpec) -> Description:
    """The section `estimate` of a job file. Raises UserError where there is none."""
    if spec.estimate is None:
        raise UserError(
            f"job {spec.name} does not tell its work. Remedy: add a section `estimate` to the job "
            "file, as examples/dlrm.yaml does"
        )
    return spec.estimate


def calibration_of(spec: JobSpec, trials: Sequence[Trial]) -> Calibration:
    """Factors fitted to the rates that trials of the job had, on the hardware of the job file."""
    work = described(spec)
    device = device_of(work.hardware)
    measured = [
        (configuration_of(spec, trial.params), trial.measurement.metrics["samples_per_s"])
        for trial in trials
        if trial.measurement is not None
        and trial.measurement.is_stable
        and trial.measurement.metrics.get("samples_per_s", 0) > 0
    ]
    times = [run.global_batch / rate for run, rate in measured]
    return calibrate(
        lambda factors: [step_of(work, device, run, factors).total_s for run, _ in measured], times
    )


def _asked(hardware: Hardware, question: Question) -> Hardware:
    """Another GPU brings its own data sheet; links stay, but for that within a node."""
    if question.gpu is not None and question.gpu != hardware.gpu:
        if data_sheet(question.gpu) is None:
            known = ", ".join(gpu.name for gpu in GPUS)
            raise UserError(
                f"the GPU {question.gpu!r} is not known. Remedy: use one of {known}, or write its "
                "figures into `estimate.hardware`"
            )
        hardware = Hardware(
            gpu=question.gpu,
            link_gb_per_s=hardware.link_gb_per_s,
            link_latency_us=hardware.link_latency_us,
        )
    if question.link_gb_per_s is not None:
        hardware = replace(hardware, link_gb_per_s=question.link_gb_per_s)
    return hardware


def _params(spec: JobSpec, question: Question) -> Params:
    unknown = sorted(set(question.params) - set(spec.space.params))
    if unknown:
        known = ", ".join(spec.space.params)
        raise UserError(f"there is no parameter {unknown[0]!r}. Remedy: use one of {known}")
    return {**spec.space.default(), **question.params}


def _answer(
    spec: JobSpec, device: Device, run: Configuration, factors: Factors, rate_per_s: float | None
) -> Answer:
    work = described(spec)
    step, memory = step_of(work, device, run, factors), rank_memory(work, run)
    per_hour = _usd_per_hour(spec, device, run)
    gangs = None if rate_per_s is None else -int(-rate_per_s // step.samples_per_s)
    sharing = run.ranks_per_node if device.is_core else 1
    room_gib = device.memory_gib
    return Answer(
        nodes=run.nodes,
        ranks=run.ranks,
        device=device.name,
        samples_per_s=step.samples_per_s,
        step_s=step.total_s,
        step=step,
        memory_gib=memory.total_gib,
        memory=memory,
        does_not_fit=None if room_gib is None else does_not_fit(memory, room_gib, sharing),
        usd_per_million_samples=_per_million(per_hour, step.samples_per_s),
        gangs=gangs,
        usd_per_hour=None if per_hour is None or gangs is None else per_hour * gangs,
    )


def _usd_per_hour(spec: JobSpec, device: Device, run: Configuration) -> Decimal | None:
    """Price of a gang as large as this one, on nodes that need not be there."""
    cores_each = spec.resources.cores_per_node or run.threads * run.ranks_per_node
    gpus_each = 0 if device.is_core else run.ranks_per_node
    gpus = tuple(_numbers(node, gpus_each) for node in range(run.nodes))
    placement = Placement(
        cores=tuple(_numbers(node, cores_each) for node in range(run.nodes)),
        gpus=gpus,
        gpu_names={gpu: _price_name(spec, device) for node in gpus for gpu in node},
    )
    return cost.usd_per_hour(spec, placement)


def _price_name(spec: JobSpec, device: Device) -> str:
    """The price book's name for a GPU: drivers call an H100 `NVIDIA H100 80GB HBM3`."""
    sheet = data_sheet(device.name)
    names = spec.prices.per_gpu_hour if spec.prices is not None else {}
    if device.name in names or sheet is None:
        return device.name
    return next((name for name in names if data_sheet(name) == sheet), device.name)


def _numbers(node: int, each: int) -> tuple[int, ...]:
    return tuple(range(node * each, (node + 1) * each))


def _per_million(per_hour: Decimal | None, samples_per_s: float) -> Decimal | None:
    if per_hour is None:
        return None
    return per_hour / cost.HOUR / Decimal(repr(samples_per_s)) * 1_000_000
