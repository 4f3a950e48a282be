"""Factors between what TorchRec's planner predicts and what was measured."""

import io
import json
from pathlib import Path

import pytest

from workloads import torchrec_calibration as calibration
from workloads.common import World
from workloads.torchrec_calibration import Run, error_pct, fit, left_out_error_pct, read_factors


def make_run(measured_s: float, **planned_s: float) -> Run:
    return Run(planned_s=planned_s, measured_s=measured_s)


def made(**metrics: float) -> dict[str, object]:
    """A measurement as `trimtab trial list -o json` has it."""
    return {"metrics": metrics}


def test_a_type_alone_gets_its_ratio() -> None:
    factors = fit([make_run(0.02, table_wise=0.001), make_run(0.03, row_wise=0.003)])
    assert factors == pytest.approx({"table_wise": 20.0, "row_wise": 10.0})


def test_trials_of_the_same_type_are_averaged_as_ratios() -> None:
    factors = fit([make_run(0.002, table_wise=0.001), make_run(0.008, table_wise=0.001)])
    assert factors["table_wise"] == pytest.approx(4.0)


def test_a_mixed_plan_tells_of_the_type_that_no_trial_had_alone() -> None:
    runs = [make_run(0.02, table_wise=0.001), make_run(0.07, table_wise=0.001, row_wise=0.005)]
    factors = fit(runs)
    assert factors == pytest.approx({"table_wise": 20.0, "row_wise": 10.0}, rel=0.02)
    assert error_pct(runs, factors) < 1
    assert error_pct(runs, {"table_wise": 1.0, "row_wise": 1.0}) > 90


def test_a_type_that_was_never_tried_is_taken_to_be_off_like_the_others() -> None:
    factors = {"table_wise": 10.0, "row_wise": 40.0}
    assert calibration.factor_of("grid_shard", factors) == pytest.approx(20.0)
    assert calibration.factor_of("row_wise", factors) == 40.0
    assert calibration.factor_of("row_wise", {}) == 1.0


def test_the_error_of_trials_left_out() -> None:
    same = [make_run(0.02 * size, table_wise=0.001 * size) for size in (1, 2, 3)]
    assert left_out_error_pct(same) == pytest.approx(0, abs=1e-6)
    assert left_out_error_pct(same[:1]) is None


def test_trials_become_factors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = [
        {"number": 0, "measurement": made(planned_table_wise_s=0.001, embedding_s=0.02)},
        {"number": 1, "measurement": made(planned_row_wise_s=0.002, embedding_s=0.02)},
        {"number": 2, "measurement": None},
        {"number": 3, "measurement": made(samples_per_s=5.0)},
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(listing)))
    calibration.main([str(tmp_path / "factors.json")])
    found = read_factors(tmp_path / "factors.json")
    assert found == pytest.approx({"table_wise": 20.0, "row_wise": 10.0})
    assert "2 trials, error 92 % before, 0 % after" in capsys.readouterr().out


def test_a_listing_without_plans_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("[]"))
    with pytest.raises(SystemExit, match="none of these trials tells of a plan"):
        calibration.main([str(tmp_path / "factors.json")])


@pytest.mark.parametrize(
    "text", ["", "{}", '{"factors": {"diagonal": 2}}', '{"factors": {"row_wise": 0}}']
)
def test_a_file_that_holds_no_factors_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "factors.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"calibration .*factors"):
        read_factors(path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--global-batch-size=3"], "cannot be divided among 2 ranks"),
        (["--embedding-dim=6"], "FBGEMM takes multiples of 4"),
        (["--sharding=mixed", "--table-plan=row_wise"], "it names 1 tables, the model has 18"),
        (["--calibration=/nowhere/factors.json"], "Remedy: write it by `trimtab trial list"),
    ],
)
def test_impossible_options_end_with_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from workloads import torchrec_dlrm

    with pytest.raises(SystemExit) as ended:
        torchrec_dlrm.parse(words, World(world_size=2))
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
