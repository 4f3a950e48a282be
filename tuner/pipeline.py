"""Stages of one pipeline, tuned one after the other from a shared budget. Pure.

Each stage is an ordinary job. What it may use is its share of what is left when it begins, so what
one stage did not need goes on to the next. A stage that makes data for the next is run once with
its plan, and `${stages.NAME}` in a later stage's job is the folder of what it made.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import ClassVar

from tuner.model import LaunchCommand, Plan, Spend
from tuner.money import Money
from tuner.spec import Budget

_CONFIG: dict[str, object] = {"extra": "forbid", "use_attribute_docstrings": True}
_MADE = re.compile(r"\$\{stages\.(\w+)\}")
OUTPUT = "${output}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedBudget:
    """Hard caps of all stages together, as those of a job; trials are each stage's own."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    minutes: float | None = None
    core_hours: float | None = None
    gpu_hours: float | None = None
    usd: Money | None = None

    def __post_init__(self) -> None:
        self.caps()

    def caps(self) -> dict[str, Decimal]:
        """The caps that are set, by name. Raises ValueError for what is no cap."""
        return Budget(
            minutes=self.minutes,
            core_hours=self.core_hours,
            gpu_hours=self.gpu_hours,
            usd=self.usd,
        ).caps()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A job of the pipeline, as it will be once the stages before it are known."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    name: str
    """Letters, digits and `_`."""
    job: str | dict[str, object]
    """A job file, or what one would say without a name; `${stages.NAME}` is the folder that an
    earlier stage made."""
    share: float = 1.0
    """Its part of the budget that is left when it begins, against those of the stages after it."""
    samples_per_unit: float = 1.0
    """Samples (requests) of this stage for each unit that goes through the pipeline."""
    produce: tuple[str, ...] = ()
    """Words added to the command of its plan, to make once what later stages need in `${output}`;
    the command has to end by itself then."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,31}", self.name):
            raise ValueError(f"name {self.name!r}: use letters, digits and `_`, at most 32")
        for name in ("share", "samples_per_unit"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be above 0, not {value}")
        if self.produce and not any(OUTPUT in word for word in self.produce):
            raise ValueError(f"produce {list(self.produce)} does not say where: use {OUTPUT}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """What a pipeline file says."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    name: str
    """What the names of its jobs begin with: letters, digits, `.`, `_`, `-`."""
    stages: tuple[Stage, ...]
    """In the order in which they are tuned."""
    budget: SharedBudget = field(default_factory=SharedBudget)
    folder: str = "made"
    """Where stages put what they make."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", self.name):
            raise ValueError(f"name {self.name!r}: use letters, digits, `.`, `_`, `-`, at most 31")
        if not self.stages:
            raise ValueError("stages: at least one is needed")
        makers: list[str] = []
        for stage in self.stages:
            if stage.name in [s.name for s in self.stages if s is not stage]:
                raise ValueError(f"stages: {stage.name!r} is there twice")
            missing = [name for name in needs(stage.job) if name not in makers]
            if missing:
                raise ValueError(
                    f"stage {stage.name!r} needs what {missing[0]!r} makes; no earlier stage of "
                    "that name has `produce`"
                )
            makers += [stage.name] if stage.produce else []

    def job_name(self, stage: Stage) -> str:
        return f"{self.name}-{stage.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """What a stage came to."""

    stage: Stage
    job_id: str
    plan: Plan
    goal: tuple[str, ...]
    """The metrics of its objectives."""
    spend: Spend
    """What tuning took, and making data with the plan."""
    made: str = ""
    """The folder of what it made; empty where it made nothing."""

    @property
    def is_proven(self) -> bool:
        return self.plan.verdict == "better"


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """All stages together, for one unit of the pipeline. Unknown is None, never 0."""

    baseline_s: float | None
    """Seconds per million units with every stage as it was."""
    plan_s: float | None
    gain_pct: float | None
    """Of units per second, as one stage after the other; the stages' confirmed gains only."""
    gain_low_pct: float | None
    """With every gain at its lower 95 % bound; of n stages all hold with at least 1 - 0.05 n."""
    baseline_usd: float | None
    """Dollars per million units."""
    plan_usd: float | None
    spend: Spend


def budget_of(
    pipeline: Pipeline, number: int, spent: Sequence[Spend], own: Budget
) -> Budget | None:
    """What stage `number` may use: its share of what the stages before have left, and no more
    than its own job allows. None where a cap is used up."""
    share = pipeline.stages[number].share / sum(s.share for s in pipeline.stages[number:])
    used = total(spent)
    amounts = {
        "minutes": Decimal(str(used.wall_s)) / 60,
        "core_hours": Decimal(str(used.core_s)) / 3600,
        "gpu_hours": Decimal(str(used.gpu_s)) / 3600,
        "usd": used.usd if used.usd is not None else Decimal("Infinity"),
    }
    caps = own.caps()
    for name, cap in pipeline.budget.caps().items():
        left = (cap - amounts[name]) * Decimal(str(share))
        if left <= 0:
            return None
        caps[name] = min(left, caps.get(name, left))
    return replace(
        own,
        minutes=_number(caps.get("minutes")),
        core_hours=_number(caps.get("core_hours")),
        gpu_hours=_number(caps.get("gpu_hours")),
        usd=caps.get("usd"),
    )


def _number(cap: Decimal | None) -> float | None:
    return None if cap is None else round(float(cap), 6)


def needs(content: object) -> list[str]:
    """The stages whose folders a job names."""
    if isinstance(content, dict):
        return [name for value in content.values() for name in needs(value)]
    if isinstance(content, list):
        return [name for value in content for name in needs(value)]
    return _MADE.findall(content) if isinstance(content, str) else []


def filled(content: object, made: Mapping[str, str]) -> object:
    """A job with the folders that earlier stages made in the place of their names."""
    if isinstance(content, dict):
        return {key: filled(value, made) for key, value in content.items()}
    if isinstance(content, list):
        return [filled(value, made) for value in content]
    if not isinstance(content, str):
        return content
    return _MADE.sub(lambda found: made[found[1]], content)


def producing(stage: Stage, command: LaunchCommand, output: str) -> LaunchCommand:
    """The command of a plan, so that it makes what later stages need in a folder."""
    words = (word.replace(OUTPUT, output) for word in stage.produce)
    return replace(command, argv=(*command.argv, *words))


def joint(results: Sequence[StageResult]) -> Joint:
    """What the stages come to together. A stage without a proven plan stays as it was."""
    baseline_s = _sum([_seconds(r, before=True) for r in results])
    plan_s = _sum([_improved_s(r, r.plan.gain_pct) for r in results])
    low_s = _sum([_lowest_s(r) for r in results])
    return Joint(
        baseline_s=baseline_s,
        plan_s=plan_s,
        gain_pct=_gain_pct(baseline_s, plan_s),
        gain_low_pct=_gain_pct(baseline_s, low_s),
        baseline_usd=_sum([_usd(r, before=True) for r in results]),
        plan_usd=_sum([_usd(r, before=not r.is_proven) for r in results]),
        spend=total([r.spend for r in results]),
    )


def _metrics(result: StageResult, *, before: bool) -> Mapping[str, float]:
    return result.plan.baseline_metrics if before else result.plan.metrics


def _seconds(result: StageResult, *, before: bool) -> float | None:
    """Seconds of this stage per million units."""
    metrics = _metrics(result, before=before)
    rate = metrics.get("samples_per_s") or metrics.get("requests_per_s")
    return 1e6 * result.stage.samples_per_unit / rate if rate else None


def _improved_s(result: StageResult, gain_pct: float | None) -> float | None:
    """As `_seconds`, better by a proven gain where that is one of the rate."""
    before_s = _seconds(result, before=True)
    if before_s is None or not result.is_proven:
        return before_s
    if result.goal != ("samples_per_s",) or gain_pct is None:
        return _seconds(result, before=False)
    return before_s / (1 + gain_pct / 100)


def _lowest_s(result: StageResult) -> float | None:
    """None where the bound of a gain is not one of the rate."""
    if result.is_proven and result.goal != ("samples_per_s",):
        return None
    return _improved_s(result, result.plan.gain_low_pct)


def _usd(result: StageResult, *, before: bool) -> float | None:
    metrics = _metrics(result, before=before)
    each = metrics.get("usd_per_million_samples", metrics.get("usd_per_million_requests"))
    return each * result.stage.samples_per_unit if each is not None else None


def _sum(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _gain_pct(before_s: float | None, after_s: float | None) -> float | None:
    return 100 * (before_s / after_s - 1) if before_s and after_s else None


def total(spends: Sequence[Spend]) -> Spend:
    """Several together; money is unknown where a part is."""
    known = [s.usd for s in spends if s.usd is not None]
    return Spend(
        wall_s=sum(s.wall_s for s in spends),
        core_s=sum(s.core_s for s in spends),
        gpu_s=sum(s.gpu_s for s in spends),
        usd=sum(known, Decimal(0)) if len(known) == len(spends) else None,
    )
