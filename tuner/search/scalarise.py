"""Several objectives as one, along a direction drawn at random (ParEGO, Knowles 2006)."""

import random
from collections.abc import Sequence

import numpy as np

from tuner.search.encode import Array

SUM_SHARE = 0.05
"""Of the weighted sum beside the Chebyshev distance, so that no dominated point ties."""


def direction(num_objectives: int, rng: random.Random) -> tuple[float, ...]:
    """Weights that sum to 1, evenly over all such (the flat Dirichlet distribution)."""
    draws = [rng.expovariate(1.0) for _ in range(num_objectives)]
    return tuple(draw / sum(draws) for draw in draws)


FARTHEST = 2.0
"""Extents below the best that count; one failed reading must not flatten an objective."""


def scalarised(gains: Array, weights: Sequence[float], may_win: Sequence[bool]) -> Array:
    """[n, k] log gains, higher is better -> [n]: the augmented Chebyshev value, 0 at the ideal
    point of what may win (of all, where nothing may). Unlike a weighted sum it reaches the hollows
    of a front."""
    among = gains[np.asarray(may_win)] if any(may_win) else gains
    best, worst = among.max(axis=0), among.min(axis=0)
    scaled = np.clip((best - gains) / np.maximum(best - worst, 1e-12), -FARTHEST, FARTHEST)
    missing = scaled * np.asarray(weights)
    return np.asarray(-missing.max(axis=1) - SUM_SHARE * missing.sum(axis=1))
