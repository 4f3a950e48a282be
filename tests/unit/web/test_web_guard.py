"""Pages of other sites can neither read nor change anything here."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from tests.unit.web.fake_service import HOST, FakeService
from web.api.jobs import MAX_BODY_BYTES

PAUSE = "/api/v1/jobs/busy:pause"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8321", "127.0.0.1", "127.0.0.1:80", "", "localhost:1"]
)
@pytest.mark.parametrize("path", ["/", "/api/v1/jobs", "/healthz", "/static/nothing"])
def test_another_host_is_turned_away(client: TestClient, host: str, path: str) -> None:
    answer = client.get(path, headers={"host": host})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"


def test_two_hosts_are_turned_away(client: TestClient) -> None:
    answer = client.get("/healthz", headers=[("host", HOST), ("host", "evil.example")])
    assert answer.status_code == 421


def test_every_allowed_host_is_served_in_any_case(client: TestClient) -> None:
    for host in (HOST, "localhost:8321", "LOCALHOST:8321"):
        assert client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:8321"},
        {"origin": f"https://{HOST}"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": f"http://{HOST}", "sec-fetch-site": "cross-site"},
    ],
)
def test_another_page_may_change_nothing(
    client: TestClient, service: FakeService, headers: dict[str, str]
) -> None:
    answer = client.post(PAUSE, headers=headers)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert service.job("busy").state == "searching"


@pytest.mark.parametrize(
    "headers", [{}, {"origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}]
)
def test_our_page_and_a_shell_may(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post(PAUSE, headers=headers).status_code == 202


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "x"],
)
def test_what_a_form_can_send_is_not_read(
    client: TestClient, service: FakeService, content_type: str
) -> None:
    headers = {"content-type": content_type}
    answer = client.post("/api/v1/jobs", content="name: x", headers=headers)
    assert answer.status_code == 415
    assert "application/yaml" in answer.json()["detail"]
    assert len(service.listed) == 2


def test_a_body_without_a_type_is_not_read(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"name: x"

    assert client.post("/api/v1/jobs", content=b"name: x").status_code == 415
    assert client.post("/api/v1/jobs", content=chunks()).status_code == 415


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_turned_away(client: TestClient, chunked: bool) -> None:
    body = b"#" * (MAX_BODY_BYTES + 1)
    content = iter([body[:1000], body[1000:]]) if chunked else body
    headers = {"content-type": "application/yaml"}
    answer = client.post("/api/v1/jobs", content=content, headers=headers)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/api/v1/jobs", "/api/v1/nothing", "/static/index.html"])
def test_headers_of_every_answer(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers
    assert headers["cache-control"] in ("no-store", "no-cache")
