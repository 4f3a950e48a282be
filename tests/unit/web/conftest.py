"""A client of the API over made-up jobs."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.unit.web.fake_service import HOST, FakeService, dlrm_spec
from tuner.model import JobState
from web.app import create_app


@pytest.fixture
def service() -> FakeService:
    fake = FakeService()
    fake.add(dlrm_spec("done"), JobState.SUCCEEDED, 24)
    fake.add(dlrm_spec("busy"), JobState.SEARCHING, 9, running=1)
    return fake


@pytest.fixture(scope="session")
def app() -> FastAPI:
    """Built once, which takes a while; each test puts its own service in."""
    return create_app(FakeService(), allowed_hosts=[HOST, "localhost:8321"])


@pytest.fixture
def client(app: FastAPI, service: FakeService) -> Iterator[TestClient]:
    app.state.service = service
    with TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False) as opened:
        yield opened
