"""Search methods on a surface: Trimtab's, by way of the searcher that jobs get, and its peers."""

import importlib.util
import logging
import math
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Protocol

from benchmarks.surface import Surface
from tuner.expression import Value
from tuner.interfaces import Searcher
from tuner.model import Measurement, Trial, TrialState
from tuner.search import SEARCHERS, make_searcher
from tuner.search.scale import identity, position
from tuner.space import Choice, Params
from tuner.spec import Budget, JobSpec, Objective, Search, Workload

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from tuner.search.transfer import Prior, Source


TRANSFERS: dict[str, int | None] = {"transfer": None, "transfer-20": 20}
"""Trials remembered of each other task of the family; None is its whole table."""
OWN = (*SEARCHERS, "auto-unpriced", *TRANSFERS)
PEERS = (
    "optuna-random",
    "optuna-tpe",
    "optuna-tpe-5",
    "optuna-gp",
    "optuna-gp-5",
    "optuna-nsga2",
    "optuna-cmaes",
)
"""With their defaults; -5 begins with 5 random trials instead of 10, which suits few trials."""
AX = "ax"
HAS_AX = importlib.util.find_spec("ax") is not None


class Player(Protocol):
    """A search method on one surface."""

    def ask(self) -> Params | None: ...

    def tell(self, cost: float) -> None:
        """The cost of what was asked last."""
        ...


def make_player(
    surface: Surface, method: str, seed: int, trials: int, family: Sequence[Surface]
) -> Player:
    """`family`: the other tasks, which only the methods with a history may see."""
    if method in PEERS:
        return OptunaPlayer(surface, method, seed)
    if method == AX:
        return AxPlayer(surface, seed)
    spec = _spec(surface, "auto" if method not in SEARCHERS else method, seed, trials)
    if method in TRANSFERS:
        from tuner.search.bayesian import BayesianSearcher

        remembered = TRANSFERS[method]
        prior = _prior(surface, tuple(family), remembered, seed if remembered else 0)
        return TrimtabPlayer(
            spec, BayesianSearcher(spec, (), surface.known(), prior), surface.spend
        )
    known = None if method == "auto-unpriced" else surface.known()
    return TrimtabPlayer(spec, make_searcher(spec, (), known), surface.spend)


class TrimtabPlayer:
    """The default of the space is its baseline."""

    def __init__(self, spec: JobSpec, searcher: Searcher, spend: Mapping[str, float]) -> None:
        """`spend`: what trying a configuration costs, by its key."""
        self._searcher = searcher
        self._spend, self._space = spend, spec.space
        self._params = spec.space.default()
        self._told = 0

    def ask(self) -> Params | None:
        if self._told:
            suggestions = self._searcher.ask(1)
            if not suggestions:
                return None
            self._params = suggestions[0].params
        return self._params

    def tell(self, cost: float) -> None:
        spent = self._spend[identity(self._space, self._params)]
        self._searcher.tell(trial(self._told, self._params, cost, spent))
        self._told += 1


class OptunaPlayer:
    """A sampler of Optuna, numbers given by their rank in the list.

    Where it wants what was never measured it gets the nearest row: told as failed, gaps would teach
    it nothing, and it would ask for them again.
    """

    def __init__(self, surface: Surface, method: str, seed: int) -> None:
        import optuna
        from optuna import samplers

        made: dict[str, Callable[[], BaseSampler]] = {
            "optuna-random": lambda: samplers.RandomSampler(seed=seed),
            "optuna-tpe": lambda: samplers.TPESampler(seed=seed),
            "optuna-tpe-5": lambda: samplers.TPESampler(seed=seed, n_startup_trials=5),
            "optuna-gp": lambda: samplers.GPSampler(seed=seed),
            "optuna-gp-5": lambda: samplers.GPSampler(seed=seed, n_startup_trials=5),
            "optuna-nsga2": lambda: samplers.NSGAIISampler(seed=seed),
            "optuna-cmaes": lambda: samplers.CmaEsSampler(seed=seed),
        }
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._rows = Rows(surface)
        self._choices = surface.choices
        self._study = optuna.create_study(sampler=made[method]())
        self._study.enqueue_trial(ranks(self._choices, baseline(surface, seed)))

    def ask(self) -> Params | None:
        self._trial = self._study.ask()
        wanted = {name: self._suggested(name, choice) for name, choice in self._choices.items()}
        return self._rows.nearest(wanted)

    def _suggested(self, name: str, choice: Choice) -> Value:
        if choice.is_numeric:
            return choice.options[self._trial.suggest_int(name, 0, len(choice.options) - 1)]
        value: Value = self._trial.suggest_categorical(name, choice.options)  # type: ignore[assignment]
        return value

    def tell(self, cost: float) -> None:
        self._study.tell(self._trial, math.log(cost))


class AxPlayer:
    """Ax with its defaults, given the same parameters as Optuna."""

    def __init__(self, surface: Surface, seed: int) -> None:
        # It tells of every trial, and warns of what is deprecated in the libraries below it.
        warnings.simplefilter("ignore")
        logging.disable(logging.INFO)
        from ax.api.client import Client
        from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

        self._rows = Rows(surface)
        self._choices = surface.choices
        self._client = Client(random_seed=seed)
        self._client.configure_experiment(
            parameters=[
                RangeParameterConfig(name=n, bounds=(0, len(p.options) - 1), parameter_type="int")
                if p.is_numeric and len(p.options) > 1
                else ChoiceParameterConfig(
                    name=n, values=[str(o) for o in p.options], parameter_type="str"
                )
                for n, p in self._choices.items()
            ]
        )
        self._client.configure_optimization(objective="-cost")
        self._first: Params | None = baseline(surface, seed)
        self._number = -1

    def ask(self) -> Params | None:
        if self._first is not None:
            params, self._first = self._first, None
            given = {n: self._given(n, v) for n, v in params.items()}
            self._number = self._client.attach_trial(parameters=given)
            return params
        ((self._number, wanted),) = self._client.get_next_trials(max_trials=1).items()
        return self._rows.nearest({n: self._taken(n, v) for n, v in wanted.items()})

    def _given(self, name: str, value: Value) -> Value:
        choice = self._choices[name]
        return ranks({name: choice}, {name: value})[name] if _is_range(choice) else str(value)

    def _taken(self, name: str, value: Value) -> Value:
        choice = self._choices[name]
        if _is_range(choice):
            return choice.options[int(value)]
        return next(option for option in choice.options if str(option) == value)

    def tell(self, cost: float) -> None:
        self._client.complete_trial(self._number, raw_data={"cost": math.log(cost)})


class Rows:
    """The rows of a surface, by what lies near them."""

    def __init__(self, surface: Surface) -> None:
        self._space = surface.space
        self._rows = [(position(surface.space, params), params) for params in surface.members]

    def nearest(self, wanted: Params) -> Params:
        place = position(self._space, wanted)
        return min(self._rows, key=lambda row: math.dist(row[0], place))[1]


def ranks(choices: dict[str, Choice], params: Params) -> dict[str, Value]:
    """Numbers as their place in the list."""
    return {
        n: p.options.index(params[n]) if p.is_numeric else params[n] for n, p in choices.items()
    }


def baseline(surface: Surface, seed: int) -> dict[str, Value]:
    """The same for every method."""
    return random.Random(f"{surface.name}-{seed}").choice(surface.members)


@cache
def _prior(
    surface: Surface, family: tuple[Surface, ...], remembered: int | None, seed: int
) -> "Prior | None":
    """As of earlier jobs over the same parameters, of which so many trials are remembered."""
    from tuner.search.transfer import Prior

    names = surface.choices.keys()
    told = [_source(other, remembered, seed) for other in family if other.choices.keys() == names]
    prior = Prior(surface.space, told)
    return prior if prior.num_sources else None


def _source(surface: Surface, remembered: int | None, seed: int) -> "Source":
    from tuner.search.transfer import Source

    points = surface.members
    if remembered is not None and remembered < len(points):
        points = tuple(random.Random(f"{surface.name}-{seed}-past").sample(points, remembered))
    known = surface.known()
    costs = [surface.cost[identity(surface.space, params)] for params in points]
    gains = [
        -math.log(cost) - (known(params) if known else 0.0)
        for params, cost in zip(points, costs, strict=True)
    ]
    return Source(points=points, gains=tuple(gains))


def trial(number: int, params: Params, cost: float, spent: float) -> Trial:
    return Trial(
        job_id="replay",
        number=number,
        params=dict(params),
        state=TrialState.COMPLETE,
        reason="replayed",
        created_at=datetime.now(UTC),
        measurement=Measurement(
            metrics={"cost": cost}, window_s=spent, warmup_s=0, steps=1, samples=1
        ),
    )


def _is_range(choice: Choice) -> bool:
    return choice.is_numeric and len(choice.options) > 1


def _spec(surface: Surface, method: str, seed: int, trials: int) -> JobSpec:
    first = baseline(surface, seed)
    params = {n: replace(p, default=first[n]) for n, p in surface.choices.items()}
    return JobSpec(
        name="replay",
        workload=Workload(command=("replay",)),
        space=replace(surface.space, params=dict(params)),
        objectives=(Objective(metric="cost", direction="minimize"),),
        budget=Budget(trials=trials),
        search=Search(method=method, seed=seed),  # type: ignore[arg-type]
    )
