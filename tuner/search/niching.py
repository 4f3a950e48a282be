"""Diversity of fronts of three and more objectives, by reference directions (NSGA-III, Deb & Jain
2014): crowding distances say little where most of a population is on one front."""

from collections.abc import Iterator, Sequence

import numpy as np

from tuner.search.encode import Array
from tuner.search.scalarise import FARTHEST

DIVISIONS = 4
"""Steps along each axis of the simplex of directions (Das & Dennis 1998): 15 for three objectives,
35 for four."""


def reference_directions(num_objectives: int) -> Array:
    """[r, k]: all weights in steps of 1 / DIVISIONS that sum to 1."""
    return np.array(list(_compositions(DIVISIONS, num_objectives)), dtype=float) / DIVISIONS


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, parts - 1):
            yield first, *rest


def niched(gains: Array, fronts: Sequence[Sequence[int]]) -> list[int]:
    """Indices of [n, k] gains (higher is better), best first: front by front, and within each in
    turn from the direction that has the fewest so far, the one that lies nearest to it."""
    # By what the first front spans: one failed reading must not flatten an objective.
    best, nadir = gains[fronts[0]].max(axis=0), gains[fronts[0]].min(axis=0)
    extent = np.where(best > nadir, best - nadir, 1.0)
    scaled = np.clip((best - gains) / extent, 0.0, FARTHEST)
    directions = reference_directions(gains.shape[1])
    units = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    along = scaled @ units.T
    away = np.sqrt(np.maximum((scaled**2).sum(axis=1)[:, None] - along**2, 0.0))
    nearest = away.argmin(axis=1)
    counts = np.zeros(len(units), dtype=int)
    ordered: list[int] = []
    for front in fronts:
        left = list(front)
        while left:
            chosen = min(left, key=lambda i: (counts[nearest[i]], away[i, nearest[i]], i))
            counts[nearest[chosen]] += 1
            left.remove(chosen)
            ordered.append(chosen)
    return ordered
