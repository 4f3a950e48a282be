"""Directions through several objectives."""

import random

import numpy as np
import pytest

from tests.unit.search.search_cases import ended, job
from tuner.search.bayesian import BayesianSearcher
from tuner.search.scalarise import direction, scalarised
from tuner.space import Int, Space
from tuner.spec import Objective


def test_a_direction_is_a_share_for_each_objective() -> None:
    weights = direction(3, random.Random(1))
    assert sum(weights) == pytest.approx(1)
    assert min(weights) > 0


def test_the_hollow_of_a_front_can_be_the_best_of_a_direction() -> None:
    """No weighted sum would ever choose the middle one."""
    gains = np.array([[0.0, 1.0], [0.4, 0.4], [1.0, 0.0]])
    assert scalarised(gains, (0.5, 0.5), [True] * 3).argmax() == 1
    assert (gains @ np.array([0.5, 0.5])).argmax() != 1


def test_what_is_beaten_in_all_is_never_the_best() -> None:
    gains = np.array([[1.0, 1.0], [1.0, 0.9]])
    assert scalarised(gains, (1.0, 0.0), [True] * 2).argmax() == 0


def test_every_other_question_is_for_the_front() -> None:
    objectives = (
        Objective(metric="rate", direction="maximize"),
        Objective(metric="memory", direction="minimize", weight=3),
    )
    spec = job(Space(params={"x": Int(low=0, high=40)}), method="bayesian", objectives=objectives)
    trials = [ended(i, {"x": 9 * i}, rate=1.0 + 9 * i, memory=4.0 + 9 * i) for i in range(4)]
    reasons = [s.reason for s in BayesianSearcher(spec, trials).ask(2)]
    assert sum("for the front" in reason for reason in reasons) == 1
    assert any("% rate to" in reason for reason in reasons)


def test_a_failed_reading_does_not_flatten_an_objective() -> None:
    gains = np.array([[0.0, 0.3], [0.3, 0.0], [-20.0, 0.1]])
    values = scalarised(gains, (0.9, 0.1), [True, True, False])
    assert values[1] - values[0] > 0.5
