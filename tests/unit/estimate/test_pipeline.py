import random

import pytest

from tuner.estimate.pipeline import (
    exposed_loader_s,
    loader_bound_share,
    loader_bound_share_varying,
)


def test_without_workers_loader_and_trainer_take_turns() -> None:
    assert exposed_loader_s(0.03, 0.07, workers=0) == 0.03


def test_the_slower_stage_sets_the_pace() -> None:
    assert 0.1 + exposed_loader_s(0.3, 0.1, workers=2) == pytest.approx(0.3 / 2)
    assert exposed_loader_s(0.3, 0.1, workers=4) == 0


def test_what_is_not_hidden_is_waited_for() -> None:
    assert exposed_loader_s(0.3, 0.1, workers=2) == pytest.approx(0.05)
    assert loader_bound_share(0.3, 0.1, workers=2) == pytest.approx(1 / 3)
    assert loader_bound_share(0.3, 0.1, workers=3) == 0


def test_stages_of_equal_pace_still_wait_where_they_vary() -> None:
    """M/M/1/K at ρ = 1 is empty for 1 / (K + 1) of the time; K = 1 · 2 + 1."""
    assert loader_bound_share_varying(0.1, 0.1, workers=1) == pytest.approx(1 / 4)


@pytest.mark.parametrize(("loader_s", "workers"), [(0.05, 1), (0.2, 1), (0.15, 2), (1e-6, 1)])
def test_varying_stages_wait_at_least_as_long(loader_s: float, workers: int) -> None:
    least = loader_bound_share(loader_s, 0.1, workers=workers)
    assert least <= loader_bound_share_varying(loader_s, 0.1, workers=workers) <= 1


def test_the_share_agrees_with_a_simulated_buffer() -> None:
    """One worker that stops while its batches wait, at most 2, one more being in use."""
    rng = random.Random(1)
    waiting, idle_s, total_s = 0, 0.0, 0.0
    for _ in range(100_000):
        loads = waiting < 3
        rate = (1 / 0.12 if loads else 0) + (1 / 0.1 if waiting else 0)
        passed = rng.expovariate(rate)
        total_s += passed
        idle_s += 0 if waiting else passed
        waiting += 1 if loads and rng.random() < 1 / 0.12 / rate else -1
    expected = loader_bound_share_varying(0.12, 0.1, workers=1)
    assert idle_s / total_s == pytest.approx(expected, abs=0.01)
