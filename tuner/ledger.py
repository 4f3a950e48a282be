"""The running ledger: what a job has spent, launch by launch. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tuner import cost
from tuner.model import Attempt, FailureKind, Job, Spend
from tuner.money import Money
from tuner.spec import JobSpec

Purpose = Literal["measuring", "confirming", "failed", "lost"]
PURPOSES: tuple[Purpose, ...] = ("measuring", "confirming", "failed", "lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One launch and what it used; of what still runs, until now."""

    trial_number: int
    attempt_number: int
    purpose: Purpose
    """What it was for, or that it came to nothing: failed by itself, lost by the infrastructure."""
    is_running: bool
    spend: Spend


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTotal:
    """The sum over one purpose."""

    purpose: Purpose
    launches: int
    spend: Spend


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What a job has spent so far. Unknown is null, never 0."""

    job_id: str
    at: datetime
    lines: tuple[LedgerLine, ...]
    totals: tuple[LedgerTotal, ...]
    spend: Spend
    """All launches together; money or energy is null where that of any launch is unknown."""
    known: Spend
    """The same, of money and energy the known parts only."""
    unknown: tuple[str, ...]
    """Which parts are unknown, and why."""
    budget_usd: Money | None
    prices_as_of: str | None


def ledger_of(job: Job, attempts: Sequence[Attempt], now: datetime) -> Ledger:
    """The ledger of a job from what the store holds of it."""
    ran = [cost.up_to_now(job.spec, attempt, now) for attempt in attempts]
    return Ledger(
        job_id=job.id,
        at=now,
        lines=tuple(_line(attempt) for attempt in ran),
        totals=tuple(_totals(ran)),
        spend=cost.total(ran),
        known=cost.known(ran),
        unknown=tuple(_unknown(job.spec, ran)),
        budget_usd=job.spec.budget.usd,
        prices_as_of=job.spec.prices.as_of if job.spec.prices is not None else None,
    )


def _line(attempt: Attempt) -> LedgerLine:
    return LedgerLine(
        trial_number=attempt.trial_number,
        attempt_number=attempt.number,
        purpose=_purpose(attempt),
        is_running=not attempt.state.is_finished,
        spend=attempt.spend,
    )


def _purpose(attempt: Attempt) -> Purpose:
    if attempt.failure is not None:
        return "lost" if attempt.failure.kind is FailureKind.LOST else "failed"
    return "measuring" if attempt.purpose == "measure" else "confirming"


def _totals(attempts: Sequence[Attempt]) -> list[LedgerTotal]:
    found = {p: [a for a in attempts if _purpose(a) == p] for p in PURPOSES}
    return [
        LedgerTotal(purpose=purpose, launches=len(mine), spend=cost.total(mine))
        for purpose, mine in found.items()
        if mine
    ]


def _unknown(spec: JobSpec, attempts: Sequence[Attempt]) -> list[str]:
    ran = [a for a in attempts if a.spend.wall_s > 0]
    money = [a for a in ran if a.spend.usd is None]
    energy = [a for a in ran if a.spend.energy_j is None]
    lines = []
    if spec.prices is None and money:
        lines.append("money: the job has no price book")
    elif money:
        why = "a price of what they held is missing, or their energy was not measured"
        lines.append(f"money of {_named(money, ran)}: {why}")
    if energy:
        lines.append(f"energy of {_named(energy, ran)}: nothing measured it")
    return lines


def _named(some: Sequence[Attempt], everything: Sequence[Attempt]) -> str:
    if len(some) == len(everything):
        return "all launches"
    names = [f"{a.trial_number}.{a.number}" for a in some]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    noun = "launch" if len(some) == 1 else "launches"
    return f"{len(some)} {noun} ({', '.join(names[:8])}{more})"
