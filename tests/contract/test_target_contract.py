"""Every target: shows what is on it, takes a plan whole, and gives earlier ones back."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.builders import spec
from tests.unit.plans import a_plan
from tuner.errors import TargetError
from tuner.interfaces import Target
from tuner.targets import open_target

BASELINE = a_plan(batch=256)

HOOK = """
import json, sys
from pathlib import Path
there = Path(sys.argv[1])
if len(sys.argv) > 2:
    there.write_text(json.loads(Path(sys.argv[2]).read_text())["hash"])
else:
    found = there.read_text() if there.exists() else None
    print(json.dumps({"state": "running", "plan_hash": found, "steps": 1}))
"""


def described(kind: str, folder: Path) -> dict[str, Any]:
    """How a job file names this target."""
    if kind == "file":
        return {"kind": "file", "path": str(folder / "plans" / "job.json")}
    hook = [sys.executable, "-c", HOOK, str(folder / "there")]
    return {
        "kind": "command",
        "path": str(folder / "plans"),
        "apply": [*hook, "${plan_file}"],
        "observe": hook,
    }


@pytest.fixture(params=["file", "command"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Target]:
    """Opens the same place anew each time, as after a restart."""
    target = described(request.param, tmp_path)
    job = spec(apply={"mode": "recommend", "target": target})
    return lambda: open_target(job)


def test_nothing_is_there_at_first(opened: Callable[[], Target]) -> None:
    assert opened().current() is None


def test_applied_plan_is_seen_and_applying_it_again_changes_nothing(
    opened: Callable[[], Target],
) -> None:
    plan = a_plan()
    opened().apply(plan, None)
    opened().apply(plan, None)
    assert opened().current() == plan.hash


def test_a_canary_is_there_and_may_stay(opened: Callable[[], Target]) -> None:
    opened().apply(BASELINE, None)
    for _ in range(2):
        opened().apply(a_plan(), 60.0)
        assert opened().current() == a_plan().hash
    opened().apply(a_plan(), None)
    assert opened().current() == a_plan().hash


def test_earlier_plans_come_back(opened: Callable[[], Target]) -> None:
    first, second = a_plan(), a_plan(batch=2048)
    assert first.hash != second.hash
    opened().apply(first, None)
    opened().apply(second, 60.0)
    opened().restore(first.hash)
    assert opened().current() == first.hash
    opened().restore(second.hash)
    assert opened().current() == second.hash


def test_a_plan_that_was_never_there_cannot_come_back(opened: Callable[[], Target]) -> None:
    opened().apply(a_plan(), None)
    with pytest.raises(TargetError, match="keeps no plan"):
        opened().restore(replace(a_plan(), command=a_plan(batch=512).command).hash)
    assert opened().current() == a_plan().hash


def test_what_was_only_put_there_was_not_seen_to_run(opened: Callable[[], Target]) -> None:
    opened().apply(a_plan(), 60.0)
    assert opened().observe().state in ("waiting", "running")
    assert opened().observe().metrics == {}
