"""Every error is mapped, once, and tells the caller no more than it should."""

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from tests.unit.web.fake_service import FakeService
from tuner import errors
from tuner.model import Job
from web.api.problems import KINDS


def _tree(cls: type[errors.TrimtabError]) -> Iterator[type[errors.TrimtabError]]:
    yield cls
    for child in cls.__subclasses__():
        if child.__module__.startswith(("tuner", "storage", "web")):
            yield from _tree(child)


@pytest.mark.parametrize("error", list(_tree(errors.TrimtabError)))
def test_every_error_of_the_tree_is_mapped(error: type[errors.TrimtabError]) -> None:
    assert error in KINDS


def test_statuses_are_those_of_the_tree() -> None:
    told = re.findall(r"^ *(\w+) .* HTTP (\d+)$", errors.__doc__ or "", flags=re.MULTILINE)
    assert len(told) == len(KINDS) - 1
    for name, status in told:
        assert KINDS[getattr(errors, name)].status == int(status), name


@pytest.mark.parametrize("error", [e for e in KINDS if e is not errors.InvalidJob])
def test_an_error_of_the_service_becomes_its_problem(
    error: type[errors.TrimtabError],
    client: TestClient,
    service: FakeService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> list[Job]:
        raise error("store.db is of version 9. Remedy: upgrade")

    monkeypatch.setattr(service, "jobs", fail)
    answer = client.get("/api/v1/jobs")
    kind = KINDS[error]
    assert answer.status_code == kind.status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": f"/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": "store.db is of version 9. Remedy: upgrade",
        "instance": "/api/v1/jobs",
        "errors": [],
    }


def test_an_unexpected_error_tells_nothing_of_the_inside(
    client: TestClient,
    service: FakeService,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> list[Job]:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(service, "jobs", fail)
    answer = client.get("/api/v1/jobs")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "secret detail" in caplog.text


def test_a_wrong_method_keeps_its_allow_header(client: TestClient) -> None:
    answer = client.delete("/api/v1/jobs/done")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert answer.json()["title"] == "Method Not Allowed"


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/static/nothing.js", "/docs", "/redoc"])
def test_an_unknown_path_is_a_problem(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert path in answer.json()["detail"]


def test_a_type_of_problem_can_be_looked_up(client: TestClient) -> None:
    for error, kind in KINDS.items():
        meaning = client.get(f"/problems/{kind.slug}").json()
        assert meaning["status"] == kind.status
        assert meaning["detail"] == (error.__doc__ or "").strip()
    assert client.get("/problems/none").status_code == 404
