"""What a job has spent so far: by launch and purpose, live, and with its unknown parts named."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.unit.builders import NOON, attempt, failure, job
from tuner.ledger import ledger_of
from tuner.model import Attempt, AttemptState, FailureKind, Spend

PRICES = {"as_of": "2026-11-01", "per_core_hour": {"on_demand": 3.6}}


def spent(number: int, usd: str | None, **changes: Any) -> Attempt:
    money = None if usd is None else Decimal(usd)
    return attempt(number, spend=Spend(wall_s=10, core_s=10, usd=money, energy_j=36), **changes)


def test_every_launch_has_its_purpose_and_sums_are_exact() -> None:
    attempts = [
        spent(0, "0.1"),
        spent(1, "0.2", failure=failure(FailureKind.LOST)),
        spent(2, "0.3", failure=failure(FailureKind.CRASH)),
        spent(2, "0.7", purpose="confirm", pair=0),
    ]
    found = ledger_of(job(prices=PRICES, budget={"usd": 5}), attempts, NOON)
    assert [line.purpose for line in found.lines] == ["measuring", "lost", "failed", "confirming"]
    assert {t.purpose: t.spend.usd for t in found.totals} == {
        "measuring": Decimal("0.1"),
        "confirming": Decimal("0.7"),
        "failed": Decimal("0.3"),
        "lost": Decimal("0.2"),
    }
    assert found.spend == found.known
    assert found.spend.usd == Decimal("1.3"), "floats would say 1.2999999999999998"
    assert found.spend.energy_j == 144
    assert found.unknown == ()
    assert (found.budget_usd, found.prices_as_of) == (Decimal(5), "2026-11-01")


def test_what_runs_counts_until_now() -> None:
    live = attempt(0, state=AttemptState.RUNNING, handle="h")
    found = ledger_of(job(prices=PRICES), [live], NOON + timedelta(seconds=25))
    assert found.lines[0].is_running
    assert (found.spend.wall_s, found.spend.usd) == (25, Decimal("0.025"))
    assert found.unknown == ("energy of all launches: nothing measured it",)


def test_unknown_parts_are_named_and_are_not_0() -> None:
    attempts = [spent(0, "0.1"), spent(1, None)]
    found = ledger_of(job(prices=PRICES), attempts, NOON)
    assert found.spend.usd is None
    assert found.known.usd == Decimal("0.1")
    (line,) = found.unknown
    assert line.startswith("money of 1 launch (1.0): a price of what they held is missing")
    without = ledger_of(job(), [replace(a, spend=Spend(wall_s=1)) for a in attempts], NOON)
    assert without.unknown[0] == "money: the job has no price book"
    assert without.known.usd is None
