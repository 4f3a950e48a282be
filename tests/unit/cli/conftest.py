"""Commands run against a fake service."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.unit.cli.fake_service import FakeService, make_job
from tuner.cli import logs, session, watch
from tuner.cli.main import app

Invoke = Callable[..., Result]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeService:
    """The service that every command opens; it holds one job that has succeeded."""
    fake = FakeService(make_job())

    def open_service(folder: Path | None = None) -> FakeService:
        return fake

    monkeypatch.setattr(session, "open_service", open_service)
    monkeypatch.setattr(watch, "POLL_S", 0.001)
    monkeypatch.setattr(logs, "POLL_S", 0.001)
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TRIMTAB_DEBUG", raising=False)
    monkeypatch.setenv("USER", "ann")
    monkeypatch.setenv("LOGNAME", "ann")
    return fake


@pytest.fixture
def invoke(service: FakeService) -> Invoke:
    """Runs a command line, standard output and error kept apart."""
    runner = CliRunner()
    return lambda *words, **options: runner.invoke(app, list(words), **options)
