"""Bayesian optimisation over the configurations themselves: a Gaussian process of the log gain,
another of what can run at all, and the untried configuration with the largest expected improvement.

What is known of a configuration before it is tried, such as its price, is not learned again: the
process models what is left (a grey box).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from tuner.known import Known
from tuner.model import Suggestion, Trial
from tuner.search.encode import Array, features
from tuner.search.gp import GaussianProcess
from tuner.search.history import Lesson, OneByOne
from tuner.search.transfer import Blend, Expectation
from tuner.search.unseen import Unseen
from tuner.space import Params
from tuner.spec import JobSpec

START = 4
"""Configurations that fill the space before a model is asked, the baseline included."""
START_KNOWN = 2
"""The same where something is known: that is a model to begin with."""
MIN_LESSONS = 2
LABEL_NOISE = 0.15
"""Variance of the labels 1 (may win) to -1 (failed), so that no border is drawn too sharply."""
LEAST_CHANCE = 1e-6
TOP = 5
"""Best configurations whose neighbours are candidates where the space is too large to list."""


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


class BayesianSearcher(OneByOne):
    """Fills the space, then goes where improvement is expected; every suggestion is untried."""

    def __init__(
        self,
        spec: JobSpec,
        trials: Sequence[Trial],
        known: Known | None = None,
        prior: Expectation | None = None,
    ) -> None:
        self._spec = spec
        self._known = known
        self._prior = prior
        super().__init__(spec, trials)
        self._unseen = Unseen(spec.space, self._history.taken)

    def _next(self) -> Suggestion | None:
        lessons = self._history.lessons()
        measured = sum(lesson.is_measured for _, lesson in lessons)
        place = len(self._history.taken) + 1
        start = START if self._known is None else START_KNOWN
        if self._prior is not None and place <= start and measured < MIN_LESSONS:
            return self._remembered(self._prior)
        if (place > start or self._prior is not None) and measured >= MIN_LESSONS:
            with threadpool_limits(1):  # on small matrices more threads only wait for each other
                return self._improving(lessons)
        params = self._unseen.farthest(self._history.rng())
        if params is None:
            return None
        early = f"space-filling start {place} of {start}"
        late = f"space-filling: only {measured} of {MIN_LESSONS} results to learn from"
        return Suggestion(params=params, reason=early if place <= start else late)

    def _remembered(self, prior: Expectation) -> Suggestion | None:
        """What is expected to be the best, at what is known today."""
        candidates = self._unseen.pool(self._history.rng(), prior.good())
        if not candidates:
            return None
        worth = prior.at(candidates)[0] + self._known_of(candidates)
        return Suggestion(
            params=candidates[int(worth.argmax())],
            reason=f"expected to be the best {prior.name}",
        )

    def _improving(self, lessons: Sequence[tuple[Params, Lesson]]) -> Suggestion | None:
        rng = self._history.rng()
        ranked = sorted(lessons, key=lambda told: (told[1].infeasible > 0, -told[1].score))
        good = [params for params, _ in ranked[:TOP]]
        candidates = self._unseen.pool(rng, [*good, *(self._prior.good() if self._prior else ())])
        if not candidates:
            return None
        outlook = self._outlook(lessons, candidates)
        worth = outlook.worth()
        chosen = rng.choice(np.flatnonzero(worth >= worth.max() - 1e-12).tolist())
        return Suggestion(
            params=candidates[chosen],
            reason=_reason(outlook, chosen, len(lessons)),
            predicted=self._predicted(float(outlook.mean[chosen])),
            expected_gain=None if outlook.best is None else math.exp(float(worth[chosen])),
        )

    def _predicted(self, gain: float) -> dict[str, float]:
        """The objective that is expected, where there is only one."""
        baseline = self._history.baseline()
        if baseline is None or len(self._spec.objectives) > 1:
            return {}
        (objective,) = self._spec.objectives
        sign = 1 if objective.direction == "maximize" else -1
        value = baseline.metrics[objective.metric] * math.exp(sign * gain / objective.weight)
        return {objective.metric: value}

    def _outlook(
        self, lessons: Sequence[tuple[Params, Lesson]], candidates: Sequence[Params]
    ) -> Outlook:
        measured = [(params, lesson) for params, lesson in lessons if lesson.is_measured]
        points = [params for params, _ in measured]
        known = self._known_of(points)
        targets = np.array([lesson.score for _, lesson in measured]) - known
        noise = np.array([lesson.noise**2 for _, lesson in measured])
        model = self._model(points, targets, noise)
        mean, deviation = model.predict(candidates)
        at_points = model.predict(points)[0] + known
        may_win = [lesson.infeasible <= 0 for _, lesson in measured]
        return Outlook(
            mean=mean + self._known_of(candidates),
            deviation=deviation,
            chance=self._chance(lessons, features(self._spec.space, candidates)),
            best=float(at_points[may_win].max()) if any(may_win) else None,
        )

    def _model(self, points: Sequence[Params], targets: Array, noise: Array) -> Blend:
        """As if what runs now had given what is expected of it (Ginsbourger et al. 2010): what is
        suggested beside it then lies elsewhere."""
        space, pending = self._spec.space, self._history.pending()
        told = Blend(space, self._prior, points, targets, noise)
        if not pending:
            return told
        targets = np.concatenate([targets, told.predict(pending)[0]])
        noise = np.concatenate([noise, np.zeros(len(pending))])
        return Blend(space, self._prior, [*points, *pending], targets, noise, told)

    def _chance(self, lessons: Sequence[tuple[Params, Lesson]], seen: Sequence[Array]) -> Array:
        labels = np.array([_label(lesson) for _, lesson in lessons])
        if labels.min() > 0:
            return np.ones(len(seen[0]))
        points = features(self._spec.space, [params for params, _ in lessons])
        model = GaussianProcess(points, labels, np.full(len(labels), LABEL_NOISE))
        mean, deviation = model.predict(seen)
        return np.asarray(ndtr(mean / np.sqrt(deviation**2 + LABEL_NOISE)))

    def _known_of(self, points: Sequence[Params]) -> Array:
        if self._known is None:
            return np.zeros(len(points))
        return np.array([self._known(params) for params in points])


def _label(lesson: Lesson) -> float:
    """1 for what may win; below 0, and the lower the further off it was, for what may not."""
    return 1.0 if lesson.infeasible <= 0 else -0.2 - 0.8 * lesson.infeasible


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """Logarithm of E[max(0, f - best)], by its tail where that vanishes (Ament et al. 2023)."""
    z = (mean - best) / deviation
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    near = np.log(np.maximum(z * ndtr(z) + density, 1e-300))
    far = -0.5 * z**2 - 0.5 * math.log(2 * math.pi) - 2 * np.log(np.maximum(-z, 1e-9))
    return np.asarray(np.log(deviation) + np.where(z > -5, near, far))


def _reason(outlook: Outlook, chosen: int, num_trials: int) -> str:
    risk_pct = 100 * (1 - float(outlook.chance[chosen]))
    risk = f", risk of failing {risk_pct:.0f} %" if risk_pct >= 1 else ""
    if outlook.best is None:
        return f"likeliest to keep the limits, after {num_trials} trials{risk}"
    mean, deviation = float(outlook.mean[chosen]), float(outlook.deviation[chosen])
    low, middle, high = (
        100 * math.expm1(mean + times * deviation - outlook.best) for times in (-1, 0, 1)
    )
    word = "refines" if mean > outlook.best else "explores"
    return (
        f"{word}: expected {middle:+.0f} % ({low:+.0f} to {high:+.0f} %) on the best so far{risk}"
    )
