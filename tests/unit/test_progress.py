"""Where a job stands, from what the store holds."""

from dataclasses import replace

import pytest

from tests.unit.builders import attempt, failure, job, measurement, trial
from tuner.model import AttemptState, FailureKind
from tuner.progress import progress_of

TRIALS = [trial(0, outcome=measurement(1000)), trial(1, outcome=measurement(1500))]


def test_a_lost_arm_and_its_repetition_are_no_pair() -> None:
    lost = attempt(
        0,
        1,
        purpose="confirm",
        pair=0,
        state=AttemptState.FAILED,
        failure=failure(FailureKind.LOST),
    )
    again = attempt(0, 2, purpose="confirm", pair=0, measurement=measurement())
    assert progress_of(job(), TRIALS, [lost, again]).pairs_done == 0
    other = attempt(1, 1, purpose="confirm", pair=0, measurement=measurement())
    assert progress_of(job(), TRIALS, [lost, again, other]).pairs_done == 1


def test_pairs_of_the_second_candidate_count_from_the_start() -> None:
    arms = [
        attempt(n, p + 1, purpose="confirm", pair=p, measurement=measurement())
        for p in (0, 1, 8)
        for n in (0, 1)
    ]
    assert progress_of(job(), TRIALS, arms).pairs_done == 1


def test_gain_is_of_the_best_admissible_trial() -> None:
    unsteady = replace(TRIALS[1], number=2, measurement=measurement(9000, is_stable=False))
    progress = progress_of(job(), [*TRIALS, unsteady], [])
    assert progress.best is not None
    assert progress.best.number == 1
    assert progress.best_gain_pct is not None
    assert round(progress.best_gain_pct) == 50


def test_predictions_are_held_against_what_was_measured() -> None:
    told = [replace(t, predicted={"samples_per_s": 1200.0}) for t in TRIALS]
    assert progress_of(job(), told, []).prediction_error_pct == pytest.approx(20.0)
    assert progress_of(job(), TRIALS, []).prediction_error_pct is None
