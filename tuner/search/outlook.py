"""What a model expects of candidates, and what trying them is worth."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from tuner.search.encode import Array

LEAST_CHANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is expected of candidates, as log gains over the baseline; arrays of [m]."""

    mean: Array
    deviation: Array
    chance: Array
    """That it runs and keeps the limits."""
    best: float | None
    """The best so far that may win; None where nothing may yet."""

    def worth(self) -> Array:
        """Logarithm of the expected improvement times the chance that it counts."""
        chance = np.log(np.maximum(self.chance, LEAST_CHANCE))
        if self.best is None:
            return chance
        return chance + log_expected_improvement(self.mean, self.deviation, self.best)

    def told(self, chosen: int, num_trials: int) -> str:
        """The suggestion of a candidate in one line."""
        risk_pct = 100 * (1 - float(self.chance[chosen]))
        risk = f", risk of failing {risk_pct:.0f} %" if risk_pct >= 1 else ""
        if self.best is None:
            return f"likeliest to keep the limits, after {num_trials} trials{risk}"
        mean, deviation = float(self.mean[chosen]), float(self.deviation[chosen])
        low, middle, high = (
            100 * math.expm1(mean + times * deviation - self.best) for times in (-1, 0, 1)
        )
        word = "refines" if mean > self.best else "explores"
        expected = f"expected {middle:+.0f} % ({low:+.0f} to {high:+.0f} %)"
        return f"{word}: {expected} on the best so far{risk}"


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """Logarithm of E[max(0, f - best)], by its tail where that vanishes (Ament et al. 2023)."""
    z = (mean - best) / deviation
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    near = np.log(np.maximum(z * ndtr(z) + density, 1e-300))
    far = -0.5 * z**2 - 0.5 * math.log(2 * math.pi) - 2 * np.log(np.maximum(-z, 1e-9))
    return np.asarray(np.log(deviation) + np.where(z > -5, near, far))
