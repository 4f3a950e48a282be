"""Changes of level and drift, found where they matter and not made up where there are none."""

import random

import pytest

from tuner.steady import change_in


def level(count: int, seed: int, sd: float = 0.03) -> list[float]:
    rng = random.Random(seed)
    return [1000.0 * (1 + rng.gauss(0, sd)) for _ in range(count)]


def slowed(values: list[float], at: int, drop: float) -> list[float]:
    return [v * (1 - drop) if i >= at else v for i, v in enumerate(values)]


@pytest.mark.parametrize("drop", [0.05, 0.10, -0.08])
def test_a_change_is_found_with_its_place_and_its_size(drop: float) -> None:
    for seed in range(40):
        at = random.Random(seed).randint(50, 190)
        change = change_in(slowed(level(240, seed), at, drop))
        assert change is not None
        assert change.at == pytest.approx(at, abs=15)
        assert change.relative == pytest.approx(-drop, abs=0.02)
        assert not change.is_gradual


def test_a_level_series_has_none() -> None:
    assert sum(change_in(level(240, seed)) is not None for seed in range(500)) <= 1


def test_small_changes_are_left_alone() -> None:
    assert change_in(slowed(level(240, 1, sd=0.001), 120, 0.01)) is None


def test_drift_is_told_from_a_step() -> None:
    drifting = [v * (1 - 0.1 * i / 240) for i, v in enumerate(level(240, 3, sd=0.01))]
    change = change_in(drifting)
    assert change is not None
    assert change.is_gradual


def test_a_change_does_not_hide_in_its_own_noise() -> None:
    # With both levels taken for one series, the change itself would pass for correlated noise.
    assert change_in(slowed(level(60, 2), 30, 0.3)) is not None


@pytest.mark.parametrize("values", [[], [5.0] * 10, [5.0] * 100, [0.0] * 100])
def test_too_few_or_equal_values_have_none(values: list[float]) -> None:
    assert change_in(values) is None
