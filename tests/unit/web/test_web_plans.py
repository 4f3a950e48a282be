"""Plans and applications over HTTP."""

from fastapi.testclient import TestClient

from tests.unit.web.fake_service import FakeService

PLAN = "/api/v1/plans/plan-7f3a91c2"


def test_lists_the_plans_of_a_job(client: TestClient) -> None:
    assert len(client.get("/api/v1/plans", params={"job": "done"}).json()["items"]) == 1
    assert client.get("/api/v1/plans", params={"job": "busy"}).json()["items"] == []
    assert client.get("/api/v1/plans", params={"job": "none"}).status_code == 404


def test_a_plan_shows_its_evidence_and_its_hash(client: TestClient, service: FakeService) -> None:
    plan = client.get(PLAN).json()
    assert plan["verdict"] == "better"
    assert plan["gain_low_pct"] < plan["gain_pct"] < plan["gain_high_pct"]
    assert len(plan["pairs"]) == 6
    assert plan["command"]["argv"][:3] == ["python", "-m", "workloads.dlrm"]
    assert plan["plan_hash"] == service.made[0].hash


def test_apply_and_roll_back(client: TestClient) -> None:
    answer = client.post(f"{PLAN}:apply")
    assert answer.status_code == 202
    application = answer.json()
    place = answer.headers["location"]
    assert client.get(place).json() == application
    assert application["actor"] == "http"
    assert application["plan_hash"] == client.get(PLAN).json()["plan_hash"]
    rolled_back = client.post(f"{place}:rollback")
    assert (rolled_back.status_code, rolled_back.json()["state"]) == (202, "rolled_back")
    assert client.post(f"{place}:rollback").status_code == 409
    listed = client.get("/api/v1/applications", params={"job": "done"}).json()["items"]
    assert [one["state"] for one in listed] == ["rolled_back"]


def test_unknown_ones_are_problems(client: TestClient) -> None:
    assert client.post("/api/v1/plans/none:apply").status_code == 404
    assert client.get("/api/v1/applications/none").status_code == 404
    assert client.post("/api/v1/applications/none:rollback").status_code == 404
