"""What the trials of a job teach, and which configurations are taken."""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tuner import decide
from tuner.model import Measurement, Suggestion, Trial, TrialState
from tuner.search.scale import identity
from tuner.space import Params
from tuner.spec import JobSpec

FAILED = 1.0
"""Infeasibility of what did not run, or not steadily; also of a limit broken by its own size."""
EXTREME = 20.0
"""Largest log gain believed, a factor of 5e8: a reading of 0 must not drown all others."""


class Lesson(NamedTuple):
    """What one trial teaches."""

    score: float
    """Log gain over the baseline, higher is better; the worst seen where nothing was measured."""
    gains: tuple[float, ...]
    """The same of each objective by itself."""
    infeasible: float
    """-1 to 1; above 0 the configuration must not win."""
    is_measured: bool = True
    """Whether score and gains are its own."""
    noise: float = 0.0
    """Standard deviation of the score, by the interval of its measurement."""
    measured_s: float = 0.0
    """What its measurement took; 0 where there is none."""
    usd_per_hour: float | None = None
    """The price of what it held; None where it is not known."""


class History:
    """The trials of a job by number, plus the suggestions of which no trial is known yet."""

    def __init__(self, spec: JobSpec, trials: Sequence[Trial]) -> None:
        self._spec = spec
        self._trials: dict[int, Trial] = {}
        self._asked: dict[str, Params] = {}
        # The default is the baseline, which the controller measures by itself.
        default = spec.space.default()
        self.taken: dict[str, Params] = {identity(spec.space, default): default}
        """Key -> configuration, of everything that must not be suggested again."""
        for trial in trials:
            self.add(trial)

    def add(self, trial: Trial) -> None:
        """A trial as it stands now; what was known of it before is replaced."""
        name = identity(self._spec.space, trial.params)
        self._trials[trial.number] = trial
        self._asked.pop(name, None)
        self.taken[name] = trial.params

    def ask(self, n: int, choose: Callable[[], Suggestion | None]) -> list[Suggestion]:
        """Up to `n` suggestions from `choose`, each taken before the next is chosen."""
        suggestions: list[Suggestion] = []
        while len(suggestions) < n and (suggestion := choose()) is not None:
            name = identity(self._spec.space, suggestion.params)
            self._asked[name] = self.taken[name] = suggestion.params
            suggestions.append(suggestion)
        return suggestions

    def pending(self) -> list[Params]:
        """Configurations whose result is still to come, in an order that a restart keeps."""
        waiting = [t.params for t in self._trials.values() if not t.state.is_finished]
        return sorted([*waiting, *self._asked.values()], key=self._identity)

    def baseline(self) -> Measurement | None:
        """What the default gave, once that is known."""
        return decide.baseline_of(list(self._trials.values()))

    def rng(self) -> random.Random:
        """Chance that is the same after a restart and never repeats as the history grows."""
        return random.Random(f"{self._spec.search.seed}-{len(self.taken)}")

    def lessons(self) -> list[tuple[Params, Lesson]]:
        """What every trial that has ended teaches, in the order of their numbers."""
        trials = [self._trials[number] for number in sorted(self._trials)]
        baseline = decide.baseline_of(trials)
        told = [(t.params, _lesson(self._spec, t, baseline)) for t in trials if _teaches(t)]
        worst = _worst(self._spec, [lesson for _, lesson in told if lesson is not None])
        return [(params, lesson or worst) for params, lesson in told]

    def _identity(self, params: Params) -> str:
        return identity(self._spec.space, params)


class OneByOne(ABC):
    """A searcher that chooses one configuration after the other, by the history of the job."""

    def __init__(self, spec: JobSpec, trials: Sequence[Trial]) -> None:
        self._space = spec.space
        self._history = History(spec, trials)

    def ask(self, n: int) -> list[Suggestion]:
        return self._history.ask(n, self._next)

    def tell(self, trial: Trial) -> None:
        self._history.add(trial)

    @abstractmethod
    def _next(self) -> Suggestion | None:
        """The next one; None where nothing is left."""


def _teaches(trial: Trial) -> bool:
    """What something outside lost or disturbed says nothing about the configuration."""
    if trial.measurement is not None and trial.measurement.is_disturbed:
        return False
    if trial.failure is not None:
        return trial.state.is_finished and not trial.failure.kind.is_infrastructure
    return trial.state is TrialState.COMPLETE


def _lesson(spec: JobSpec, trial: Trial, baseline: Measurement | None) -> Lesson | None:
    """What a trial's measurement says; None where an objective is missing or no number."""
    measurement = trial.measurement
    if measurement is None or any(o.metric not in measurement.metrics for o in spec.objectives):
        return None
    score = decide.score(spec, measurement, baseline)
    gains = tuple(decide.objective_gain(o, measurement, baseline) for o in spec.objectives)
    if not all(map(math.isfinite, (score, *gains))):
        return None
    score, gains = _bounded(score, EXTREME), tuple(_bounded(gain, EXTREME) for gain in gains)
    told = Lesson(
        score,
        gains,
        FAILED,
        noise=_noise(spec, measurement, baseline),
        measured_s=measurement.warmup_s + measurement.window_s,
        usd_per_hour=measurement.metrics.get("usd_per_hour"),
    )
    if trial.failure is not None or not measurement.is_stable:
        return told
    if decide.lacks_quality(spec, measurement, baseline):
        return told
    over = decide.violations(spec, measurement, baseline).values()
    infeasible = _bounded(max(over, default=-FAILED), FAILED)
    return told._replace(infeasible=infeasible)


def _worst(spec: JobSpec, lessons: Sequence[Lesson]) -> Lesson:
    """The lowest of each figure seen: what a failure counts as."""
    score = min((lesson.score for lesson in lessons), default=0.0)
    columns = zip(*(lesson.gains for lesson in lessons), strict=True)
    gains = tuple(min(column) for column in columns) or (0.0,) * len(spec.objectives)
    return Lesson(score, gains, FAILED, is_measured=False)


def _noise(spec: JobSpec, measurement: Measurement, baseline: Measurement | None) -> float:
    """Half the 95 % interval is about two standard deviations."""
    low, high = decide.score_interval(spec, measurement, baseline)
    return _bounded((high - low) / 4, FAILED)


def _bounded(value: float, size: float) -> float:
    return max(-size, min(size, value))
