"""The suite of the role `tuner.interfaces.Searcher`: every method keeps the same promises."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args, get_type_hints

import pytest

from tests.unit.search.search_cases import (
    BIG,
    CONDITIONAL,
    REAL,
    TINY,
    ended,
    failed,
    job,
    waiting,
)
from tuner.expression import Value
from tuner.model import FailureKind, Trial, TrialState
from tuner.search import SEARCHERS, make_searcher
from tuner.space import Choice, Int, Space, key
from tuner.spec import JobSpec, Limit, Objective, Search

METHODS = [method for method in SEARCHERS if method != "auto"]
"""`auto` is one of the others: see tests/unit/search/test_search_methods.py."""
SPACES = {"tiny": TINY, "conditional": CONDITIONAL, "real": REAL, "big": BIG}


def rate(params: dict[str, Value]) -> float:
    """A smooth throughput, so that there is something to learn."""
    numbers = [float(v) for v in params.values() if not isinstance(v, str)]
    return 1000.0 / (1.0 + sum((x / 20.0 - 2.0) ** 2 for x in numbers)) + 10.0 * len(params)


def measured(number: int, params: dict[str, Value]) -> Trial:
    return ended(number, params, samples_per_s=rate(params))


def search(
    spec: JobSpec, count: int, run: Callable[[int, dict[str, Value]], Trial] = measured
) -> list[Trial]:
    """A whole search, one trial after the other, the baseline included."""
    trials = [run(0, spec.space.default())]
    searcher = make_searcher(spec, trials)
    while len(trials) < count and (suggestions := searcher.ask(1)):
        trials.append(run(len(trials), suggestions[0].params))
        searcher.tell(trials[-1])
    return trials


def keys(trials: Sequence[Trial]) -> list[str]:
    return [key(trial.params) for trial in trials]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", [TINY, replace(TINY, constraints=("nproc < 3",))])
def test_asks_every_member_once_and_then_nothing(method: str, space: Space) -> None:
    spec = job(space, method=method)
    trials = search(spec, 100)
    assert sorted(keys(trials)) == sorted(map(key, space.members()))
    assert make_searcher(spec, trials).ask(3) == []


@pytest.mark.parametrize("method", METHODS)
def test_a_large_space_with_few_members_is_searched_to_its_end(method: str) -> None:
    sums = Choice(options=tuple(range(10)))
    space = Space(params=dict.fromkeys("abcd", sums), constraints=("a + b + c + d <= 1",))
    trials = search(job(space, method=method), 10)
    assert len(trials) == 5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SPACES)
def test_suggests_members_and_none_twice(method: str, name: str) -> None:
    spec = job(SPACES[name], method=method)
    trials = [measured(0, spec.space.default())]
    searcher = make_searcher(spec, trials)
    for _ in range(4):
        for suggestion in searcher.ask(2):
            assert spec.space.problem(suggestion.params) is None
            assert suggestion.reason
            trials.append(measured(len(trials), suggestion.params))
        for trial in trials[-2:]:
            searcher.tell(trial)
    assert len(set(keys(trials))) == len(trials) == (6 if name == "tiny" else 9)


@pytest.mark.parametrize("method", METHODS)
def test_rebuilt_from_history_it_goes_on_as_before(method: str) -> None:
    spec = job(CONDITIONAL, method=method)
    trials = [measured(0, spec.space.default())]
    searcher = make_searcher(spec, trials)
    for _ in range(6):
        rebuilt = make_searcher(spec, trials)
        pair = searcher.ask(2)
        assert rebuilt.ask(2) == pair
        first, second = len(trials), len(trials) + 1
        trials += [waiting(first, pair[0].params), waiting(second, pair[1].params)]
        # The second ends first, and the first is still running at the next question.
        for number in (second, first - 1):
            trials[number] = measured(number, trials[number].params)
            searcher.tell(trials[number])


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_decides(method: str) -> None:
    runs = [keys(search(job(BIG, method=method, seed=seed), 10)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("method", METHODS)
def test_no_trial_of_any_state_is_suggested_again(method: str) -> None:
    spec = job(TINY, method=method)
    members = list(TINY.members())
    trials = [
        measured(0, members[0]),
        waiting(1, members[1]),
        replace(waiting(2, members[2]), state=TrialState.CANCELLED),
        failed(3, members[3], FailureKind.LOST),
        failed(4, members[4]),
    ]
    assert [s.params for s in make_searcher(spec, trials).ask(9)] == [members[5]]


@pytest.mark.parametrize("method", METHODS)
def test_the_default_is_left_to_the_controller(method: str) -> None:
    searcher = make_searcher(job(TINY, method=method), ())
    asked = [s.params for s in searcher.ask(9)]
    assert len(asked) == 5
    assert TINY.default() not in asked


@pytest.mark.parametrize("method", METHODS)
def test_goes_on_where_nothing_has_worked(method: str) -> None:
    trials = search(job(CONDITIONAL, method=method), 11, failed)
    assert len(set(keys(trials))) == 11


@pytest.mark.parametrize("method", METHODS)
def test_several_objectives_with_a_limit(method: str) -> None:
    objectives = (
        Objective(metric="samples_per_s", direction="maximize", weight=2.0),
        Objective(metric="usd", direction="minimize"),
    )
    limits = (Limit(metric="memory_gib", max=3.0),)
    spec = job(CONDITIONAL, method=method, objectives=objectives, limits=limits)

    def run(number: int, params: dict[str, Value]) -> Trial:
        nodes = float(params["nnodes"])
        return ended(number, params, samples_per_s=rate(params), usd=nodes, memory_gib=nodes)

    assert len(set(keys(search(spec, 12, run)))) == 12


MEMORY = Space(
    params={
        "batch": Int(low=1, high=4096, log=True, default=4),
        "dim": Choice(options=(8, 16, 32, 64, 128, 256)),
        "strategy": Choice(options=("data_parallel", "row_wise", "table_wise")),
    }
)


def out_of_memory(params: dict[str, Value]) -> bool:
    return float(params["batch"]) * float(params["dim"]) > 4096


def run_in_memory(number: int, params: dict[str, Value]) -> Trial:
    if out_of_memory(params):
        return failed(number, params)
    # All that run are as fast, so that nothing but the failures can teach.
    return ended(number, params, samples_per_s=1e4)


SEEDS = {"bayesian": 2, "tpe": 8, "genetic": 8, "swarm": 8}
"""Runs to average over; a Gaussian process takes a second for each and needs fewer."""


def failures(method: str, seeds: int) -> int:
    jobs = [job(MEMORY, method=method, seed=seed) for seed in range(seeds)]
    runs = [search(spec, 20, run_in_memory) for spec in jobs]
    # The first trials fill the space and cannot know better.
    return sum(out_of_memory(trial.params) for run in runs for trial in run[8:])


@pytest.mark.parametrize("method", SEEDS)
def test_learns_from_failures(method: str) -> None:
    assert failures(method, SEEDS[method]) < 0.8 * failures("random", SEEDS[method])


def best(method: str, seeds: int) -> float:
    jobs = [job(BIG, method=method, seed=seed) for seed in range(seeds)]
    return sum(max(rate(trial.params) for trial in search(spec, 20)) for spec in jobs)


@pytest.mark.parametrize("method", SEEDS)
def test_finds_better_than_chance(method: str) -> None:
    assert best(method, SEEDS[method]) > best("random", SEEDS[method])


def test_naming_the_methods_imports_none_of_them() -> None:
    code = (
        "import sys, tuner.search; print(sorted({'optuna', 'torch', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_method_of_a_job_file_is_there() -> None:
    assert set(get_args(get_type_hints(Search)["method"])) == set(SEARCHERS)
