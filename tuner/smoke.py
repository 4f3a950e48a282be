"""A short real launch of a job: whether it starts on two ranks, and its figures are read."""

import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tuner import assess, measure
from tuner.errors import UserError
from tuner.expression import Value
from tuner.gang import Gang, RunState, RunStatus
from tuner.interfaces import Executor, Host
from tuner.launch import launch_command, place
from tuner.model import Attempt, Failure, LaunchCommand, Placement, Trial
from tuner.observe import Watch
from tuner.space import Float
from tuner.spec import JobSpec

RANKS = 2
STEPS = 3
LIMIT_S = 60.0
_TURN_S = 0.05
_LATE_S = 2.0
"""A rank that has told nothing for so long after the first one leaves that to others."""
_END_LIMIT_S = 30.0
_ALIVE = (RunState.STARTING, RunState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoke:
    """What a short launch showed."""

    params: dict[str, Value]
    command: LaunchCommand
    steps: dict[int, int]
    """Rank -> steps that it told of."""
    samples: float
    metrics: dict[str, float]
    """Everything that was read. Figures of so few steps are no measurement."""
    unseen: tuple[str, ...]
    """Limits and quality figure of the job that were not told yet."""
    failure: Failure | None
    """Why it cannot be tuned like this; None where every objective was read."""
    elapsed_s: float


def try_out(executor: Executor, host: Host, spec: JobSpec, *, limit_s: float = LIMIT_S) -> Smoke:
    """Launches the default on two ranks, where the job may have them, until they have made some
    steps. Raises UserError where this computer has no room for it."""
    spec, params, placement = _fitting(host, spec)
    command = launch_command(spec, params)
    now = datetime.now(UTC)
    trial = Trial(job_id="check", number=0, params=params, reason="check", created_at=now)
    attempt = Attempt(
        job_id="check",
        trial_number=0,
        number=time.monotonic_ns(),
        placement=placement,
        created_at=now,
    )
    gang = Gang(
        launch_key=attempt.launch_key,
        command=command,
        placement=placement,
        memory_limit_gib=spec.resources.memory_limit_gib,
        files=tuple(file.path for file in spec.workload.log.files),
    )
    watch = Watch.of(spec, trial, attempt, executor.launch(gang))
    try:
        status = _follow(executor, watch, limit_s)
    finally:
        _end(executor, watch)
    while not watch.read(executor):
        pass
    return _shown(executor, watch, status, command)


def _fitting(host: Host, spec: JobSpec) -> tuple[JobSpec, dict[str, Value], Placement]:
    """On two ranks, or as the default is where two have no room."""
    problem = ""
    for tried, params in (*_of_two_ranks(spec), (spec, spec.space.default())):
        cores, gpus = host.cores(), host.gpus()
        try:
            command = launch_command(tried, params)
            placement = place(
                tried, command, free_cores=cores, all_cores=cores, free_gpus=gpus, all_gpus=gpus
            )
        except ValueError as error:
            problem = str(error)
            continue
        if placement is not None:
            return tried, params, placement
    raise UserError(f"the default has no room on this computer: {problem}")


def _of_two_ranks(spec: JobSpec) -> list[tuple[JobSpec, dict[str, Value]]]:
    """The default but for the number of ranks; a job that is started once may have no such number,
    and a constraint may forbid it."""
    found = []
    for name in ("nproc_per_node", "nnodes"):
        parameter = spec.space.params.get(name)
        if parameter is None or isinstance(parameter, Float) or RANKS not in parameter.values():
            continue
        changed = {**spec.space.params, name: replace(parameter, default=RANKS)}
        params = replace(spec.space, params=changed).default()
        if spec.space.contains(params) and launch_command(spec, params).num_processes <= RANKS:
            found.append((spec, params))
    default = spec.space.default()
    if not found and launch_command(spec, default).per_rank and "nnodes" not in default:
        workload = replace(spec.workload, nproc_per_node=RANKS)
        found = [(replace(spec, workload=workload), default)]
    return found


def _follow(executor: Executor, watch: Watch, limit_s: float) -> RunStatus:
    """Until there is enough, something is wrong, or the time is over."""
    while (status := executor.poll(watch.handle)).state in _ALIVE:
        is_caught_up = watch.read(executor)
        trouble = watch.standings.trouble(watch.spec.measuring, status, caught_up=is_caught_up)
        if trouble or is_enough(watch, status) or status.elapsed_s > limit_s:
            executor.stop(watch.handle, trouble or "cap")
        time.sleep(_TURN_S)
    return status


def is_enough(watch: Watch, status: RunStatus) -> bool:
    """Whether every rank has told of some steps, and every objective can be told."""
    ranks = watch.standings.ranks
    told = Counter(record.rank for record in watch.records)
    num_processes = launch_command(watch.spec, watch.trial.params).num_processes
    first_s = min((record.t_s for record in watch.records), default=status.now_s)
    if len(told) < num_processes and status.now_s - first_s < _LATE_S:
        return False
    stepping = [standing for standing in ranks if standing.steps]
    if any(standing.steps < STEPS or told[standing.rank] < STEPS for standing in stepping):
        return False
    reading = measure.read(watch.records)
    placement = watch.attempt.placement
    return assess.measurement_of(watch.spec, reading, status, placement, {}) is not None


def _end(executor: Executor, watch: Watch) -> None:
    """It must not run on beside whatever comes next."""
    deadline_s = time.monotonic() + _END_LIMIT_S
    while executor.poll(watch.handle).state in _ALIVE and time.monotonic() < deadline_s:
        executor.stop(watch.handle, "cancelled")
        time.sleep(_TURN_S)


def _shown(executor: Executor, watch: Watch, status: RunStatus, command: LaunchCommand) -> Smoke:
    measurement, failure = watch.result(executor, status)
    spec = watch.spec
    wished = [limit.metric for limit in spec.limits]
    wished += [spec.quality.metric] if spec.quality is not None else []
    metrics = dict(measurement.metrics) if measurement is not None else {}
    return Smoke(
        params=watch.trial.params,
        command=command,
        steps={standing.rank: standing.steps for standing in watch.standings.ranks},
        samples=sum(record.samples for record in watch.records),
        metrics=metrics,
        unseen=tuple(name for name in dict.fromkeys(wished) if name not in metrics),
        failure=failure,
        elapsed_s=status.elapsed_s,
    )
