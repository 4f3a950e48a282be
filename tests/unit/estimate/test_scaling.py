import random

import pytest

from tuner.estimate.scaling import (
    amdahl_speedup,
    data_parallel_s,
    equal_tasks_s,
    fastest_count,
    gustafson_speedup,
    longest_first_s,
    lower_bound_s,
    shared_tasks_s,
)


def test_a_thousand_tasks_of_a_second() -> None:
    assert equal_tasks_s(1000, 1.0, 10) == 100
    assert equal_tasks_s(1000, 1.0, 1) == 1000
    assert equal_tasks_s(1000, 1.0, 3) == 334
    assert equal_tasks_s(5, 1.0, 10) == 1


def test_a_slow_worker_gets_fewer_tasks() -> None:
    assert shared_tasks_s(30, 1.0, [1, 1, 1]) == 10
    assert shared_tasks_s(25, 1.0, [1, 1, 0.5]) == 10


def test_longest_first_is_as_bad_as_its_bound_says_and_not_worse() -> None:
    """Graham's worst case for 2 workers: 7 against an optimum of 6."""
    assert longest_first_s([3, 3, 2, 2, 2], [1, 1]) == 7
    assert longest_first_s([1, 1, 2], [1, 1]) == 2
    assert longest_first_s([1, 1, 4], [1, 2]) == 2
    rng = random.Random(3)
    for _ in range(50):
        tasks = [rng.uniform(1, 10) for _ in range(20)]
        least = lower_bound_s(tasks, [1.0] * 4)
        assert least <= longest_first_s(tasks, [1.0] * 4) <= (4 / 3 - 1 / 12) * least + 10 / 3


def test_no_schedule_beats_the_lower_bound() -> None:
    assert lower_bound_s([4, 1, 1], [1, 1]) == 4
    assert lower_bound_s([2, 2, 2], [2, 1]) == 2


def test_amdahl_and_gustafson() -> None:
    assert amdahl_speedup(10, 0.1) == pytest.approx(5.263, abs=1e-3)
    assert amdahl_speedup(10**9, 0.1) == pytest.approx(10)
    assert gustafson_speedup(10, 0.1) == pytest.approx(9.1)


def test_communication_ends_the_gain_of_more_gpus() -> None:
    def talk_s(n: int) -> float:
        return 0.01 * (n - 1)

    assert data_parallel_s(4, 1.0, talk_s, 0.1) == pytest.approx(0.1 + 0.25 + 0.03)
    assert fastest_count([1, 2, 4, 8, 16, 32], 1.0, talk_s) == 8
