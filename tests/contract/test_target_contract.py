"""Every target: shows what is on it, takes a plan whole, and gives earlier ones back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.plans import a_plan
from tuner.errors import TargetError
from tuner.interfaces import Target
from tuner.targets import TARGETS


@pytest.fixture(params=sorted(TARGETS))
def open_target(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Target]:
    """Opens the same place anew each time, as after a restart."""
    return lambda: TARGETS[request.param](tmp_path / "plans" / "job.json")


def test_nothing_is_there_at_first(open_target: Callable[[], Target]) -> None:
    assert open_target().current() is None


def test_applied_plan_is_seen_and_applying_it_again_changes_nothing(
    open_target: Callable[[], Target],
) -> None:
    plan = a_plan()
    open_target().apply(plan)
    open_target().apply(plan)
    assert open_target().current() == plan.hash


def test_earlier_plans_come_back(open_target: Callable[[], Target]) -> None:
    first, second = a_plan(), a_plan(batch=2048)
    assert first.hash != second.hash
    open_target().apply(first)
    open_target().apply(second)
    open_target().restore(first.hash)
    assert open_target().current() == first.hash
    open_target().restore(second.hash)
    assert open_target().current() == second.hash
    open_target().restore(None)
    assert open_target().current() is None


def test_a_plan_that_was_never_there_cannot_come_back(open_target: Callable[[], Target]) -> None:
    open_target().apply(a_plan())
    with pytest.raises(TargetError, match="keeps no plan"):
        open_target().restore(replace(a_plan(), command=a_plan(batch=512).command).hash)
    assert open_target().current() == a_plan().hash
