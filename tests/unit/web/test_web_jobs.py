"""Jobs over HTTP."""

import json

import pytest
from fastapi.testclient import TestClient

from tests.unit.web.fake_service import FakeService
from tuner.model import JobState

JOB = """
name: tiny
workload:
  command: [python, train.py, "--batch=${batch}"]
space:
  params:
    batch: {kind: choice, options: [1, 2, 4]}
budget: {trials: 3}
"""
YAML = {"content-type": "application/yaml"}


def test_creates_a_job_from_yaml(client: TestClient, service: FakeService) -> None:
    answer = client.post("/api/v1/jobs", content=JOB, headers=YAML)
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert (job["state"], job["spec"]["name"]) == ("pending", "tiny")
    assert job["progress"]["trials_total"] == 3
    assert service.listed[-1].spec.space.params["batch"].default is None


def test_creates_a_job_from_json(client: TestClient) -> None:
    body = {
        "name": "tiny",
        "workload": {"command": ["python", "train.py", "--batch=${batch}"]},
        "space": {"params": {"batch": {"kind": "choice", "options": [2, 2.5, "x", True]}}},
    }
    answer = client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 202
    assert answer.json()["spec"]["space"]["params"]["batch"]["options"] == [2, 2.5, "x", True]


def test_the_spec_of_an_answer_makes_the_same_job_again(client: TestClient) -> None:
    spec = client.post("/api/v1/jobs", content=JOB, headers=YAML).json()["spec"]
    again = client.post("/api/v1/jobs", json=spec)
    assert again.status_code == 202
    assert again.json()["spec"] == spec


def test_a_wrong_job_names_every_fault(client: TestClient, service: FakeService) -> None:
    wrong = JOB.replace("trials: 3", "trials: many").replace("name: tiny", "nam: tiny")
    answer = client.post("/api/v1/jobs", content=wrong, headers=YAML)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "/problems/invalid-job"
    pointers = {fault["pointer"] for fault in problem["errors"]}
    assert "#/budget/trials" in pointers
    assert all(fault["remedy"] for fault in problem["errors"])
    assert len(service.listed) == 2


def test_a_body_that_is_no_text_is_refused(client: TestClient) -> None:
    answer = client.post("/api/v1/jobs", content=b"\xff\xfe", headers=YAML)
    assert answer.status_code == 422
    assert "UTF-8" in answer.json()["detail"]


def test_lists_the_newest_first(client: TestClient) -> None:
    page = client.get("/api/v1/jobs").json()
    assert [job["spec"]["name"] for job in page["items"]] == ["busy", "done"]
    assert page["next_page_token"] == ""


def test_pages_hold_every_job_once_while_new_ones_come(client: TestClient) -> None:
    first = client.get("/api/v1/jobs", params={"page_size": 1}).json()
    client.post("/api/v1/jobs", content=JOB, headers=YAML)
    rest = client.get(
        "/api/v1/jobs", params={"page_size": 1, "page_token": first["next_page_token"]}
    ).json()
    names = [job["spec"]["name"] for job in first["items"] + rest["items"]]
    assert names == ["busy", "done"]
    assert rest["next_page_token"] == ""


@pytest.mark.parametrize("token", ["nonsense", "%ff", "bm90LWEtam9i", "a"])
def test_a_foreign_page_token_is_refused(client: TestClient, token: str) -> None:
    answer = client.get("/api/v1/jobs", params={"page_token": token})
    assert answer.status_code == 422
    assert "page_token" in answer.json()["detail"]


def test_a_page_size_below_one_names_the_parameter(client: TestClient) -> None:
    answer = client.get("/api/v1/jobs", params={"page_size": 0})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["parameter"] == "page_size"


def test_gets_a_job_by_name_with_rfc_3339_times(client: TestClient) -> None:
    job = client.get("/api/v1/jobs/done").json()
    assert job["created_at"] == "2026-03-02T14:30:00Z"
    assert job["progress"]["best_gain_pct"] > 0
    assert job["progress"]["baseline"]["number"] == 0


def test_an_unknown_job_is_a_problem(client: TestClient) -> None:
    answer = client.get("/api/v1/jobs/none")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == ("/problems/not-found", 404)
    assert problem["instance"] == "/api/v1/jobs/none"


@pytest.mark.parametrize(
    ("verb", "state"),
    [("pause", JobState.PAUSED), ("resume", JobState.SEARCHING), ("cancel", JobState.CANCELLED)],
)
def test_wishes(client: TestClient, service: FakeService, verb: str, state: JobState) -> None:
    answer = client.post(f"/api/v1/jobs/busy:{verb}")
    assert answer.status_code == 202
    assert answer.json()["state"] == state
    assert service.job("busy").state is state


def test_a_wish_that_comes_too_late_is_a_conflict(client: TestClient) -> None:
    answer = client.post("/api/v1/jobs/done:pause")
    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/conflict"


def test_progress_and_events(client: TestClient) -> None:
    progress = client.get("/api/v1/jobs/busy/progress").json()
    assert (progress["trials_done"], progress["running"]) == (9, [9])
    client.post("/api/v1/jobs/busy:pause")
    page = client.get("/api/v1/jobs/busy/events", params={"page_size": 1}).json()
    assert [event["action"] for event in page["items"]] == ["job.pause"]
    params = {"page_size": 1, "page_token": page["next_page_token"]}
    rest = client.get("/api/v1/jobs/busy/events", params=params).json()
    assert [event["action"] for event in rest["items"]] == ["job.create"]


def test_a_figure_that_is_not_finite_is_valid_json(
    client: TestClient, service: FakeService
) -> None:
    trial = service.trials("done")[0]
    assert trial.measurement is not None
    trial.measurement.metrics["loss"] = float("nan")
    text = client.get("/api/v1/jobs/done/trials/0").text
    metrics = json.loads(text, parse_constant=pytest.fail)["measurement"]["metrics"]
    assert metrics["loss"] is None
