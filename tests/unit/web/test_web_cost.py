"""What a job has spent, over HTTP."""

from fastapi.testclient import TestClient

from tests.unit.web.fake_service import FakeService


def test_the_ledger_of_a_job_has_plain_numbers(client: TestClient, service: FakeService) -> None:
    job = next(job for job in service.jobs() if service.attempts(job.id))
    ledger = client.get(f"/api/v1/jobs/{job.id}/cost").json()
    assert ledger["job_id"] == job.id
    assert ledger["lines"]
    assert isinstance(ledger["spend"]["usd"], float)
    assert ledger["budget_usd"] == 2.0
    assert client.get("/api/v1/jobs/nobody/cost").status_code == 404


def test_the_schema_says_that_money_is_a_number(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["Spend"]["properties"]["usd"]["anyOf"][0] == {"type": "number"}
