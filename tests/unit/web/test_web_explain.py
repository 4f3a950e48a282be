"""What the trials of a job say together, over HTTP."""

from fastapi.testclient import TestClient

from tests.unit.web.fake_service import FakeService


def test_an_explanation_names_every_parameter(client: TestClient, service: FakeService) -> None:
    (job, *_) = service.jobs()
    found = client.get(f"/api/v1/jobs/{job.id}/explain").json()
    assert {one["name"] for one in found["importance"]} == set(job.spec.space.params)
    shares = [one["share_pct"] for one in found["importance"] if one["share_pct"] is not None]
    assert shares == sorted(shares, reverse=True)
    assert found["best"] is not None
    assert found["sensitivity"]
    assert client.get("/api/v1/jobs/nobody/explain").status_code == 404
