"""What a job file says, field by field: the specification of a job.

Plain frozen dataclasses; `tuner.jobfile` reads YAML into them and exports their JSON Schema, the
docstring under a field being its description there.
"""

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar, Literal

from tuner import expression
from tuner.description import Description
from tuner.expression import Value
from tuner.money import Money
from tuner.prices import PriceBook, Purchase
from tuner.space import Space
from tuner.spec_apply import Apply

_CONFIG: dict[str, object] = {"extra": "forbid", "use_attribute_docstrings": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """A file that the job, or a tool beside it, writes into the folder `$TRIMTAB_OUTPUT_DIR`."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    path: str
    """Its name within that folder, which is new and empty for every launch."""
    format: str
    """`nvidia_smi`, `dcgm` or `sacct` for what was used; or a log format, which then counts the
    steps in place of what the ranks print."""
    columns: tuple[str, ...] = ()
    """The names of its columns, for a table without a header line."""

    def __post_init__(self) -> None:
        is_name = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.path)
        if is_name is None or self.path.endswith(".marks"):
            raise ValueError(
                f"path {self.path!r}: use a plain file name of letters, digits, `.`, `_`, `-` that "
                "does not end in `.marks`"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSource:
    """How throughput and quality are read from what the job prints."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    format: str = "report"
    """`report` (lines of tuner.report), `auto`, or the name of a log format that Trimtab knows."""
    patterns: tuple[str, ...] = ()
    """Regular expressions whose named groups are metrics, such as
    `step (?P<step>\\d+) .* (?P<samples_per_s>[\\d.]+)/s`."""
    samples_per_step: str | None = None
    """An expression over the parameters, for logs that count steps only: `global_batch_size`."""
    files: tuple[LogFile, ...] = ()
    """Files to read beside what the job prints."""

    def __post_init__(self) -> None:
        names = [file.path for file in self.files]
        if len(names) > 16 or len(set(names)) < len(names):
            raise ValueError("files: at most 16, each with a name of its own")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is started: a workload that comes with Trimtab, or any command."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    name: str | None = None
    """A workload of the package `workloads`, e.g. `dlrm`; a parameter becomes `--name=value`."""
    command: tuple[str, ...] | None = None
    """Any command as a list of words; `${parameter}` is replaced, and `${python}` by the Python
    that Trimtab runs with. A word whose parameter does not apply is left out. No shell reads it."""
    args: dict[str, Value] = field(default_factory=dict)
    """Fixed options of a named workload, added as `--option=value`."""
    env: dict[str, str] = field(default_factory=dict)
    """Environment variables; `${parameter}` is replaced."""
    working_dir: str | None = None
    """Where the command runs; the folder of the job file where it is not given."""
    launch: Literal["per_rank", "once"] | None = None
    """`per_rank`: one process per rank with RANK, WORLD_SIZE, MASTER_ADDR set, as torchrun does;
    `once`: a single process, which may be a launcher itself. Named workloads are `per_rank`,
    commands `once`, unless this says otherwise."""
    nproc_per_node: int = 1
    """Ranks on each node, where the space has no parameter of that name."""
    data: tuple[str, ...] = ()
    """Files and folders that the job reads, from `working_dir`, or `package://NAME/PATH` within an
    installed Python package. Figures taken with other contents are not compared."""
    log: LogSource = field(default_factory=LogSource)

    def __post_init__(self) -> None:
        if (self.name is None) == (self.command is None):
            raise ValueError("give exactly one of `name` (a workload of Trimtab) and `command`")
        if self.command is not None and not self.command:
            raise ValueError("`command` needs at least one word")
        if self.command is not None and self.args:
            raise ValueError("`args` goes with `name`; write options into `command` itself")
        if self.nproc_per_node < 1:
            raise ValueError(f"nproc_per_node must be at least 1, not {self.nproc_per_node}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A metric to make large or small. Several are weighed by their logarithms."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    metric: str
    """A metric of `tuner.metrics` or any value that the job reports."""
    direction: Literal["maximize", "minimize"]
    weight: float = 1.0
    """How much it counts beside the other objectives."""

    def __post_init__(self) -> None:
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise ValueError(f"weight must be above 0, not {self.weight}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A bound that a configuration must keep to be worth anything (memory, a latency SLO)."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    metric: str
    max: float | None = None
    min: float | None = None

    def __post_init__(self) -> None:
        if self.max is None and self.min is None:
            raise ValueError("a limit needs `max` or `min`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The figure that tells whether the model still learns as well, at equal samples."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    metric: str = "auc"
    direction: Literal["maximize", "minimize"] = "maximize"
    max_loss: float = 0.005
    """How much worse than the baseline it may be, in its own unit; beyond that a configuration
    counts as infeasible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the search may use; it stops at whichever comes first. Confirming the winner comes on
    top of `trials`, not of the others: they are hard caps, which keep a share for it and end what
    runs in time."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    trials: int = 20
    """Different configurations tried, the baseline included."""
    minutes: float | None = None
    """Minutes in which trials ran; neither pauses nor a stopped controller use them."""
    core_hours: float | None = None
    """Core-hours that trials hold."""
    gpu_hours: float | None = None
    """GPU-hours that trials hold."""
    usd: Money | None = None
    """Dollars, by the price book."""

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ValueError(f"trials must be at least 1, not {self.trials}")
        if self.trials > 1_000_000:
            raise ValueError(f"trials must be at most 1000000, not {self.trials}")
        for name, cap in self.caps().items():
            if not (cap.is_finite() and cap > 0):
                raise ValueError(f"{name} must be a number above 0, not {cap}")

    def caps(self) -> dict[str, Decimal]:
        """The hard caps that are set, by name."""
        caps = {
            "minutes": self.minutes,
            "core_hours": self.core_hours,
            "gpu_hours": self.gpu_hours,
            "usd": self.usd,
        }
        return {name: Decimal(str(cap)) for name, cap in caps.items() if cap is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How configurations are chosen."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    method: Literal["auto", "bayesian", "tpe", "genetic", "swarm", "random", "grid"] = "auto"
    """`bayesian` is a Gaussian process, `tpe` a Parzen estimator, `genetic` NSGA-II, `swarm` a
    particle swarm; `auto` chooses by the size of the space."""
    seed: int = 0
    use_history: bool = True
    """Whether finished jobs of the same workload here guide the Bayesian search, as far as the new
    trials bear them out."""
    parallel_trials: int = 1
    """Trials at once, where the machine has room for them side by side."""
    stop_gain_pct: float = 0.1
    """The search ends once another trial is expected to gain less than this over the best so far;
    with 0 only its budget ends it. Methods without a model do not know."""
    horizon_hours: float | None = None
    """Hours for which the job is going to run with the plan. Trials then have to pay for themselves
    within them, which takes the place of `stop_gain_pct`."""

    def __post_init__(self) -> None:
        if self.parallel_trials < 1:
            raise ValueError(f"parallel_trials must be at least 1, not {self.parallel_trials}")
        if not 0 <= self.stop_gain_pct < 100:
            raise ValueError(f"stop_gain_pct must be from 0 to 100, not {self.stop_gain_pct}")
        if self.horizon_hours is not None and not 0 < self.horizon_hours < math.inf:
            raise ValueError(f"horizon_hours must be above 0, not {self.horizon_hours}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Where trials run and what each node of a gang gets. On this computer a node is a group of
    ranks pinned to its own cores."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    executor: Literal["local"] = "local"
    cores_per_node: int | None = None
    """Cores of a node; the computer's cores divided by the number of nodes if it is not given."""
    gpus_per_node: int | None = None
    """GPUs of a node; as many as it has ranks where there are GPUs, else none."""
    memory_limit_gib: float | None = None
    """Host memory that a whole gang may use; it is ended as out of memory beyond it."""
    lease_s: float = 300.0
    """A gang ends itself when no controller has looked after it for so long."""
    purchase: Purchase = "on_demand"
    """Which prices of the price book count."""
    node_type: str | None = None
    """Which of the price book's node types a node is; without it cores and GPUs have prices of
    their own."""

    def __post_init__(self) -> None:
        if self.cores_per_node is not None and self.cores_per_node < 1:
            raise ValueError(f"cores_per_node must be at least 1, not {self.cores_per_node}")
        if self.gpus_per_node is not None and self.gpus_per_node < 0:
            raise ValueError(f"gpus_per_node cannot be {self.gpus_per_node}")
        if self.memory_limit_gib is not None and not self.memory_limit_gib > 0:
            raise ValueError(f"memory_limit_gib must be above 0, not {self.memory_limit_gib}")
        if not self.lease_s >= 5:
            raise ValueError(f"lease_s must be at least 5, not {self.lease_s}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """When a trial has been measured well enough, and when it is given up."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    precision_pct: float = 3.0
    """While searching, a trial stops once its interval is within this many per cent of its mean."""
    confirm_precision_pct: float = 1.5
    """The same while confirming the winner."""
    min_window_s: float = 2.0
    """Shortest steady window to believe."""
    max_window_s: float = 60.0
    """Longest steady window; a trial ends there, however wide its interval still is."""
    max_trial_s: float = 600.0
    """Longest time for one trial, start-up included; what was measured by then counts."""
    startup_s: float = 300.0
    """Longest time to the first step."""
    stall_s: float = 60.0
    """A trial without a step for so long (or 10 times its slowest step) has stalled."""
    pause_s: float = 300.0
    """The same where it has told of a pause (`report.pause()`: evaluation, a checkpoint)."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A job file: what to tune, for what, within which limits, and what to do with the result."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    name: str
    """A short name: letters, digits, `.`, `_`, `-`."""
    workload: Workload
    space: Space
    objectives: tuple[Objective, ...] = (Objective(metric="samples_per_s", direction="maximize"),)
    limits: tuple[Limit, ...] = ()
    quality: Quality | None = None
    budget: Budget = field(default_factory=Budget)
    search: Search = field(default_factory=Search)
    resources: Resources = field(default_factory=Resources)
    prices: PriceBook | None = None
    """Without a price book costs are unknown, never 0."""
    estimate: Description | None = None
    """The work, for predictions without a trial (`trimtab estimate`)."""
    measuring: Measuring = field(default_factory=Measuring)
    apply: Apply = field(default_factory=Apply)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.name):
            raise ValueError(f"name {self.name!r}: use letters, digits, `.`, `_`, `-`, at most 64")
        if not self.objectives:
            raise ValueError("at least one objective is needed")
        self._check_default()
        self._check_log()
        self._check_node_type()

    def _check_default(self) -> None:
        problem = self.space.problem(self.space.default())
        if problem is not None:
            raise ValueError(f"the default configuration {self.space.default()} {problem}")

    def _check_log(self) -> None:
        counted = self.workload.log.samples_per_step
        unknown = expression.names(counted) - set(self.space.params) if counted else set()
        if unknown:
            raise ValueError(f"workload.log.samples_per_step {counted!r} names {sorted(unknown)}")

    def missing_price(self) -> str | None:
        """Why costs that this job is about cannot be known on any computer; None where they may
        be. A new job is refused for it, and one that a store holds can still be read."""
        metrics = [o.metric for o in self.objectives] + [limit.metric for limit in self.limits]
        wants_money = [m for m in metrics if m.startswith("usd_")]
        if not wants_money and self.budget.usd is None:
            return None
        needs = "a budget, objective or limit in money needs"
        if self.prices is None:
            return f"{needs} `prices`"
        unknown = self._unknown_price(self.prices)
        return None if unknown is None else f"{needs} {unknown}"

    def _unknown_price(self, prices: PriceBook) -> str | None:
        """Which price is missing whatever the computer is; None where none surely is."""
        purchase, name = self.resources.purchase, self.resources.node_type
        if "node_type" in self.space.params:  # each of its types may have a price
            return None
        if name is not None:
            known = prices.node_types[name].per_hour.of(purchase) is not None
            return None if known else f"prices.node_types.{name}.per_hour.{purchase}"
        if prices.per_core_hour.of(purchase) is None:
            return f"prices.per_core_hour.{purchase}; write 0 if another price includes it"
        if not self.resources.gpus_per_node:
            return None
        rates = prices.per_gpu_hour.values()
        known = any(rate.of(purchase) is not None for rate in rates)
        return None if known else f"prices.per_gpu_hour.any.{purchase}; write 0 if included"

    def _check_node_type(self) -> None:
        name = self.resources.node_type
        if name is None:
            return
        types = self.prices.node_types if self.prices is not None else {}
        if name not in types:
            raise ValueError(
                f"resources.node_type {name!r} is not in the price book; use one of "
                f"{', '.join(types) or '(none: add prices.node_types)'}"
            )
