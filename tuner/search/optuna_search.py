"""Samplers of Optuna as calculators: a study in memory, made from the history for each question.

Optuna never hears of conditions or constraints between parameters: it works on the whole box, with
parameters that do not apply at their lowest value, and what it wants is moved to the nearest
untried member. Numbers are given as scales, because an ordered parameter given as categories needs
about twice the trials.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import threadpool_limits

from tuner.expression import Value
from tuner.model import Suggestion, Trial
from tuner.search.history import Lesson, OneByOne
from tuner.search.scale import filled, ranked
from tuner.search.unseen import Unseen
from tuner.space import Choice, Float, Int, Params
from tuner.spec import JobSpec

# Its warnings tell of a fit that fell back to defaults, about which nobody can do anything.
optuna.logging.set_verbosity(optuna.logging.ERROR)

ASKS = 3
"""How often a sampler may want what is taken or no member, before the nearest untried is used."""
START = 5
"""Configurations that fill the space before a model is asked, the baseline included."""
MIN_LESSONS = 2
"""Results without which a sampler would only guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A sampler and how it is used."""

    sampler: Callable[[int], BaseSampler]
    """By its seed."""
    reason: str


def _parzen(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, n_startup_trials=1)


TPE = Method(sampler=_parzen, reason="likeliest to be good by Parzen estimators over {n} trials")


class OptunaSearcher(OneByOne):
    """Fills the space, then asks a sampler; every suggestion is an untried member."""

    def __init__(self, spec: JobSpec, trials: Sequence[Trial], method: Method) -> None:
        self._method = method
        super().__init__(spec, trials)
        self._unseen = Unseen(spec.space, self._history.taken)
        self._distributions = {n: _distribution(p) for n, p in spec.space.params.items()}

    def _next(self) -> Suggestion | None:
        lessons = self._history.lessons()
        place = len(self._history.taken) + 1
        if place > START and len(lessons) >= MIN_LESSONS:
            # On matrices this small more threads only wait for each other, and for the trials.
            with threadpool_limits(1):
                return self._modelled(lessons)
        params = self._unseen.farthest(self._history.rng())
        if params is None:
            return None
        start = f"space-filling start {place} of {START}"
        late = f"space-filling: only {len(lessons)} of {MIN_LESSONS} results to learn from"
        return Suggestion(params=params, reason=start if place <= START else late)

    def _modelled(self, lessons: Sequence[tuple[Params, Lesson]]) -> Suggestion | None:
        rng = self._history.rng()
        reason = self._method.reason.format(n=len(lessons))
        study = self._study(lessons, rng.getrandbits(31))
        refused: list[Params] = []
        while len(refused) < ASKS:
            asked = study.ask(self._distributions).params
            everything = {n: _from_optuna(p, asked[n]) for n, p in self._space.params.items()}
            params = self._space.active(everything)
            if self._unseen.has(params):
                return Suggestion(params=params, reason=reason)
            refused.append(params)
        nearest = self._unseen.nearest(refused[0], rng)
        if nearest is None:
            return None
        return Suggestion(
            params=nearest, reason=f"{reason}; the nearest configuration not tried yet"
        )

    def _study(self, lessons: Sequence[tuple[Params, Lesson]], seed: int) -> optuna.Study:
        study = optuna.create_study(direction="maximize", sampler=self._method.sampler(seed))
        is_constrained = any(lesson.infeasible > 0 for _, lesson in lessons)
        for params, lesson in lessons:
            study.add_trial(self._told(params, lesson, is_constrained))
        for params in self._history.pending():
            study.add_trial(self._trial(params, TrialState.RUNNING))
        return study

    def _told(self, params: Params, lesson: Lesson, is_constrained: bool) -> FrozenTrial:
        """A result for Optuna. What failed counts as complete with the worst value and a broken
        constraint, because samplers ignore trials that are told as failed."""
        trial = self._trial(params, TrialState.COMPLETE, (lesson.score,))
        if is_constrained:
            trial.set_constraint("infeasible", lesson.infeasible)
        return trial

    def _trial(
        self, params: Params, state: TrialState, values: Sequence[float] | None = None
    ) -> FrozenTrial:
        everything = filled(self._space, params)
        return optuna.trial.create_trial(
            state=state,
            values=values,
            params={n: _to_optuna(p, everything[n]) for n, p in self._space.params.items()},
            distributions=self._distributions,
        )


def _distribution(parameter: Int | Float | Choice) -> BaseDistribution:
    match parameter:
        case Float():
            return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
        case Int(log=True):
            return IntDistribution(parameter.low, parameter.values()[-1], log=True)
        case Int():
            return IntDistribution(parameter.low, parameter.values()[-1], step=parameter.step)
        case Choice(is_numeric=True):
            return IntDistribution(0, len(parameter.options) - 1)
        case Choice():
            return CategoricalDistribution(parameter.options)


def _to_optuna(parameter: Int | Float | Choice, value: Value) -> Value:
    if isinstance(parameter, Choice) and parameter.is_numeric:
        return ranked(parameter).index(value)
    return value


def _from_optuna(parameter: Int | Float | Choice, value: Value) -> Value:
    match parameter:
        case Choice(is_numeric=True):
            return ranked(parameter)[int(value)]
        case Int():
            steps = round((float(value) - parameter.low) / parameter.step)
            return parameter.low + steps * parameter.step
    return value
