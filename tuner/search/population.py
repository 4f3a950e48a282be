"""What methods with a population share: the better of two trials, the place of a value on its
scale, a start, and what the neighbours of a configuration lead one to expect.
"""

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuner.expression import Value
from tuner.known import NEVER, Known
from tuner.model import Suggestion
from tuner.search.encode import Array
from tuner.search.history import Lesson
from tuner.search.niching import niched
from tuner.search.scale import ends, position, ranked
from tuner.search.unseen import Unseen
from tuner.space import Choice, Float, Int, Params, Space

START = 5
"""Configurations that fill the space before any is bred, the baseline included."""
NEIGHBOURS = 3
"""Nearest trials by which an untried configuration is judged."""
NICHED = 3
"""Objectives from which on a front is kept diverse by directions (NSGA-III), not by crowding."""
CHUNK = 64
"""Trials that are compared with each other at once, so that thousands stay quick."""


class Individual(NamedTuple):
    """A configuration and what its trial taught."""

    params: Params
    lesson: Lesson


def dominates(lessons: Sequence[Lesson]) -> NDArray[np.bool_]:
    """[i, j]: i is better than j by constrained domination (Deb et al. 2002): feasible before not,
    then the smaller violation, then no objective worse and one better."""
    gains = np.array([_gains(lesson) for lesson in lessons])
    broken = np.maximum([lesson.infeasible for lesson in lessons], 0.0)
    no_worse = (gains[:, None] >= gains[None]).all(axis=2)
    better = (gains[:, None] > gains[None]).any(axis=2)
    may_win = broken == 0
    pareto = no_worse & better & may_win[:, None] & may_win[None]
    return np.asarray((broken[:, None] < broken[None]) | pareto)


def fronts(lessons: Sequence[Lesson]) -> list[list[int]]:
    """Indices by Pareto rank: none of a front is dominated by another of it or of a later one."""
    above = dominates(lessons)
    left = np.ones(len(lessons), dtype=bool)
    found: list[list[int]] = []
    while left.any():
        front = left & ~above[left].any(axis=0)
        found.append(np.flatnonzero(front).tolist())
        left &= ~front
    return found


def crowding(lessons: Sequence[Lesson]) -> list[float]:
    """How far apart the neighbours of each lie on its front, infinite at the ends (NSGA-II)."""
    distances = np.zeros(len(lessons))
    for column in np.array([_gains(lesson) for lesson in lessons]).T:
        order = np.argsort(column, kind="stable")
        extent = float(column[order[-1]] - column[order[0]]) or 1.0
        distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / extent
        distances[order[[0, -1]]] = math.inf
    return [float(distance) for distance in distances]


def survivors(told: Sequence[Individual], size: int) -> list[Individual]:
    """The best, best first: by Pareto rank, within a front the loneliest; of three and more
    objectives those that are spread best over the directions."""
    kept: list[Individual] = []
    for begin in range(0, len(told), CHUNK):
        kept = _ordered([*kept, *told[begin : begin + CHUNK]])[:size]
    return kept


def _ordered(told: Sequence[Individual]) -> list[Individual]:
    ranks = fronts([individual.lesson for individual in told])
    gains = np.array([_gains(individual.lesson) for individual in told])
    if gains.shape[1] >= NICHED:
        return [told[i] for i in niched(gains, ranks)]
    ordered: list[Individual] = []
    for front in ranks:
        lonely = crowding([told[i].lesson for i in front])
        by_distance = sorted(zip(lonely, front, strict=True), key=lambda pair: -pair[0])
        ordered += [told[i] for _, i in by_distance]
    return ordered


def _gains(lesson: Lesson) -> tuple[float, ...]:
    """What is compared: the objectives, or the score where there is one."""
    return lesson.gains if len(lesson.gains) > 1 else (lesson.score,)


def most_promising(
    space: Space,
    told: Sequence[Individual],
    candidates: Sequence[dict[str, Value]],
    rng: random.Random,
    known: Known | None,
) -> dict[str, Value]:
    """One of the candidates that nothing beats, judged by the trials nearest to each.

    It is a weighted mean of what they gave, which is crude: it cannot expect more than the best
    seen (beyond what is known), but it saves trials beside the bad ones and the failures.
    """
    if known is not None:
        candidates = [p for p in candidates if known(p) > NEVER] or candidates
    expected = expect(space, told, candidates, known)
    return candidates[rng.choice(fronts(expected)[0])]


def expect(
    space: Space, told: Sequence[Individual], candidates: Sequence[Params], known: Known | None
) -> list[Lesson]:
    """The mean lesson of the nearest trials, weighed by inverse squared distance; where a part of
    the score is known, only the rest comes from them."""
    places = np.array([position(space, params) for params, _ in told])
    rows = np.array([(*_gains(lesson), lesson.infeasible) for _, lesson in told])
    if known is not None and rows.shape[1] == 2:
        rows[:, 0] -= [known(params) for params, _ in told]
    lessons = []
    for params in candidates:
        *gains, infeasible = _near(places, rows, np.array(position(space, params)))
        if known is not None and len(gains) == 1:
            gains[0] += known(params)
        lessons.append(Lesson(sum(gains), tuple(gains), infeasible))
    return lessons


def _near(places: Array, rows: Array, place: Array) -> list[float]:
    squares = ((places - place) ** 2).sum(axis=1)
    nearest = np.argsort(squares, kind="stable")[:NEIGHBOURS]
    weights = 1 / (squares[nearest] + 1e-9)
    return [float(x) for x in weights @ rows[nearest] / weights.sum()]


def start(
    unseen: Unseen, rng: random.Random, place: int, known: Known | None, size: int = START
) -> Suggestion | None:
    """The second trial is the best by what is known, where that tells any apart; the others fill
    the space."""
    if place == 2 and known is not None:
        best = _best_known(unseen, rng, known)
        if best is not None:
            return Suggestion(params=best, reason="best by what is known before any trial")
    farthest = unseen.farthest(rng)
    if farthest is None:
        return None
    reason = f"space-filling start {place} of {size}"
    late = "space-filling: no result yet to learn from"
    return Suggestion(params=farthest, reason=reason if place <= size else late)


def _best_known(unseen: Unseen, rng: random.Random, known: Known) -> dict[str, Value] | None:
    """What cannot be placed, or has no price, is left out."""
    told = [(worth, p) for p in unseen.pool(rng, []) if (worth := known(p)) > NEVER]
    most = max((worth for worth, _ in told), default=NEVER)
    best = [params for worth, params in told if worth == most]
    return rng.choice(best) if len(best) < len(told) else None


def at_share(parameter: Int | Float | Choice, where: float) -> Value:
    """The value nearest to a place on an ordered scale, from 0 to 1."""
    where = max(0.0, min(1.0, where))
    if isinstance(parameter, Choice):
        options = ranked(parameter)
        return options[round(where * (len(options) - 1))]
    low, high = ends(parameter)
    value = low * (high / low) ** where if parameter.log else low + where * (high - low)
    if isinstance(parameter, Float):
        return max(low, min(high, value))
    return parameter.values()[round((value - low) / parameter.step)]


def is_ordered(parameter: Int | Float | Choice) -> bool:
    """Whether nearness of its values means something."""
    return not isinstance(parameter, Choice) or parameter.is_numeric


def listed(parameter: Int | Choice) -> Sequence[Value]:
    """Its values in the order of their scale."""
    return ranked(parameter) if isinstance(parameter, Choice) else parameter.values()
