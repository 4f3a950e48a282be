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
