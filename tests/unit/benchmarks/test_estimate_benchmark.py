"""The benchmark of the estimate on runs that follow its formulas."""

import csv
import json
from pathlib import Path

import pytest

from benchmarks import estimate
from tuner.estimate.factors import Factors

TRUTH = Factors(compute=6.0, node_transfer=3.0, overhead_s=0.03)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A task of which every run takes what the formulas say with other factors."""
    rows: list[dict[str, str | float]] = [
        {"task": "gavel_LM", "k_gpu": "k80", "k_gpus": gpus, "k_consol": 1, "k_batch": batch}
        for gpus in (1, 2, 4, 8)
        for batch in (5, 20, 80)
    ]
    for row in rows:
        run = estimate._gavel_run({**{k: str(v) for k, v in row.items()}, "thr": "1"})
        (time_s,) = estimate.predicted([run], TRUTH)
        row["thr"] = run.configuration.global_batch / time_s
    with open(tmp_path / "gavel.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows([*rows, {**rows[0], "thr": 0}])
    return tmp_path


def test_three_runs_find_what_the_others_take(folder: Path) -> None:
    runs = estimate.read_gavel(folder)
    assert len(runs) == 12
    row = estimate.assess("gavel_LM", runs, seeds=2)
    assert row.before_pct > 30
    assert row.after_chosen_pct < 8
    assert row.after_chosen_pct < row.after_random_pct < row.before_pct


def test_the_own_surface_is_told_in_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["estimate", "--seeds", "1", "--json"])
    estimate.main()
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["task"], row["runs"]) == ("dlrm-2-cores", 80)
    assert row["after_chosen_pct"] < row["before_pct"]
