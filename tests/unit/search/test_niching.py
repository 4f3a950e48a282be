"""Diversity on fronts of three objectives."""

import numpy as np

from tests.unit.search.search_cases import ended, job
from tuner.search.genetic import GeneticSearcher
from tuner.search.history import Lesson
from tuner.search.niching import niched, reference_directions
from tuner.search.population import Individual, survivors
from tuner.space import Int, Space
from tuner.spec import Objective


def test_directions_fill_the_simplex() -> None:
    directions = reference_directions(3)
    assert len(directions) == 15
    assert np.allclose(directions.sum(axis=1), 1)
    assert len({tuple(row) for row in directions.tolist()}) == 15


def test_every_direction_gets_its_nearest_before_any_gets_two() -> None:
    gains = np.array([[1.0, 0, 0], [0.99, 0.005, 0.005], [0.98, 0.01, 0.01], [0, 1, 0], [0, 0, 1]])
    assert set(niched(gains, [[0, 1, 2, 3, 4]])[:3]) >= {3, 4}


def test_a_better_front_comes_first_whatever_its_niche() -> None:
    gains = np.array([[1.0, 1, 1], [0.9, 0.9, 0.9], [1.1, 0.5, 0.5]])
    assert niched(gains, [[0, 2], [1]])[-1] == 1


def test_survivors_of_three_objectives_are_spread() -> None:
    crowd = [Individual({"x": i}, Lesson(0.0, (1 - i / 1e3, i / 1e3, 0.0), -1.0)) for i in range(9)]
    lonely = Individual({"x": 99}, Lesson(0.0, (0.0, 0.0, 1.0), -1.0))
    kept = survivors([*crowd, lonely], 2)
    assert 99 in {individual.params["x"] for individual in kept}


def test_three_objectives_are_bred_by_directions() -> None:
    objectives = tuple(Objective(metric=m, direction="maximize") for m in ("a", "b", "c"))
    spec = job(Space(params={"x": Int(low=0, high=40)}), method="genetic", objectives=objectives)
    trials = [ended(i, {"x": 7 * i}, a=1.0 + i, b=6.0 - i, c=2.0 + (i - 3) ** 2) for i in range(6)]
    (asked,) = GeneticSearcher(spec, trials).ask(1)
    assert "NSGA-III" in asked.reason
