"""Bayesian optimisation over the configurations themselves: a Gaussian process of the log gain,
another of what can run at all, a third of what a trial costs, and the untried configuration with
the largest expected improvement for what it costs.

What is known of a configuration before it is tried, such as its price, is not learned again: the
process models what is left (a grey box).
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from tuner.known import NEVER, Known
from tuner.model import Suggestion, Trial
from tuner.search.encode import Array, features
from tuner.search.gp import GaussianProcess
from tuner.search.history import Lesson, OneByOne
from tuner.search.outlook import Outlook
from tuner.search.scalarise import direction, scalarised
from tuner.search.toll import expected_log_cost
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
TOP = 5
"""Best configurations whose neighbours are candidates where the space is too large to list."""


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
        known = self._known_of(candidates)
        if (known > NEVER).any():
            candidates = [p for p, told in zip(candidates, known, strict=True) if told > NEVER]
            known = known[known > NEVER]
        outlook = self._outlook(lessons, candidates, known)
        worth, toward = outlook.worth(), ""
        # What is on offer, whichever is chosen for its cost or for the front.
        offered = None if outlook.best is None else math.exp(float(worth.max()))
        ahead = worth
        if len(self._spec.objectives) > 1 and len(self._history.taken) % 2:
            weights = direction(len(self._spec.objectives), rng)
            ahead, toward = (
                self._along(weights, lessons, candidates, outlook.chance),
                self._named(weights),
            )
        best = ahead - self._log_cost(lessons, candidates, known)
        chosen = rng.choice(np.flatnonzero(best >= best.max() - 1e-12).tolist())
        return Suggestion(
            params=candidates[chosen],
            reason=f"{outlook.told(chosen, len(lessons))}{toward}",
            predicted=self._predicted(float(outlook.mean[chosen])),
            expected_gain=offered,
        )

    def _along(
        self,
        weights: Sequence[float],
        lessons: Sequence[tuple[Params, Lesson]],
        candidates: Sequence[Params],
        chance: Array,
    ) -> Array:
        """What candidates are worth along one direction of several objectives, so that the whole
        front is found, and not only what the weights of the job make of it."""
        measured = [(params, lesson) for params, lesson in lessons if lesson.is_measured]
        may_win = [lesson.infeasible <= 0 for _, lesson in measured]
        gains = np.array([lesson.gains for _, lesson in measured])
        values = scalarised(gains, weights, may_win)
        points = [params for params, _ in measured]
        model = self._model(None, points, values, np.zeros(len(values)))
        mean, deviation = model.predict(candidates)
        return Outlook(
            mean=mean,
            deviation=deviation,
            chance=chance,
            best=float(values[may_win].max()) if any(may_win) else None,
        ).worth()

    def _named(self, weights: Sequence[float]) -> str:
        shares = zip(self._spec.objectives, weights, strict=True)
        told = " to ".join(f"{100 * share:.0f} % {o.metric}" for o, share in shares)
        return f"; for the front, {told}"

    def _log_cost(
        self, lessons: Sequence[tuple[Params, Lesson]], candidates: Sequence[Params], known: Array
    ) -> Array:
        priced = None
        if self._known is not None:
            costly = [params for params, lesson in lessons if lesson.measured_s > 0]
            priced = self._known_of(costly), known
        return expected_log_cost(self._spec.space, lessons, candidates, priced)

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
        self, lessons: Sequence[tuple[Params, Lesson]], candidates: Sequence[Params], known: Array
    ) -> Outlook:
        measured = [(params, lesson) for params, lesson in lessons if lesson.is_measured]
        points = [params for params, _ in measured]
        there = self._known_of(points)
        targets = np.array([lesson.score for _, lesson in measured]) - there
        noise = np.array([lesson.noise**2 for _, lesson in measured])
        model = self._model(self._prior, points, targets, noise)
        mean, deviation = model.predict(candidates)
        at_points = model.predict(points)[0] + there
        may_win = [lesson.infeasible <= 0 for _, lesson in measured]
        return Outlook(
            mean=mean + known,
            deviation=deviation,
            chance=self._chance(lessons, features(self._spec.space, candidates)),
            best=float(at_points[may_win].max()) if any(may_win) else None,
        )

    def _model(
        self, prior: Expectation | None, points: Sequence[Params], targets: Array, noise: Array
    ) -> Blend:
        """As if what runs now had given what is expected of it (Ginsbourger et al. 2010): what is
        suggested beside it then lies elsewhere."""
        space, pending = self._spec.space, self._history.pending()
        told = Blend(space, prior, points, targets, noise)
        if not pending:
            return told
        targets = np.concatenate([targets, told.predict(pending)[0]])
        noise = np.concatenate([noise, np.zeros(len(pending))])
        return Blend(space, prior, [*points, *pending], targets, noise, told)

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
