"""Particle swarm with constriction (Clerc & Kennedy 2002), over untried configurations.

The trials are dealt to the particles in turn: what a particle tried are the places of its flight,
and its velocity is the way between the last two. All of it is read from the history, so that a
restarted search flies on.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuner.expression import Value
from tuner.known import Known
from tuner.model import Suggestion, Trial
from tuner.search.encode import Array
from tuner.search.history import OneByOne
from tuner.search.population import (
    START,
    Individual,
    at_share,
    fronts,
    is_ordered,
    most_promising,
    start,
    survivors,
)
from tuner.search.scale import coordinates, filled, identity, position
from tuner.search.unseen import Unseen
from tuner.space import Choice, Params, Space
from tuner.spec import JobSpec

PARTICLES = START
"""The start is where they begin; with more of them each would fly too few times."""
CONSTRICTION = 0.7298
ATTRACTION = 2.05
"""Towards the best of its own and of the swarm; with the constriction the values of the paper."""
MOVES = 8
"""Places that chance may lead a particle to, of which one is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Particle:
    """Where one is and was; arrays of coordinates."""

    place: Array
    velocity: Array
    best: Array | None
    """Of its own trials that have ended."""


class SwarmSearcher(OneByOne):
    """Fills the space, then flies; every suggestion is an untried member."""

    def __init__(self, spec: JobSpec, trials: Sequence[Trial], known: Known | None = None) -> None:
        self._known = known
        super().__init__(spec, trials)
        self._unseen = Unseen(spec.space, self._history.taken)

    def _next(self) -> Suggestion | None:
        told = [Individual(*pair) for pair in self._history.lessons()]
        place = len(self._history.taken) + 1
        rng = self._history.rng()
        if place <= START or not told:
            return start(self._unseen, rng, place, self._known)
        return self._flight(told, rng)

    def _flight(self, told: Sequence[Individual], rng: random.Random) -> Suggestion | None:
        flown = list(self._history.taken.values())
        turn = len(flown) % PARTICLES
        particle = replayed(self._space, flown[turn::PARTICLES], told, rng)
        leader = np.array(position(self._space, rng.choice(leaders(told)).params))
        reached = self._reached(particle, leader, rng)
        if not reached:
            return None
        return Suggestion(
            params=most_promising(self._space, told, reached, rng, self._known),
            reason=f"particle {turn + 1} of {PARTICLES} flies on, after {len(told)} trials (PSO)",
        )

    def _reached(
        self, particle: Particle, leader: Array, rng: random.Random
    ) -> list[dict[str, Value]]:
        """Untried members; where it reaches none, the nearest to one that it would."""
        moves = [rounded(self._space, moved(particle, leader, rng)) for _ in range(MOVES)]
        found = {identity(self._space, m): m for m in moves if self._unseen.has(m)}
        nearest = None if found else self._unseen.nearest(moves[0], rng)
        return list(found.values()) if nearest is None else [nearest]


def replayed(
    space: Space, flown: Sequence[Params], told: Sequence[Individual], rng: random.Random
) -> Particle:
    """The particle that has tried these configurations, in this order. Its first velocity is half
    the way to anywhere."""
    names = {identity(space, params) for params in flown}
    own = [individual for individual in told if identity(space, individual.params) in names]
    places = [np.array(position(space, params)) for params in flown[-2:]]
    anywhere = np.array([rng.random() for _ in places[-1]])
    is_first = len(places) == 1
    return Particle(
        place=places[-1],
        velocity=(anywhere - places[-1]) / 2 if is_first else places[-1] - places[0],
        best=np.array(position(space, leaders(own)[0].params)) if own else None,
    )


def leaders(told: Sequence[Individual]) -> list[Individual]:
    """What nothing beats; with several objectives every flight picks one of them."""
    best = survivors(told, PARTICLES)
    return [best[i] for i in fronts([individual.lesson for individual in best])[0]]


def moved(particle: Particle, leader: Array, rng: random.Random) -> Array:
    """Where it flies, chance weighing every direction by itself."""
    own, social = (ATTRACTION * np.array([rng.random() for _ in leader]) for _ in range(2))
    pull = social * (leader - particle.place)
    if particle.best is not None:
        pull += own * (particle.best - particle.place)
    return np.asarray(particle.place + CONSTRICTION * (particle.velocity + pull))


def rounded(space: Space, place: Array) -> dict[str, Value]:
    """The configuration at some coordinates, a member or not: numbers to the nearest on their
    scale, of categories the one with the largest coordinate."""
    lowest = filled(space, {})
    params: dict[str, Value] = {}
    begin = 0
    for name, parameter in space.params.items():
        end = begin + len(coordinates(parameter, lowest[name]))
        if is_ordered(parameter):
            params[name] = at_share(parameter, float(place[begin]))
        else:
            assert isinstance(parameter, Choice)
            params[name] = parameter.options[int(np.argmax(place[begin:end]))]
        begin = end
    return space.active(params)
