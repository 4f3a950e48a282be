"""`trimtab estimate`."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Invoke
from tests.unit.cli.fake_service import FakeService
from tuner.cli import exits

DLRM = str(Path(__file__).parents[3] / "examples" / "dlrm.yaml")


def test_a_table_of_nodes_says_what_it_rests_on(invoke: Invoke) -> None:
    found = invoke("estimate", "-f", DLRM, "--nodes", "1,2,4")
    assert found.exit_code == 0
    head, *rows = found.stdout.splitlines()[:4]
    assert re.split(r"\s{2,}", head)[:4] == ["Nodes", "Ranks", "Samples/s", "Step"]
    assert [row.split()[:2] for row in rows] == [["1", "1"], ["2", "2"], ["4", "4"]]
    assert "Calibrated: nothing; --job NAME" in found.stdout
    assert "factor compute" in found.stdout.splitlines()[-1]


def test_trials_of_a_job_calibrate(invoke: Invoke) -> None:
    found = invoke("estimate", "-f", DLRM, "--job", "@last")
    assert found.exit_code == 0
    assert re.search(r"Calibrated by \d trials: .*compute", found.stdout)
    assert re.search(r"Median error on them \d+ % before, \d+ % after", found.stdout)


def test_the_answer_is_data_for_programs(invoke: Invoke) -> None:
    words = ("estimate", "-f", DLRM, "--gpu", "H100", "--link", "25", "--rate", "1e6")
    found = invoke(*words, "--set", "global_batch_size=8192", "--probes", "2", "-o", "json")
    data = json.loads(found.stdout)
    (answer,) = data["answers"]
    assert answer["device"] == "H100"
    assert answer["step"]["samples"] == 8192
    assert answer["gangs"] >= 1
    assert answer["usd_per_hour"] is None
    (priced,) = json.loads(invoke("estimate", "-f", DLRM, "-o", "json").stdout)["answers"]
    assert 0 < priced["usd_per_million_samples"] < 0.01
    assert len(data["probes"]) == 2
    table = invoke(*words, "--probes", "1").stdout
    assert "Gangs" in table
    assert "Runs that would calibrate best\nglobal_batch_size=" in table


def test_what_does_not_fit_is_shown_as_a_sum(invoke: Invoke, tmp_path: Path) -> None:
    text = Path(DLRM).read_text().replace("rows: 65536", "rows: 65536000")
    (tmp_path / "job.yaml").write_text(text)
    found = invoke("estimate", "-f", str(tmp_path / "job.yaml"), "--gpu", "T4", "--nodes", "2,4")
    assert "2 nodes do not fit: tables 31.3 GiB + gradients 31.3 GiB" in found.stdout
    assert "> 16.0 GiB" in found.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--file JOB.YAML"),
        (("-f", DLRM, "--nodes", "1,x"), "such as 1,2,4,8"),
        (("-f", DLRM, "--set", "precision"), "write NAME=VALUE"),
        (("-f", DLRM, "--gpu", "Abacus"), "use one of K80"),
        (("tasks", "--count", "1", "--seconds-each", "1", "--speeds", "1,0"), "such as 1,1,0.5"),
    ],
)
def test_what_is_wrong_is_told_with_a_remedy(
    invoke: Invoke, words: tuple[str, ...], said: str
) -> None:
    found = invoke("estimate", *words)
    assert found.exit_code == exits.USAGE
    assert said in found.stderr


def test_a_thousand_seconds_on_ten_workers(invoke: Invoke) -> None:
    words = ("estimate", "tasks", "--count", "1000", "--seconds-each", "1")
    said = invoke(*words, "--workers", "10").stdout
    assert said.startswith("100 s, against 1,000 s on one worker: 10 times as fast")
    uneven = json.loads(invoke(*words, "--speeds", "1,1,0.5", "-o", "json").stdout)
    assert uneven["makespan_s"] == uneven["lower_bound_s"] == 400
    assert uneven["efficiency"] == 1


def test_speed_ups_and_where_communication_ends_them(invoke: Invoke) -> None:
    words = ("estimate", "speedup", "--workers", "1,10,100", "--serial-share", "0.1")
    said = invoke(*words, "--gradient-mb", "20", "--link", "1").stdout.splitlines()
    assert said[2].split()[:3] == ["10", "5.26", "9.10"]
    assert said[-1] == "Data-parallel, 10 of them are fastest."
    data = json.loads(invoke(*words, "-o", "json").stdout)
    assert data["speedups"][2]["amdahl"] == pytest.approx(9.174, abs=1e-3)
    assert data["fastest"] == 100


def test_replicas_that_hold_a_limit(invoke: Invoke) -> None:
    words = ("estimate", "serving", "--rate", "5000", "--batch-ms", "2", "--each-ms", "0.5")
    found = invoke(*words, "--max-batch", "32", "--slo-ms", "20").stdout
    assert re.match(r"4 replica\(s\), 99 % within [\d.]+ ms; one bears 1,\d+/s within 20 ms", found)
    assert invoke(*words, "--slo-ms", "1").stdout.startswith("no number of replicas holds 1 ms")


def test_a_job_tells_how_far_its_predictions_were_off(
    invoke: Invoke, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Predictions" not in invoke("job", "get").stdout
    known = replace(service.progress("@last"), prediction_error_pct=12.34)
    monkeypatch.setattr(service, "progress", lambda ref: known)
    assert re.search(r"Predictions +12\.3 % off", invoke("job", "get").stdout)
