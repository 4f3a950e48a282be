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


def scalarised(gains: Array, weights: Sequence[float]) -> Array:
    """[n, k] log gains, higher is better -> [n]: the augmented Chebyshev value, 0 at the ideal
    point of what was seen. Unlike a weighted sum it reaches the hollows of a front."""
    best, worst = gains.max(axis=0), gains.min(axis=0)
    missing = (best - gains) / np.maximum(best - worst, 1e-12) * np.asarray(weights)
    return np.asarray(-missing.max(axis=1) - SUM_SHARE * missing.sum(axis=1))
