"""What a job file says about plans: the policy, the targets, and what must not get worse."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

_CONFIG: dict[str, object] = {"extra": "forbid", "use_attribute_docstrings": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTarget:
    """A plan file from which the next start of the job takes its exact launch command."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    kind: Literal["file"] = "file"
    path: str
    """Where the plan file lies; its history is kept beside it."""

    def __post_init__(self) -> None:
        if not self.path.strip("/. "):
            raise ValueError(f"path {self.path!r} names no file")

    @property
    def place(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTarget:
    """Commands of your own that put a plan somewhere, and tell what runs there."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    kind: Literal["command"]
    path: str
    """A folder for the plans that were put there, each as `HASH.json`."""
    apply: tuple[str, ...]
    """A list of words, not read by a shell, that puts the plan of `${plan_file}` there. It may be
    run again for the same plan; exit code 0 is success."""
    observe: tuple[str, ...]
    """Prints one JSON object: `plan_hash` as the workload itself reports it, `state` (`starting`,
    `running`, `ended`, `failed`), `steps`, and `metrics` by name."""
    timeout_s: float = 10.0
    """Longest time for either."""

    def __post_init__(self) -> None:
        if not any("${plan_file}" in word for word in self.apply):
            raise ValueError("apply: one of its words must contain `${plan_file}`")
        if not self.observe or not 0 < self.timeout_s <= 10:
            raise ValueError("give `observe` a command, and `timeout_s` from above 0 to 10")

    @property
    def place(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainTarget:
    """A training run that Trimtab keeps running here: checkpoint, stop, go on with the new plan."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    kind: Literal["train"]
    path: str
    """The folder of the run: its checkpoints, its logs, what it shall run."""
    checkpoint_s: float = 300.0
    """Longest time to a checkpoint after it was asked for."""

    @property
    def place(self) -> str:
        return self.path


Target = FileTarget | CommandTarget | TrainTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A metric that a plan must not make worse, beside the limits."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    metric: str
    direction: Literal["maximize", "minimize"] = "minimize"
    """Which way is better."""
    max_loss_pct: float = 5.0
    """The upper 95 % bound of the worsening must be below this."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_loss_pct < 100:
            raise ValueError(f"max_loss_pct must be from 0 to 100, not {self.max_loss_pct}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """When a plan that is on its target counts as live."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    min_steps: int = 200
    """Steps (or requests) with the plan, at least."""
    max_s: float = 600.0
    """Longest time for that; without data by then it is rolled back."""
    max_loss_pct: float = 3.0
    """It is rolled back where the objective is surely worse than before by more than this, and
    waits for a person where that cannot be told."""
    lease_s: float = 60.0
    """The target goes back by itself when no controller has renewed the canary for so long."""
    pause_s: float = 1800.0
    """How long a person may take to decide; then it is rolled back."""

    def __post_init__(self) -> None:
        for name in ("min_steps", "max_s", "max_loss_pct", "lease_s", "pause_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")


FREEZE = re.compile(
    r"(?P<from_day>mon|tue|wed|thu|fri|sat|sun) (?P<from>[0-2]\d:[0-5]\d) to "
    r"(?P<to_day>mon|tue|wed|thu|fri|sat|sun) (?P<to>[0-2]\d:[0-5]\d)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """What happens with a plan."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    mode: Literal["off", "recommend", "next_start", "auto"] = "recommend"
    """`off`: only measure; `recommend`: make a plan and wait for `trimtab apply`; `next_start`: put
    it into the plan file, for the next start of the job; `auto`: put it on the target by itself."""
    target: Target | None = None
    min_gain_pct: float = 1.0
    """The lower 95 % bound of the gain must be above this."""
    pairs: int = 6
    """Fresh runs of winner and baseline, interleaved by coin toss, that confirm the winner."""
    report_pairs: int = 2
    """Further pairs once the winner has won. The gain that is told is theirs alone, so that luck
    that helped it to win is not told as a gain."""
    learning_changes: Literal["forbid", "allow"] = "forbid"
    """Whether a plan that changes the learning itself (global batch, precision) may be applied
    automatically, its quality figure being no worse than `quality.max_loss`."""
    guards: tuple[Guard, ...] = (
        Guard(metric="p99_latency_ms", max_loss_pct=10.0),
        Guard(metric="error_pct", max_loss_pct=0.0),
    )
    """What must not get worse, where it is measured."""
    headroom_pct: float = 10.0
    """Share of the memory limit (`resources.memory_limit_gib`, or a limit on `peak_memory_gib`)
    that has to stay free."""
    canary: Canary = field(default_factory=Canary)
    approvals: int = 0
    """How many people, other than who asked, have to approve."""
    max_per_day: int = 3
    """Applications to the target in 24 hours."""
    cooldown_minutes: float = 60.0
    """The pause after a rollback, doubled by each further one in a row."""
    max_factor: float | None = None
    """The largest factor by which one application may change a number."""
    freeze: tuple[str, ...] = ()
    """Times of the week, UTC, in which nothing is applied: `fri 16:00 to mon 08:00`."""
    evidence_hours: float = 24.0
    """How long the evidence of a plan holds."""

    def __post_init__(self) -> None:
        if self.pairs < 3:
            raise ValueError(f"pairs must be at least 3, not {self.pairs}")
        for name in ("report_pairs", "approvals", "cooldown_minutes", "headroom_pct"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        if self.max_per_day < 1 or self.evidence_hours <= 0:
            raise ValueError("max_per_day must be at least 1 and evidence_hours above 0")
        if self.max_factor is not None and self.max_factor <= 1:
            raise ValueError(f"max_factor must be above 1, not {self.max_factor}")
        self._check_target()
        for window in self.freeze:
            if FREEZE.fullmatch(window) is None:
                raise ValueError(f"freeze {window!r}: write it as `fri 16:00 to mon 08:00`")

    def _check_target(self) -> None:
        if self.mode in ("next_start", "auto") and self.target is None:
            raise ValueError(
                f"mode {self.mode!r} needs a target; add `target: {{path: plan.json}}`"
            )
        if self.mode == "next_start" and not isinstance(self.target, FileTarget):
            raise ValueError("mode 'next_start' needs a target of kind `file`; or use `auto`")


def placed(apply: Apply, folder: Path) -> Apply:
    """The policy with the relative path of its target taken from a folder."""
    target = apply.target
    if target is None:
        return apply
    path = str((folder / Path(target.path).expanduser()).resolve())
    return replace(apply, target=replace(target, path=path))
