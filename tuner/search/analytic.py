"""What the analytic model of a job expects of configurations, as a prior of the search."""

import math
from collections.abc import Sequence

import numpy as np

from tuner.estimate.calibrate import Calibration
from tuner.estimate.configuration import configuration_of
from tuner.estimate.devices import device_of
from tuner.estimate.planner import calibration_of, described
from tuner.estimate.step import step_of
from tuner.model import Trial
from tuner.search.encode import Array
from tuner.space import Params
from tuner.spec import JobSpec, Objective

SLOPE_SD = 0.5
"""How much stronger or weaker the effects may be than the formulas say."""
BY_RATE = frozenset({"samples_per_s", "usd_per_million_samples", "joules_per_sample"})
"""Metrics in proportion to the rate, or to its inverse; the price in them is known elsewhere."""


class AnalyticPrior:
    """Log gain by the predicted rate, calibrated by the trials so far, up to offset and slope."""

    name = "by the model of the job's work"

    def __init__(self, spec: JobSpec, trials: Sequence[Trial]) -> None:
        self._spec = spec
        self._work = described(spec)
        self._device = device_of(self._work.hardware)
        self._calibration: Calibration = calibration_of(spec, trials)
        self._weight = sum(o.weight for o in spec.objectives if o.metric in BY_RATE)
        self._centre = self._gain(spec.space.default())

    def at(self, points: Sequence[Params]) -> tuple[Array, Array]:
        """The mean [m], and what it may be off by: a slope, [m, 1], with a coefficient N(0, 1)."""
        mean = np.array([self._gain(params) - self._centre for params in points])
        return mean, SLOPE_SD * mean[:, None]

    def good(self) -> list[Params]:
        """Nothing was tried yet."""
        return []

    def _gain(self, params: Params) -> float:
        run = configuration_of(self._spec, params)
        step_s = step_of(self._work, self._device, run, self._calibration.factors).total_s
        return self._weight * math.log(run.global_batch / step_s)


def can_expect(spec: JobSpec) -> bool:
    """Whether a job tells its work, and an objective goes by the rate."""
    return spec.estimate is not None and any(_goes_by_rate(o) for o in spec.objectives)


def _goes_by_rate(objective: Objective) -> bool:
    return objective.metric in BY_RATE
