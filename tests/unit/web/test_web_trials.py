"""Trials over HTTP: list, details, metrics over time, logs."""

from fastapi.testclient import TestClient

TRIALS = "/api/v1/jobs/busy/trials"


def test_lists_trials_by_number(client: TestClient) -> None:
    trials = client.get(TRIALS).json()["items"]
    assert [trial["number"] for trial in trials] == list(range(10))
    assert trials[0]["measurement"]["metrics"]["samples_per_s"] > 0
    assert trials[0]["failure"] is None
    assert trials[4]["failure"]["kind"] == "crash"
    assert trials[4]["measurement"] is None
    assert trials[9]["state"] == "running"
    assert trials[0]["admissible"]
    assert not trials[4]["admissible"]


def test_pages_of_trials(client: TestClient) -> None:
    first = client.get(TRIALS, params={"page_size": 6}).json()
    rest = client.get(TRIALS, params={"page_token": first["next_page_token"]}).json()
    assert [trial["number"] for trial in first["items"] + rest["items"]] == list(range(10))


def test_a_trial_has_its_attempts(client: TestClient) -> None:
    trial = client.get(f"{TRIALS}/0").json()
    (attempt,) = trial["attempts"]
    assert attempt["purpose"] == "measure"
    assert attempt["placement"]["cores"] == [[0], [1]]
    assert attempt["spend"]["usd"] > 0


def test_an_unknown_trial_is_a_problem(client: TestClient) -> None:
    assert client.get(f"{TRIALS}/99").status_code == 404
    answer = client.get(f"{TRIALS}/first")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "number"


def test_metrics_are_series(client: TestClient) -> None:
    series = client.get(f"{TRIALS}/0/metrics").json()
    assert {one["name"] for one in series} == {"samples_per_s", "loss"}
    only = client.get(f"{TRIALS}/0/metrics", params={"name": "samples_per_s"}).json()
    assert [one["unit"] for one in only] == ["samples/s"]
    assert len(only[0]["points"]) == 60
    assert only[0]["thinned"] is False


def test_thinning_keeps_both_ends(client: TestClient) -> None:
    whole, thin = (
        client.get(f"{TRIALS}/0/metrics", params={"name": "loss", "max_points": n}).json()[0]
        for n in (1000, 7)
    )
    assert thin["thinned"] is True
    assert len(thin["points"]) == 7
    assert thin["points"][0] == whole["points"][0]
    assert thin["points"][-1] == whole["points"][-1]
    assert len(thin["sources"]) == 7
    assert (thin["sources"][0], thin["sources"][-1]) == ("rank-0.log:1", "rank-0.log:60")


def test_the_line_of_a_figure(client: TestClient) -> None:
    answer = client.get(f"{TRIALS}/0/line", params={"at": "rank-0.log:12"})
    assert answer.text == "the line at rank-0.log:12 of trial 0\n"
    assert client.get(f"{TRIALS}/0/line", params={"at": "x"}).status_code == 404


def test_the_tail_of_a_log_is_plain_text(client: TestClient) -> None:
    answer = client.get(f"{TRIALS}/0/logs", params={"rank": 1, "tail": 2})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert [line[:9] for line in answer.text.splitlines()] == ["step  298", "step  299"]
    whole = client.get(f"{TRIALS}/0/logs", params={"rank": 1, "tail": 5000}).text
    assert whole.startswith("rank 1:")
