"""`trimtab job explain`."""

import json

from tests.unit.cli.conftest import Invoke
from tests.unit.cli.fake_service import FakeService
from tuner.cli.explain import lines
from tuner.explain.nouns import Alternative, Compromise, Effect, Explanation, Importance

FOUND = Explanation(
    job_id="job_1",
    best=3,
    learned_from=9,
    method="by hand",
    importance=(
        Importance(name="nnodes", share_pct=71.6),
        Importance(name="precision", share_pct=None),
    ),
    together_pct=12.2,
    sensitivity=(
        Effect(name="nnodes", value=1, gain_pct=-20.0, low_pct=-25.0, high_pct=-15.0),
        Effect(
            name="nnodes",
            value=4,
            gain_pct=3.0,
            low_pct=-1.0,
            high_pct=7.0,
            measured_pct=-2.5,
            trial_number=5,
        ),
        Effect(
            name="nnodes",
            value=8,
            gain_pct=3.0,
            low_pct=-1.0,
            high_pct=7.0,
            trial_number=6,
            failure="out_of_memory",
        ),
    ),
    alternatives=(
        Alternative(
            trial_number=None,
            params={"nnodes": 1, "precision": "bf16"},
            gain_pct=-1.5,
            savings_pct={"cores": 50.0},
        ),
    ),
    front=(
        Compromise(
            trial_number=5,
            params={"nnodes": 4, "precision": "bf16"},
            gains_pct={"samples_per_s": 40.0, "usd_per_million_samples": -8.0},
        ),
    ),
)


def test_people_read_what_matters_and_what_was_not_varied() -> None:
    text = "\n".join(lines(FOUND, {"nnodes": 2, "precision": "bf16"}))
    assert "Best: trial 3. Learned from 9 measured trials." in text
    assert ["nnodes", "72", "%"] in [line.split() for line in text.splitlines()]
    assert ["precision", "not", "varied"] in [line.split() for line in text.splitlines()]
    assert ["several", "together", "12", "%"] in [line.split() for line in text.splitlines()]


def test_moves_show_the_prediction_and_what_was_measured() -> None:
    rows = [" ".join(line.split()) for line in lines(FOUND, {})]
    assert "nnodes 1 -20.0 % -25.0 % to -15.0 %" in rows
    assert "nnodes 4 +3.0 % -1.0 % to +7.0 % -2.5 % 5" in rows
    assert "nnodes 8 +3.0 % -1.0 % to +7.0 % out_of_memory 6" in rows


def test_alternatives_show_what_they_take_less() -> None:
    rows = [" ".join(line.split()) for line in lines(FOUND, {"nnodes": 2, "precision": "bf16"})]
    assert "predicted -1.5 % cores -50.0 % nnodes=1" in rows


def test_compromises_show_the_gain_of_each_objective() -> None:
    rows = [" ".join(line.split()) for line in lines(FOUND, {"nnodes": 2, "precision": "bf16"})]
    assert "Trial samples_per_s usd_per_million_samples Configuration" in rows
    assert "5 +40.0 % -8.0 % nnodes=4" in rows


def test_json_has_every_part_and_a_missing_job_is_told(
    invoke: Invoke, service: FakeService
) -> None:
    shown = invoke("job", "explain", "-o", "json")
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["note"].startswith("importance and sensitivity need 3")
    assert "Importance and sensitivity need 3" in invoke("job", "explain").stdout
    assert invoke("job", "explain", "nobody").exit_code == 3
