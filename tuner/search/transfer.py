"""What earlier jobs teach a new one: a prior mean of the log gain, and how such jobs differ.

Every earlier job is a Gaussian process of its own. Their average is what is expected of the new
job, up to an offset and a slope; how they differ from their average is how it may differ (the
sample covariance of related tasks, as in Wang et al. 2024, "Pre-trained Gaussian processes for
Bayesian optimization"). A plain process beside it, weighed by the evidence, takes over where the
history misleads.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tuner.known import PRICED
from tuner.model import Job, Trial
from tuner.search.encode import Array, features
from tuner.search.gp import GaussianProcess, Scales, Trend
from tuner.search.history import History
from tuner.search.scale import identity
from tuner.space import Params, Space, admits
from tuner.spec import JobSpec

MIN_POINTS = 4
"""Results without which an earlier job says nothing of a shape."""
FIT_POINTS = 100
"""So many of a job's results choose its length-scales; all of them count."""
SLOPE_SD = 0.35
"""How much stronger or weaker the effects of the new job may be."""
UNSURE = 0.1
"""Added to a job's own uncertainty (1 where it saw nothing near) before it is weighed."""
TOP = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What an earlier job found out."""

    points: tuple[Params, ...]
    gains: tuple[float, ...]
    """Log gains, less what its own prices told beforehand; up to a constant."""


class Expectation(Protocol):
    """A prior mean of the log gain, and how it may be off."""

    @property
    def name(self) -> str:
        """Whose expectation it is: `by 3 earlier jobs`."""
        ...

    def at(self, points: Sequence[Params]) -> tuple[Array, Array]:
        """The mean [m], and what it may be off by: columns [m, b], coefficients N(0, 1)."""
        ...

    def good(self) -> list[Params]:
        """Configurations that are worth a look, the best first."""
        ...


class Prior:
    """What sources expect of the configurations of a space."""

    def __init__(self, space: Space, sources: Sequence[Source]) -> None:
        self._space = space
        told = [_within(space, source) for source in sources]
        self._sources = [source for source in told if len(source.points) >= MIN_POINTS]
        self._models = [_smoothed(space, source) for source in self._sources]
        self._seen: dict[str, Array] = {}

    @property
    def num_sources(self) -> int:
        return len(self._sources)

    @property
    def name(self) -> str:
        return f"by {self.num_sources} earlier job{'s' if self.num_sources > 1 else ''}"

    def at(self, points: Sequence[Params]) -> tuple[Array, Array]:
        """The mean [m], and what it may be off by: columns [m, b], coefficients N(0, 1)."""
        names = [identity(self._space, params) for params in points]
        new = {n: p for n, p in zip(names, points, strict=True) if n not in self._seen}
        if new:
            self._seen.update(zip(new, self._rows(list(new.values())), strict=True))
        rows = np.array([self._seen[name] for name in names])
        return rows[:, 0], rows[:, 1:]

    def good(self) -> list[Params]:
        """The best that the sources tried."""
        ranked = sorted(
            (pair for s in self._sources for pair in zip(s.gains, s.points, strict=True)),
            key=lambda pair: -pair[0],
        )
        return [params for _, params in ranked[:TOP]]

    def _rows(self, points: Sequence[Params]) -> Array:
        at = features(self._space, points)
        predicted = [model.predict(at) for model in self._models]
        means = np.array([mean for mean, _ in predicted])
        widest = np.array([model.widest for model in self._models])[:, None]
        shares = np.array([deviation for _, deviation in predicted]) / widest
        weights = 1 / (shares**2 + UNSURE)
        weights /= weights.sum(axis=0)
        mean = (weights * means).sum(axis=0)
        apart = np.sqrt(weights) * (means - mean)
        return np.column_stack([mean, SLOPE_SD * mean, apart.T])


class Blend:
    """The posterior over configurations: of a plain process, and of one about the prior."""

    def __init__(
        self,
        space: Space,
        prior: Expectation | None,
        points: Sequence[Params],
        targets: Array,
        noise: Array,
        like: "Blend | None" = None,
    ) -> None:
        """`like`: the hyperparameters and weights of another, which are kept."""
        self._space = space
        self._prior = prior
        at = features(space, points)
        scales: Sequence[Scales | None] = [m.scales for m in like.models] if like else [None, None]
        self.models: list[GaussianProcess] = [GaussianProcess(at, targets, noise, scales[0])]
        self.weights: Array = np.ones(1)
        if prior is not None:
            mean, columns = prior.at(points)
            trend = Trend(columns=columns, spread=float(np.sqrt((columns**2).sum(axis=1).mean())))
            self.models.append(GaussianProcess(at, targets - mean, noise, scales[1], trend))
            self.weights = like.weights if like else _odds([m.evidence for m in self.models])

    def predict(self, candidates: Sequence[Params]) -> tuple[Array, Array]:
        """Mean and standard deviation [m] of the mixture."""
        at = features(self._space, candidates)
        found = [self.models[0].predict(at)]
        if self._prior is not None:
            expected, columns = self._prior.at(candidates)
            mean, deviation = self.models[1].predict(at, columns)
            found.append((mean + expected, deviation))
        weights = self.weights[:, None]
        means = np.array([mean for mean, _ in found])
        deviations = np.array([deviation for _, deviation in found])
        mean = (weights * means).sum(axis=0)
        variance = (weights * (deviations**2 + (means - mean) ** 2)).sum(axis=0)
        return mean, np.sqrt(variance)


def history_of(
    jobs: Sequence[Job], trials: Mapping[str, Sequence[Trial]], spec: JobSpec
) -> Prior | None:
    """What earlier jobs of the same workload with the same parameters teach; None where nothing.

    `trials`: by the id of the job. Pure: which jobs count is decided here.
    """
    related = [job for job in jobs if is_related(job.spec, spec)]
    prior = Prior(spec.space, [_source(spec, trials.get(job.id, ())) for job in related])
    return prior if prior.num_sources else None


def is_related(earlier: JobSpec, spec: JobSpec) -> bool:
    """Whether two jobs run the same program over the same parameters."""
    return _program(earlier) == _program(spec) and set(earlier.space.params) == set(
        spec.space.params
    )


def _program(spec: JobSpec) -> tuple[str | None, tuple[str, ...]]:
    """What runs, without its options."""
    return spec.workload.name, tuple(
        word for word in spec.workload.command or () if not word.startswith("-")
    )


def _source(spec: JobSpec, trials: Sequence[Trial]) -> Source:
    inside = [t for t in trials if _is_listed(spec.space, t.params)]
    lessons = History(spec, inside).lessons()
    prices = {identity(spec.space, t.params): _priced(spec, t) for t in inside}
    told = [
        (params, lesson.score - price)
        for params, lesson in lessons
        if (price := prices[identity(spec.space, params)]) is not None
    ]
    return Source(points=tuple(p for p, _ in told), gains=tuple(gain for _, gain in told))


def _priced(spec: JobSpec, trial: Trial) -> float | None:
    """The part of the log gain that the price of what the trial held makes up; None: unknown."""
    priced = [o for o in spec.objectives if o.metric in PRICED]
    if not priced:
        return 0.0
    measurement = trial.measurement
    per_hour = measurement.metrics.get("usd_per_hour", 0.0) if measurement is not None else 0.0
    if per_hour <= 0:
        return None
    weight = sum(o.weight if o.direction == "maximize" else -o.weight for o in priced)
    return weight * math.log(per_hour)


def _within(space: Space, source: Source) -> Source:
    """Only what the space has a place for: another machine's options say nothing of this one's."""
    told = [
        (params, gain)
        for params, gain in zip(source.points, source.gains, strict=True)
        if _is_listed(space, params)
    ]
    centre = math.fsum(gain for _, gain in told) / max(len(told), 1)
    return Source(points=tuple(p for p, _ in told), gains=tuple(g - centre for _, g in told))


def _is_listed(space: Space, params: Params) -> bool:
    """Whether every value lies on the scale of its parameter."""
    for name, value in params.items():
        parameter = space.params.get(name)
        if parameter is None or not admits(parameter, value):
            return False
    return True


def _smoothed(space: Space, source: Source) -> GaussianProcess:
    points, gains = features(space, source.points), np.array(source.gains)
    silent = np.zeros(len(gains))
    if len(gains) <= FIT_POINTS:
        return GaussianProcess(points, gains, silent)
    some = np.linspace(0, len(gains) - 1, FIT_POINTS).astype(int)
    fitted = GaussianProcess([column[some] for column in points], gains[some], silent[some])
    return GaussianProcess(points, gains, silent, fitted.scales)


def _odds(evidence: Sequence[float]) -> Array:
    """Even before anything is known."""
    weights = np.exp(np.array(evidence) - max(evidence))
    return np.asarray(weights / weights.sum())
