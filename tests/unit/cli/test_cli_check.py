"""`trimtab job check`: what it prints and how it ends."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Invoke
from tests.unit.cli.fake_service import make_spec
from tuner.cli import check, exits, jobs
from tuner.launch import launch_command
from tuner.model import Failure, FailureKind
from tuner.smoke import Smoke
from tuner.spec import JobSpec, Quality

SPEC = replace(make_spec("mine"), quality=Quality())
FAILURE = Failure(
    kind=FailureKind.NO_METRICS, cause="nothing was told", remedy="report it", log_tail=("hello",)
)


def smoke(failure: Failure | None = None) -> Smoke:
    params = SPEC.space.default()
    return Smoke(
        params=params,
        command=launch_command(SPEC, params),
        steps={} if failure else {0: 5, 1: 4},
        samples=0.0 if failure else 4608.0,
        metrics={} if failure else {"samples_per_s": 16_612.0, "cpu_s": 3.0},
        unseen=("auc",),
        failure=failure,
        elapsed_s=1.5,
    )


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> list[Smoke]:
    """What the launch shows."""
    shown = [smoke()]

    def load(file: str) -> JobSpec:
        return SPEC

    monkeypatch.setattr(jobs, "load", load)
    monkeypatch.setattr(check, "try_out", lambda *_, **__: shown[-1])
    return shown


def test_figures_that_were_read_are_shown(invoke: Invoke, outcome: list[Smoke]) -> None:
    result = invoke("job", "check", "-f", "x.yaml")
    assert result.exit_code == exits.OK
    assert "rank 0: 5, rank 1: 4" in result.stdout
    assert "samples_per_s 16,612 samples/s" in result.stdout
    assert "cpu_s" not in result.stdout
    assert "auc: not told within so few steps" in result.stdout


def test_a_failure_comes_with_its_remedy_and_log(invoke: Invoke, outcome: list[Smoke]) -> None:
    outcome.append(smoke(FAILURE))
    result = invoke("job", "check", "-f", "x.yaml")
    assert result.exit_code == exits.JOB_FAILED
    assert "failed: nothing was told" in result.stdout
    assert "Remedy: report it" in result.stdout
    assert result.stdout.endswith("  hello\n")


def test_as_json(invoke: Invoke, outcome: list[Smoke], tmp_path: Path) -> None:
    told = json.loads(invoke("job", "check", "-f", "x.yaml", "-o", "json").stdout)
    assert told["steps"] == {"0": 5, "1": 4}
    assert told["failure"] is None
