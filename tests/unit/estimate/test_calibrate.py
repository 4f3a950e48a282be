from dataclasses import replace

import pytest

from tests.unit.builders import measurement, trial
from tuner.estimate.calibrate import calibrate
from tuner.estimate.error import error_of, median_error_pct
from tuner.estimate.factors import NAMES, PRIOR_SD, Factors
from tuner.estimate.probes import most_telling

BATCHES = (100, 1000, 10_000)


def linear(factors: Factors) -> list[float]:
    """Overhead and 10 µs a sample."""
    return [factors.overhead_s + factors.compute * 1e-5 * batch for batch in BATCHES]


def test_three_runs_find_the_truth() -> None:
    truth = Factors(compute=6.0, overhead_s=0.02)
    found = calibrate(linear, linear(truth))
    assert found.factors.compute == pytest.approx(6.0, rel=0.1)
    assert found.factors.overhead_s == pytest.approx(0.02, rel=0.15)
    assert found.runs == 3
    assert found.factors.calibrated == {"compute", "overhead_s"}
    assert found.error_before_pct is not None
    assert found.error_after_pct is not None
    assert found.error_before_pct > 45
    assert found.error_after_pct < 5


def test_what_runs_do_not_tell_stays_a_default() -> None:
    found = calibrate(linear, linear(Factors(compute=6.0))).factors
    assert found.calibrated == {"compute"}
    assert (found.memory, found.transfer) == pytest.approx((1.5, 1.4))


def test_one_run_leaves_open_which_factor_it_was() -> None:
    def single(factors: Factors) -> list[float]:
        return [factors.overhead_s + factors.compute * 2e-3 / 3]

    found = calibrate(single, [0.01]).factors
    assert single(found)[0] == pytest.approx(0.01, rel=0.2)
    assert "overhead_s" not in found.calibrated or "compute" not in found.calibrated


def test_without_runs_nothing_is_calibrated() -> None:
    found = calibrate(linear, [])
    assert found.factors == Factors()
    assert found.error_after_pct is None


def test_a_single_odd_run_does_not_drag_the_others_along() -> None:
    times = linear(Factors(compute=6.0, overhead_s=0.02))
    odd = [*times, times[0], times[1], times[2] * 10]
    found = calibrate(lambda factors: linear(factors) * 2, odd).factors
    assert linear(found)[2] == pytest.approx(times[2], rel=0.3)


def test_every_factor_has_a_prior() -> None:
    assert set(PRIOR_SD) == set(NAMES)


def test_the_largest_and_the_smallest_batch_tell_most() -> None:
    assert sorted(most_telling(linear, 2)) == [0, 2]
    assert len(most_telling(linear, 9)) == 3


def test_the_error_of_a_job_is_the_median_over_its_trials() -> None:
    trials = [
        replace(trial(n, outcome=measurement(rate)), predicted={"samples_per_s": 1000.0})
        for n, rate in enumerate([1000.0, 800.0, 2000.0])
    ]
    assert error_of(trials) == pytest.approx(25.0)
    unknown = [trial(0, outcome=measurement()), replace(trial(1), predicted={"samples_per_s": 1.0})]
    assert error_of(unknown) is None
    assert median_error_pct([1.1, 0.7], [1.0, 1.0]) == pytest.approx(20.0)
