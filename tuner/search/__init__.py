"""How configurations are chosen: one file per method, one line in `SEARCHERS`.

Methods are imported when they are asked for: Optuna takes 0.7 s, SciPy's parts 0.4 s.
"""

from collections.abc import Callable, Sequence

from tuner.interfaces import Searcher
from tuner.known import Known
from tuner.model import Trial
from tuner.spec import JobSpec

GP_MAX_PARAMS = 16
GP_MAX_TRIALS = 200


def make_searcher(spec: JobSpec, trials: Sequence[Trial], known: Known | None = None) -> Searcher:
    """The searcher that a job asks for, having learned from its trials so far; `known` is what
    need not be learned."""
    return SEARCHERS[spec.search.method](spec, trials, known)


def _auto(spec: JobSpec, trials: Sequence[Trial], known: Known | None) -> Searcher:
    """A Gaussian process up to 16 parameters and 200 trials, which covers tuning by real runs;
    beyond that its fit is slow and its distances mean little, so a Parzen estimator."""
    is_moderate = len(spec.space.params) <= GP_MAX_PARAMS and spec.budget.trials <= GP_MAX_TRIALS
    return (_bayesian if is_moderate else _tpe)(spec, trials, known)


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
