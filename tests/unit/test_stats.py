"""The statistics that measuring and deciding share, against known values."""

import math
import random

import pytest

from tuner import stats


def test_t_quantile_as_in_the_tables() -> None:
    assert stats.t_quantile(0.95, 5) == pytest.approx(2.015, abs=0.001)
    assert stats.t_quantile(0.975, 9) == pytest.approx(2.262, abs=0.001)


def test_half_width_of_a_mean() -> None:
    assert stats.half_width([1.0, 2.0, 3.0], 0.975) == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)
    assert stats.half_width([1.0], 0.975) == math.inf


def test_batch_means_widen_for_correlated_series() -> None:
    rng = random.Random(3)
    series, level = [], 0.0
    for _ in range(2000):
        level = 0.95 * level + rng.gauss(0, 1)
        series.append(level)
    plain = stats.half_width(series, 0.975)
    assert stats.batch_means_half_width(series, 10, 0.975) > 2.5 * plain
    assert stats.batch_means_half_width(series[:15], 10, 0.975) == math.inf


def test_mser_cuts_a_settling_series_and_leaves_a_level_one() -> None:
    rng = random.Random(1)
    settling = [10 + 20 * math.exp(-i / 8) + rng.gauss(0, 0.5) for i in range(300)]
    assert 20 <= stats.mser_cut(settling) <= 80
    assert stats.mser_cut([7.0] * 200) == 0
    assert stats.mser_cut([1.0, 2.0]) == 0


def _correlated(rho: float, count: int, seed: int) -> list[float]:
    rng, level, series = random.Random(seed), 0.0, []
    for _ in range(count):
        level = rho * level + math.sqrt(1 - rho * rho) * rng.gauss(0, 1)
        series.append(level)
    return series


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_autoregressive_interval_covers_the_mean_of_correlated_series(rho: float) -> None:
    covered = 0
    for seed in range(200):
        series = _correlated(rho, 240, seed)
        half = stats.autoregressive_half_width(series, 0.975)
        covered += abs(sum(series) / len(series)) <= half
    assert covered >= 176


def test_autoregressive_interval_is_about_the_plain_one_where_nothing_is_correlated() -> None:
    series = _correlated(0.0, 2000, 5)
    plain = stats.half_width(series, 0.975)
    assert stats.autoregressive_half_width(series, 0.975) == pytest.approx(plain, rel=0.15)


def test_autoregressive_interval_of_few_or_equal_values() -> None:
    assert stats.autoregressive_half_width([1.0, 2.0] * 9, 0.975) == math.inf
    assert stats.autoregressive_half_width([3.0] * 40, 0.975) == 0.0


def test_long_run_variance_of_a_known_autoregression() -> None:
    # 1 / (1 - rho)^2 times the innovations' variance 1 - rho^2
    covariances = stats.autocovariances(_correlated(0.6, 50_000, 9), 8)
    assert stats.long_run_variance(covariances, 50_000) == pytest.approx(0.64 / 0.16, rel=0.1)
