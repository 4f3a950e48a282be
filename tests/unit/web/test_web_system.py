"""Health, readiness, version, schemas, Prometheus, OpenAPI."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.web.fake_service import FakeService
from tuner.errors import StoreError
from tuner.metrics import METRICS
from tuner.model import Lease


def test_health_and_version(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert (
        client.get("/version").json()["version"] == client.get("/api/v1/system").json()["version"]
    )


def test_ready_with_a_controller_only(client: TestClient, service: FakeService) -> None:
    assert client.get("/readyz").status_code == 200
    service.lease = None
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "trimtab serve" in answer.json()["detail"]
    assert client.get("/healthz").status_code == 200
    assert client.get("/api/v1/system").json()["controller"] is None


def test_not_ready_without_a_store(
    client: TestClient, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Lease | None:
        raise StoreError("the store is locked")

    monkeypatch.setattr(service, "controller", fail)
    assert client.get("/readyz").status_code == 503


def _samples(client: TestClient) -> dict[tuple[str, ...], float]:
    text = client.get("/metrics").text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_figures(client: TestClient, service: FakeService) -> None:
    samples = _samples(client)
    assert samples["trimtab_jobs", "searching"] == 1
    assert samples["trimtab_jobs", "failed"] == 0
    failed = [t for job in service.jobs() for t in service.trials(job.id) if t.failure]
    assert samples["trimtab_trials_total", "crash"] + samples[
        "trimtab_trials_total", "host_out_of_memory"
    ] == len(failed)
    assert samples["trimtab_spend_core_seconds_total",] == pytest.approx(20.4 * 33)
    assert samples["trimtab_spend_usd_total",] == pytest.approx(0.000272 * 33)
    assert samples["trimtab_controller_up",] == 1
    assert 0 <= samples["trimtab_controller_heartbeat_age_seconds",] < 60
    assert "job-0000" not in client.get("/metrics").text


def test_prometheus_tells_how_far_predictions_were_off(
    client: TestClient, service: FakeService
) -> None:
    assert ("trimtab_prediction_error_pct",) not in _samples(client)
    for trials in service.trials_of.values():
        trials[:] = [
            replace(t, predicted={"samples_per_s": 1.1 * t.measurement.metrics["samples_per_s"]})
            if t.measurement is not None
            else t
            for t in trials
        ]
    assert _samples(client)["trimtab_prediction_error_pct",] == pytest.approx(10)


def test_unknown_figures_are_left_out(client: TestClient, service: FakeService) -> None:
    service.lease = None
    service.listed.clear()
    samples = _samples(client)
    assert samples["trimtab_controller_up",] == 0
    assert ("trimtab_controller_heartbeat_age_seconds",) not in samples
    assert ("trimtab_spend_usd_total",) not in samples


def test_schemas(client: TestClient) -> None:
    schema = client.get("/api/v1/schemas/job").json()
    assert "space" in schema["properties"]
    rows = client.get("/api/v1/schemas/metrics").json()
    assert [row["name"] for row in rows] == [metric.name for metric in METRICS]


def _operations(client: TestClient) -> list[tuple[str, str, dict[str, Any]]]:
    paths = client.get("/openapi.json").json()["paths"]
    return [
        (path, verb, operation)
        for path, verbs in paths.items()
        for verb, operation in verbs.items()
    ]


def test_every_operation_has_a_name_of_its_own(client: TestClient) -> None:
    names = [operation.get("operationId", "") for _, _, operation in _operations(client)]
    assert all(name.isidentifier() for name in names)
    assert len(set(names)) == len(names) >= 20
    assert all(operation.get("description") for _, _, operation in _operations(client))


def test_every_error_is_documented_as_a_problem(client: TestClient) -> None:
    for path, verb, operation in _operations(client):
        answers = operation["responses"]
        failing = {status: one for status, one in answers.items() if status >= "400"}
        assert {"421", "422", "500", "503"} <= set(failing), path
        assert "404" in failing or "{" not in path, path
        assert verb == "get" or {"403", "415"} <= set(failing), path
        for one in failing.values():
            assert list(one["content"]) == ["application/problem+json"], path


def test_references_of_the_openapi_document_exist(client: TestClient) -> None:
    document = client.get("/openapi.json").json()

    def references(node: object) -> list[str]:
        if isinstance(node, list):
            return [ref for child in node for ref in references(child)]
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [ref for child in node.values() for ref in references(child)]
        return []

    found = {ref.removeprefix("#/components/schemas/") for ref in references(document)}
    assert {"JobSpec", "ProblemDocument"} <= found
    assert found <= set(document["components"]["schemas"])
    assert "budget" not in document["components"]["schemas"]["JobSpec"]["required"]
