"""A plan whose evidence was measured under other conditions is applied on request only."""

from dataclasses import replace
from pathlib import Path

import pytest

from storage.sql import SqlStore
from tests.unit.builders import job
from tests.unit.plans import a_plan
from tuner.errors import Conflict
from tuner.executors.host import LocalHost
from tuner.service import Service

NOW = {"torch": "2.14.0", "git": "2222"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(LocalHost, "fingerprint", lambda host, spec: NOW)
    plan = a_plan()
    store = SqlStore(tmp_path / "trimtab.db")
    store.save(
        job(apply={"target": {"path": str(tmp_path / "plan.json")}}),
        replace(plan, id="plan_same", fingerprint={**NOW, "git": "1111"}),
        replace(plan, id="plan_old", fingerprint={"torch": "2.13.0"}),
        replace(plan, id="plan_unknown", fingerprint={}),
    )
    store.close()
    return tmp_path


def test_a_stale_plan_is_refused_with_what_changed(home: Path) -> None:
    with Service(home) as service:
        assert service.changes("plan_old") == ("torch 2.13.0 → 2.14.0",)
        with pytest.raises(Conflict, match=r"torch 2\.13\.0 → 2\.14\.0.*--stale"):
            service.apply("plan_old", actor="ann")
        assert service.applications() == []


def test_a_stale_plan_is_applied_where_that_is_said(home: Path) -> None:
    with Service(home) as service:
        assert service.apply("plan_old", actor="ann", stale=True).plan_id == "plan_old"


@pytest.mark.parametrize("plan", ["plan_same", "plan_unknown"])
def test_what_has_not_changed_needs_no_word(home: Path, plan: str) -> None:
    with Service(home) as service:
        assert service.apply(plan, actor="ann").plan_id == plan
