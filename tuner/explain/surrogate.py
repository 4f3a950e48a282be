"""The model of a job's trials that explanations are read from: the one that the search asks."""

import random
from collections.abc import Sequence

import numpy as np

from tuner.known import NEVER, Known
from tuner.model import Trial
from tuner.search.encode import Array, features
from tuner.search.gp import GaussianProcess
from tuner.search.history import History
from tuner.search.scale import identity
from tuner.search.unseen import LISTABLE
from tuner.space import Params
from tuner.spec import JobSpec

MIN_TRIALS = 3
"""Fewer measured configurations say nothing about what matters."""
SAMPLES = 512
"""Configurations that stand for a space too large to list."""


class Surrogate:
    """A Gaussian process of the log gain over the baseline, what is known left out of it."""

    def __init__(self, spec: JobSpec, trials: Sequence[Trial], known: Known | None) -> None:
        lessons = History(spec, trials).lessons()
        measured = [(params, lesson) for params, lesson in lessons if lesson.is_measured]
        self.points: list[Params] = [params for params, _ in measured]
        self._space, self._known = spec.space, known
        self._scores = np.array([lesson.score for _, lesson in measured])
        self._noise = np.array([lesson.noise**2 for _, lesson in measured])
        self._model: GaussianProcess | None = None

    @property
    def is_known(self) -> bool:
        """Whether there is enough to learn from."""
        return len({identity(self._space, params) for params in self.points}) >= MIN_TRIALS

    def predict(self, points: Sequence[Params]) -> tuple[Array, Array]:
        """Mean and standard deviation of the log gain of each."""
        if self._model is None:
            targets = self._scores - self._known_of(self.points)
            self._model = GaussianProcess(features(self._space, self.points), targets, self._noise)
        mean, deviation = self._model.predict(features(self._space, points))
        return mean + self._known_of(points), deviation

    def candidates(self) -> list[Params]:
        """Every member of a small space, else some by chance, the same at every call."""
        size = self._space.raw_size()
        if size is not None and size <= LISTABLE:
            return [params for params in self._space.members() if self.is_placeable(params)]
        rng = random.Random(0)
        drawn = (self._space.sample(rng) for _ in range(SAMPLES))
        found = {identity(self._space, params): params for params in drawn if params}
        return [params for params in found.values() if self.is_placeable(params)]

    def is_placeable(self, params: Params) -> bool:
        """Whether there is room and a price for it, where that is known beforehand."""
        return self._known is None or self._known(params) > NEVER

    def is_varied(self, name: str) -> bool:
        """Whether configurations that were measured differ in a parameter where it applies."""
        return len({params[name] for params in self.points if name in params}) > 1

    def _known_of(self, points: Sequence[Params]) -> Array:
        if self._known is None:
            return np.zeros(len(points))
        return np.array([self._known(params) for params in points])
