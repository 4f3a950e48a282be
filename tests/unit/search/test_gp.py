"""The Gaussian process against what is known in closed form or by differences."""

import math

import numpy as np
import pytest

from tuner.search.gp import Array, GaussianProcess, Scales
from tuner.search.outlook import log_expected_improvement


def points(count: int, seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.random((count, 1)), rng.random((count, 1))]


def hills(at: list[Array]) -> Array:
    return np.asarray(np.sin(4 * at[0][:, 0]) + 0.1 * at[1][:, 0])


def fitted(count: int = 25) -> tuple[GaussianProcess, list[Array]]:
    seen = points(count)
    return GaussianProcess(seen, hills(seen), np.zeros(count)), seen


def test_gradient_of_the_fit_is_that_of_differences() -> None:
    model, _ = fitted(12)
    centre = Scales.prior(2).vector()
    at = centre + np.array([0.3, -0.2, 0.4, 1.0])
    _, gradient = model._loss(at, centre)
    for i in range(len(at)):
        step = np.zeros_like(at)
        step[i] = 1e-6
        slope = (model._loss(at + step, centre)[0] - model._loss(at - step, centre)[0]) / 2e-6
        assert gradient[i] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_it_predicts_what_it_has_not_seen() -> None:
    model, _ = fitted(30)
    fresh = points(50, seed=1)
    mean, deviation = model.predict(fresh)
    assert np.abs(mean - hills(fresh)).max() < 0.1
    assert (deviation < 0.2).all()


def test_it_goes_through_what_it_has_seen_and_is_unsure_far_away() -> None:
    model, seen = fitted()
    mean, deviation = model.predict(seen)
    assert mean == pytest.approx(hills(seen), abs=0.02)
    far = [np.array([[9.0]]), np.array([[9.0]])]
    assert model.predict(far)[1][0] > 5 * deviation.max()


def test_noise_of_a_target_is_believed() -> None:
    at = [np.array([[0.0], [0.5], [1.0]])]
    targets = np.array([0.0, 5.0, 0.0])
    sure = GaussianProcess(at, targets, np.zeros(3)).predict([np.array([[0.5]])])[0][0]
    unsure = GaussianProcess(at, targets, np.array([0.0, 25.0, 0.0]))
    assert sure == pytest.approx(5.0, abs=0.5)
    assert unsure.predict([np.array([[0.5]])])[0][0] < 0.5 * sure


def test_a_parameter_without_influence_gets_a_long_scale() -> None:
    model, _ = fitted(30)
    assert model.scales.lengths[1] > model.scales.lengths[0] + 0.5


def test_equal_targets_are_no_trouble() -> None:
    seen = points(5)
    mean, _ = GaussianProcess(seen, np.full(5, 2.0), np.zeros(5)).predict(points(3, seed=2))
    assert mean == pytest.approx(np.full(3, 2.0), abs=1e-6)


def test_expected_improvement_as_in_the_textbook() -> None:
    """By numeric integration of max(0, f - best) over the normal distribution of f."""
    for mean, best in ((0.3, 0.0), (-0.5, 0.2), (-2.0, 0.0)):
        grid = np.linspace(mean - 8, mean + 8, 400_001)
        density = np.exp(-0.5 * (grid - mean) ** 2) / math.sqrt(2 * math.pi)
        expected = float(np.trapezoid(np.maximum(grid - best, 0) * density, grid))
        found = log_expected_improvement(np.array([mean]), np.array([1.0]), best)[0]
        assert found == pytest.approx(math.log(expected), abs=1e-3)


def test_expected_improvement_keeps_its_order_where_it_vanishes() -> None:
    means = np.array([-40.0, -20.0, -10.0, -6.0, -5.01, -4.99, -4.0])
    found = log_expected_improvement(means, np.ones(7), 0.0)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
