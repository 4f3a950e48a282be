"""How configurations are chosen: one file per method, one line in `SEARCHERS`.

Methods are imported when they are asked for: Optuna takes 0.7 s, SciPy's parts 0.4 s.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tuner.interfaces import Searcher
from tuner.known import Known
from tuner.model import Trial
from tuner.spec import JobSpec

if TYPE_CHECKING:
    from tuner.search.transfer import Expectation

GP_MAX_PARAMS = 16
GP_MAX_TRIALS = 200


def make_searcher(
    spec: JobSpec,
    trials: Sequence[Trial],
    known: Known | None = None,
    prior: "Expectation | None" = None,
) -> Searcher:
    """The searcher that a job asks for, having learned from its trials so far; `known` is what
    need not be learned, `prior` what a model expects beforehand."""
    if prior is not None and is_bayesian(spec):
        from tuner.search.bayesian import BayesianSearcher

        return BayesianSearcher(spec, trials, known, prior)
    return SEARCHERS[spec.search.method](spec, trials, known)


def is_bayesian(spec: JobSpec) -> bool:
    """Whether the method that a job asks for is a model, which may expect something beforehand."""
    is_auto = spec.search.method == "auto" and _is_moderate(spec)
    return is_auto or spec.search.method == "bayesian"


def _is_moderate(spec: JobSpec) -> bool:
    return len(spec.space.params) <= GP_MAX_PARAMS and spec.budget.trials <= GP_MAX_TRIALS


def _auto(spec: JobSpec, trials: Sequence[Trial], known: Known | None) -> Searcher:
    """A Gaussian process up to 16 parameters and 200 trials, which covers tuning by real runs;
    beyond that its fit is slow and its distances mean little, so a Parzen estimator."""
    return (_bayesian if _is_moderate(spec) else _tpe)(spec, trials, known)


def _bayesian(spec: JobSpec, trials: Sequence[Trial], known: Known | None) -> Searcher:
    from tuner.search.bayesian import BayesianSearcher

    return BayesianSearcher(spec, trials, known)


def _tpe(spec: JobSpec, trials: Sequence[Trial], known: Known | None) -> Searcher:
    from tuner.search.optuna_search import TPE, OptunaSearcher

    return OptunaSearcher(spec, trials, TPE)


def _genetic(spec: JobSpec, trials: Sequence[Trial], known: Known | None) -> Searcher:
    from tuner.search.genetic import GeneticSearcher

    return GeneticSearcher(spec, trials, known)


def _swarm(spec: JobSpec, trials: Sequence[Trial], known: Known | None) -> Searcher:
    from tuner.search.swarm import SwarmSearcher

    return SwarmSearcher(spec, trials, known)


def _random(spec: JobSpec, trials: Sequence[Trial], known: Known | None) -> Searcher:
    from tuner.search.random import RandomSearcher

    return RandomSearcher(spec, trials)


def _grid(spec: JobSpec, trials: Sequence[Trial], known: Known | None) -> Searcher:
    from tuner.search.grid import GridSearcher

    return GridSearcher(spec, trials)


SEARCHERS: dict[str, Callable[[JobSpec, Sequence[Trial], Known | None], Searcher]] = {
    "auto": _auto,
    "bayesian": _bayesian,
    "tpe": _tpe,
    "genetic": _genetic,
    "swarm": _swarm,
    "random": _random,
    "grid": _grid,
}
