"""The nouns of Trimtab, as frozen data: what becomes of a job file (`tuner.spec`).

    Job ──< Trial ──< Attempt          a Trial is one configuration, an Attempt one launch of it
     └────< Plan ──< Application       a Plan is worth applying, an Application is one try to

Times are aware UTC datetimes; durations are seconds from monotonic clocks.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from tuner.expression import Value
from tuner.money import Money
from tuner.spec import JobSpec

Stopped = Literal["precise", "beaten", "finished", "cap"]


class JobState(StrEnum):
    PENDING = "pending"
    SEARCHING = "searching"
    CONFIRMING = "confirming"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class Wish(StrEnum):
    """What a person wants of a job; the controller turns it into fact."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class TrialState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        return self in (TrialState.COMPLETE, TrialState.FAILED, TrialState.CANCELLED)


class AttemptState(StrEnum):
    INTENT = "intent"
    """Written before the launch; whether a gang runs is not known yet."""
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        return self not in (AttemptState.INTENT, AttemptState.RUNNING)


class FailureKind(StrEnum):
    OUT_OF_MEMORY = "out_of_memory"
    HOST_OUT_OF_MEMORY = "host_out_of_memory"
    TIMEOUT = "timeout"
    STALLED = "stalled"
    CRASH = "crash"
    DIVERGED = "diverged"
    NO_METRICS = "no_metrics"
    INFEASIBLE = "infeasible"
    INFRASTRUCTURE = "infrastructure"
    LOST = "lost"

    @property
    def is_infrastructure(self) -> bool:
        """Whether the configuration is not to blame: it is tried again and nobody is told."""
        return self in (FailureKind.INFRASTRUCTURE, FailureKind.LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt gave no measurement: a result, not an exception."""

    kind: FailureKind
    cause: str
    remedy: str
    rank: int | None = None
    log_tail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What an attempt showed. A metric that is absent is unknown, never 0."""

    metrics: dict[str, float]
    """Name (a row of `tuner.metrics`, or anything the job reports) -> value."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Nominal 95 % confidence intervals, low and high."""
    window_s: float
    """Length of the steady window, pauses (evaluation, checkpoints) left out."""
    warmup_s: float
    """What was cut off before it, from the first step."""
    steps: int
    samples: float
    is_stable: bool = True
    is_disturbed: bool = False
    """Not stable for a cause outside the job (another load, a throttled GPU): measured again."""
    notes: tuple[str, ...] = ()
    """What a reader should know: unstable because, unusual because."""
    stopped: Stopped = "finished"
    """Why measuring ended: interval tight enough, beaten beyond doubt, the job ended, time cap."""
    sources: dict[str, str] = field(default_factory=dict)
    """Metric -> the lines it was read from, as in a `MetricPoint`; streams apart by a blank."""
    fingerprint: dict[str, str] = field(default_factory=dict)
    """What it was measured on: machine, processor, GPUs, driver, torch, code and data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What one attempt, or a whole search, used. None is unknown."""

    wall_s: float = 0.0
    core_s: float = 0.0
    gpu_s: float = 0.0
    usd: Money | None = None
    energy_j: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What someone wants tuned, and where it stands."""

    id: str
    spec: JobSpec
    state: JobState = JobState.PENDING
    wish: Wish = Wish.RUN
    message: str = ""
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    search_ended: str = ""
    """Why no more configurations are tried; empty while they may be."""

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One configuration tried. Number 0 is the baseline, the default of the space."""

    job_id: str
    number: int
    params: dict[str, Value]
    state: TrialState = TrialState.WAITING
    reason: str
    """Why it was suggested."""
    predicted: dict[str, float] = field(default_factory=dict)
    expected_gain: float | None = None
    """As in its `Suggestion`."""
    measurement: Measurement | None = None
    failure: Failure | None = None
    created_at: datetime
    ended_at: datetime | None = None

    @property
    def is_baseline(self) -> bool:
        return self.number == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The cores and GPUs of each node of a gang, by number."""

    cores: tuple[tuple[int, ...], ...]
    gpus: tuple[tuple[int, ...], ...]
    gpu_names: dict[int, str] = field(default_factory=dict)
    """GPU -> its name as the driver gives it, which is what its price goes by."""
    node_types: tuple[str, ...] = ()
    """The type of each node, where that is a parameter (`tuner.nodes`): what its price goes by."""


def placement_of(data: Mapping[str, Any]) -> Placement:
    """Back from JSON; what prices go by may be missing. Raises KeyError, ValueError, TypeError."""
    return Placement(
        cores=tuple(tuple(node) for node in data["cores"]),
        gpus=tuple(tuple(node) for node in data["gpus"]),
        gpu_names={int(gpu): str(name) for gpu, name in data.get("gpu_names", {}).items()},
        node_types=tuple(data.get("node_types", ())),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchCommand:
    """The exact command of a configuration: a list of words, never read by a shell."""

    argv: tuple[str, ...]
    env: dict[str, str]
    """Added to the environment of every process."""
    working_dir: str
    nnodes: int
    nproc_per_node: int
    per_rank: bool
    """One process per rank with RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, GROUP_RANK,
    MASTER_ADDR and MASTER_PORT set; otherwise one process in all, on the cores of all nodes."""

    @property
    def num_processes(self) -> int:
        return self.nnodes * self.nproc_per_node if self.per_rank else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One launch of a trial."""

    job_id: str
    trial_number: int
    number: int
    """Counts from 0 within the trial."""
    purpose: Literal["measure", "confirm"] = "measure"
    pair: int | None = None
    """Which confirming pair it belongs to."""
    state: AttemptState = AttemptState.INTENT
    placement: Placement
    handle: str | None = None
    created_at: datetime
    ended_at: datetime | None = None
    measurement: Measurement | None = None
    failure: Failure | None = None
    spend: Spend = field(default_factory=Spend)
    fingerprint: dict[str, str] = field(default_factory=dict)
    """What it was launched on; see `tuner.fingerprint`."""

    @property
    def launch_key(self) -> str:
        """Names the launch for ever: the same key never runs twice."""
        return f"{self.job_id}-{self.trial_number}-{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPoint:
    """A value at a moment of an attempt, `t_s` seconds after its first record."""

    job_id: str
    trial_number: int
    attempt_number: int
    name: str
    t_s: float
    value: float
    source: str = ""
    """The lines it was read from: `rank-0.log:1234-88213`, stream and the bytes where the first and
    the last of them end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Candidate and baseline, run one after the other in coin-tossed order."""

    number: int
    candidate_first: bool
    baseline: dict[str, float]
    candidate: dict[str, float]
    gain_pct: float
    decides: bool = True
    """False for the last pairs, from which the gain is told once the winner has won."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The configuration worth applying (or the finding that none is), with its evidence."""

    id: str
    job_id: str
    verdict: Literal["better", "within_noise", "not_better", "limit_broken", "unproven"]
    """`not_better`: the baseline itself; `unproven`: it gave no measurement to compare with."""
    trial_number: int
    params: dict[str, Value]
    baseline_params: dict[str, Value]
    command: LaunchCommand
    placement: Placement
    gain_pct: float | None
    """Gain of the objectives over the baseline: mean of the last pairs, which decided nothing;
    of the deciding ones where there are no others."""
    gain_low_pct: float | None
    """One-sided 95 % lower bound of the deciding pairs; the plan is better only above the policy's
    minimum."""
    gain_high_pct: float | None
    """One-sided 95 % upper bound of the deciding pairs."""
    pairs: tuple[Pair, ...]
    baseline_metrics: dict[str, float]
    """Means over the confirming pairs."""
    metrics: dict[str, float]
    learning_changes: tuple[str, ...]
    """Parameters that differ from the baseline and change what the model learns."""
    quality_ok: bool | None
    """Whether the quality figure at equal samples is good enough; None where none was measured."""
    search_spend: Spend
    payback_samples: float | None
    """Samples after which the money (or core time) saved has paid for the search; None where it
    never does, or nobody knows."""
    payback_s: float | None
    """The same as running time at the plan's rate."""
    explanation: tuple[str, ...]
    """Plain sentences, the answer first."""
    created_at: datetime
    fingerprint: dict[str, str] = field(default_factory=dict)
    """What its evidence was measured on; see `tuner.fingerprint`."""

    @property
    def hash(self) -> str:
        """SHA-256 over what would run: command and placement."""
        return plan_hash(self.command, self.placement)


def plan_hash(command: LaunchCommand, placement: Placement) -> str:
    """SHA-256 over what would run, the same on every machine."""
    content = {
        "argv": command.argv,
        "env": command.env,
        "working_dir": command.working_dir,
        "nnodes": command.nnodes,
        "nproc_per_node": command.nproc_per_node,
        "per_rank": command.per_rank,
        "cores": placement.cores,
        "gpus": placement.gpus,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Something decided or done, and by whom."""

    at: datetime
    actor: str
    action: str
    """Noun and verb: `job.create`, `trial.finish`, `plan.apply`."""
    job_id: str | None = None
    subject: str = ""
    detail: str = ""
    evidence: str = ""
    """What it rests on: a plan, a figure, what a workload reported."""
    before_hash: str = ""
    """The plan that was on the target; empty where there was none or it is about none."""
    after_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who controls. Every fact is written with the epoch; an older epoch is refused."""

    holder: str
    epoch: int
    renewed_at: datetime
    ttl_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A configuration that a searcher wants tried, and why."""

    params: dict[str, Value]
    reason: str
    predicted: dict[str, float] = field(default_factory=dict)
    expected_gain: float | None = None
    """Log gain over the best so far that is expected of it, chances of failing counted; None where
    the method does not know."""
