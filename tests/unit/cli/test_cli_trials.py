"""`trial ...` over a fake service."""

import csv
import io
import json
from dataclasses import replace

from tests.unit.cli.conftest import Invoke
from tests.unit.cli.fake_service import FakeService
from tuner.cli import exits


def test_list_as_a_table(invoke: Invoke) -> None:
    assert invoke("trial", "list", "--job", "dlrm").stdout.splitlines() == [
        "N  State                samples_per_s    Change  Remark         Configuration",
        "0  complete  16,612 samples/s ± 2.0 %  baseline                 (default)",
        "1  complete  62,345 samples/s ± 2.0 %    +275 %                 "
        "shard_strategy=table_wise nnodes=2",
        "2  failed                     unknown            out_of_memory  "
        "shard_strategy=table_wise nnodes=2 global_batch_size=4096",
        "3  running                    unknown                           nnodes=2",
    ]


def test_list_as_json_has_the_fields_that_scripts_use(invoke: Invoke) -> None:
    trials = json.loads(invoke("trial", "list", "--job", "job_aa11", "-o", "json").stdout)
    assert [trial["number"] for trial in trials] == [0, 1, 2, 3]
    assert trials[1]["state"] == "complete"
    assert trials[1]["params"]["shard_strategy"] == "table_wise"
    assert trials[1]["measurement"]["metrics"]["samples_per_s"] == 62_345.0
    assert trials[2]["failure"]["kind"] == "out_of_memory"


def test_list_as_csv_is_flat(invoke: Invoke) -> None:
    text = invoke("trial", "list", "-o", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[1]["params.shard_strategy"] == "table_wise"
    assert rows[1]["measurement.metrics.samples_per_s"] == "62345.0"
    assert json.loads(rows[1]["measurement.intervals.samples_per_s"])[0] < 62_345.0
    assert rows[3]["measurement.metrics.samples_per_s"] == ""
    assert not {"measurement", "failure"} & set(rows[0])


def test_get_shows_a_measurement_with_its_window_and_launches(invoke: Invoke) -> None:
    text = invoke("trial", "get", "1").stdout
    assert "62,345 samples/s ± 2.0 %" in text
    assert "steady window 4.0 s after 1.5 s of warm-up, 120 steps" in text
    assert "$0.000300" in text


def test_get_shows_a_failure_with_its_remedy_and_log(invoke: Invoke) -> None:
    text = invoke("trial", "get", "2").stdout
    assert "out_of_memory (rank 1): rank 1 needed more than 4 GiB" in text
    assert "lower the batch" in text
    assert "  Killed" in text


def test_get_of_an_unknown_trial(invoke: Invoke) -> None:
    assert invoke("trial", "get", "99").exit_code == exits.NOT_FOUND


def test_logs(invoke: Invoke) -> None:
    result = invoke("trial", "logs", "1", "--rank", "0", "--tail", "1")
    assert result.stdout == "line 3\n"


def test_the_line_of_a_figure(invoke: Invoke) -> None:
    result = invoke("trial", "logs", "1", "--at", "rank-0.log:12", "--launch", "2")
    assert result.stdout == "the line at rank-0.log:12 of trial 1, launch 2\n"


def test_compare_shows_what_differs_and_all_metrics(invoke: Invoke) -> None:
    lines = invoke("trial", "compare", "0", "1").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "state",
        "shard_strategy",
        "nnodes",
        "samples_per_s",
        "auc",
    ]
    assert lines[4].split()[-2:] == ["+275", "%"]


def test_compare_as_json(invoke: Invoke) -> None:
    rows = json.loads(invoke("trial", "compare", "0", "1", "-o", "json").stdout)
    assert rows[0] == {
        "kind": "param",
        "name": "shard_strategy",
        "first": "data_parallel",
        "second": "table_wise",
    }
    assert rows[2]["name"] == "samples_per_s"
    assert rows[2]["second_interval"][1] > 62_345.0


def measured_on(service: FakeService, number: int, **fingerprint: str) -> None:
    trials = service.all_trials["job_aa11"]
    measurement = trials[number].measurement
    assert measurement is not None
    trials[number] = replace(
        trials[number], measurement=replace(measurement, fingerprint=fingerprint)
    )


def test_compare_says_that_conditions_differ(invoke: Invoke, service: FakeService) -> None:
    measured_on(service, 0, cpu="AMD EPYC", torch="2.13.0")
    measured_on(service, 1, cpu="AMD EPYC", torch="2.14.0")
    shown = invoke("trial", "compare", "0", "1", "--job", "job_aa11").stdout
    assert "measured on: torch" in shown
    assert "measured on: cpu" not in shown
    shown = invoke("trial", "compare", "0", "1", "--job", "job_aa11", "-o", "json").stdout
    condition = {"kind": "condition", "name": "torch", "first": "2.13.0", "second": "2.14.0"}
    assert condition in json.loads(shown)


def test_get_shows_what_a_trial_was_measured_on(invoke: Invoke, service: FakeService) -> None:
    assert "Measured on" not in invoke("trial", "get", "0", "--job", "job_aa11").stdout
    measured_on(service, 0, cpu="AMD EPYC", torch="2.13.0")
    lines = invoke("trial", "get", "0", "--job", "job_aa11").stdout.splitlines()
    at = [line.strip() for line in lines].index("Measured on")
    assert [line.split() for line in lines[at + 1 : at + 3]] == [
        ["cpu", "AMD", "EPYC"],
        ["torch", "2.13.0"],
    ]
