"""How particles fly, and how their flight is read from the history."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from tests.unit.search.search_cases import CONDITIONAL, ended, job, waiting
from tuner.search import make_searcher
from tuner.search.history import Lesson
from tuner.search.population import Individual
from tuner.search.scale import position
from tuner.search.swarm import PARTICLES, Particle, leaders, moved, replayed, rounded
from tuner.space import Int, Params, Space

PLANE = Space(params={"x": Int(low=0, high=10), "y": Int(low=0, high=10)})


def lesson(*gains: float, infeasible: float = -1.0) -> Lesson:
    return Lesson(sum(gains), gains, infeasible)


def told(x: int, y: int, score: float, infeasible: float = -1.0) -> Individual:
    return Individual({"x": x, "y": y}, lesson(score, infeasible=infeasible))


def test_a_flight_is_read_from_what_was_tried() -> None:
    flown: list[Params] = [{"x": 0, "y": 0}, {"x": 2, "y": 8}, {"x": 5, "y": 7}]
    trials = [told(0, 0, 1.0), told(9, 9, 5.0), told(2, 8, 3.0), told(5, 7, 9.0, infeasible=1.0)]
    particle = replayed(PLANE, flown, trials, random.Random(0))
    assert particle.place == pytest.approx([0.5, 0.7])
    assert particle.velocity == pytest.approx([0.3, -0.1])
    # Its own best: neither another's nor what must not win.
    assert particle.best == pytest.approx([0.2, 0.8])


def test_at_first_it_has_some_velocity_and_may_have_no_best() -> None:
    particle = replayed(PLANE, [{"x": 10, "y": 0}], [], random.Random(0))
    assert -0.5 <= particle.velocity[0] < 0 < particle.velocity[1] <= 0.5
    assert particle.best is None


def test_a_particle_between_its_best_and_the_leader_keeps_its_course() -> None:
    place = np.array([0.5, 0.5])
    particle = Particle(place=place, velocity=np.array([0.1, 0.0]), best=place)
    assert moved(particle, place, random.Random(0)) == pytest.approx([0.57298, 0.5])


def test_a_particle_is_drawn_to_its_best_and_to_the_leader() -> None:
    still = Particle(place=np.array([0.0]), velocity=np.array([0.0]), best=np.array([1.0]))
    ends = [moved(still, np.array([1.0]), random.Random(seed))[0] for seed in range(500)]
    assert min(ends) >= 0
    assert max(ends) <= 0.7298 * 4.1
    assert np.mean(ends) == pytest.approx(0.7298 * 2.05, rel=0.1)


def test_a_flight_lands_where_it_was_heading() -> None:
    strategy: Params = {"strategy": "table_wise", "columns": 3}
    params: Params = {"nnodes": 3, "batch": 512, **strategy, "fused": True}
    place = np.array(position(CONDITIONAL, params))
    assert rounded(CONDITIONAL, place) == params
    assert rounded(CONDITIONAL, place + 0.1) == params
    far = rounded(CONDITIONAL, np.full(len(place), 9.0))
    assert far["nnodes"] == 4


def test_with_one_objective_one_leads_and_with_several_the_front() -> None:
    one = [told(0, 0, 1.0), told(1, 1, 2.0)]
    assert leaders(one) == [one[1]]
    several = [Individual({"x": i, "y": i}, lesson(float(i), float(-i))) for i in range(3)]
    assert len(leaders(several)) == 3


def test_dominated_trials_do_not_lead() -> None:
    several = [Individual({"x": i, "y": i}, lesson(float(i), float(i))) for i in range(3)]
    assert leaders(several) == [several[2]]


def test_particles_fly_in_turn_also_while_others_are_under_way() -> None:
    spec = job(PLANE, method="swarm")
    corners = [(0, 0), (10, 10), (0, 10), (10, 0), (5, 5)]
    trials = [ended(i, {"x": x, "y": y}, samples_per_s=1.0 + i) for i, (x, y) in enumerate(corners)]
    trials.append(waiting(5, {"x": 3, "y": 3}))
    reasons = [s.reason for s in make_searcher(spec, trials).ask(4)]
    turns = [f"particle {turn} of {PARTICLES}" for turn in (2, 3, 4, 5)]
    assert [reason.split(" flies")[0] for reason in reasons] == turns


def test_a_particle_flies_on_from_what_it_tried_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    flights: list[list[Params]] = []

    def recorded(
        space: Space, flown: Sequence[Params], told: Sequence[Individual], rng: random.Random
    ) -> Particle:
        flights.append(list(flown))
        return replayed(space, flown, told, rng)

    monkeypatch.setattr("tuner.search.swarm.replayed", recorded)
    spec = job(Space(params={"x": Int(low=0, high=100)}), method="swarm")
    trials = [ended(i, {"x": 10 * i}, samples_per_s=1.0 + i) for i in range(8)]
    make_searcher(spec, trials).ask(1)
    assert flights == [[{"x": 30}]]
