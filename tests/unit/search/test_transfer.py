"""What earlier jobs teach, and that they cannot do much harm."""

import math
import random
from dataclasses import replace
from decimal import Decimal
from statistics import geometric_mean, median

import numpy as np
import pytest

from tests.unit.search.search_cases import ended, failed, job
from tuner.expression import Value
from tuner.model import Job, Trial
from tuner.prices import PriceBook, Rate
from tuner.search.bayesian import BayesianSearcher
from tuner.search.transfer import Blend, Prior, Source, history_of
from tuner.space import Choice, Int, Params, Space
from tuner.spec import JobSpec, Objective, Workload

SPACE = Space(
    params={
        "batch": Choice(options=tuple(2**i for i in range(5, 15))),
        "workers": Int(low=0, high=7),
        "strategy": Choice(options=("rows", "columns", "tables")),
    }
)
MEMBERS = list(SPACE.members())


def gain(params: Params, shift: float = 0.0) -> float:
    """A hill; `shift` moves its top as another model or machine would."""
    batch = math.log2(float(params["batch"])) - 10 - shift
    workers = float(params["workers"]) - 4
    strategy = {"rows": 0.0, "columns": -0.8, "tables": 0.4}[str(params["strategy"])]
    return -0.15 * batch**2 - 0.06 * workers**2 + strategy


def source(sign: float = 1.0, shift: float = 0.0, every: int = 5) -> Source:
    points = tuple(MEMBERS[::every])
    return Source(points=points, gains=tuple(sign * gain(p, shift) for p in points))


def elsewhere() -> Source:
    """A hill at the far end of the space, where this one has its valley."""
    turned = {"rows": "rows", "columns": "tables", "tables": "columns"}
    points = tuple(MEMBERS[::5])
    gains = tuple(gain({**p, "strategy": turned[str(p["strategy"])]}, -4.0) for p in points)
    return Source(points=points, gains=gains)


def trials_to_5pct(prior: Prior | None, seed: int) -> int:
    """Distinct trials of a search that begins somewhere."""
    point: Params = random.Random(seed).choice(MEMBERS)
    params = {
        n: replace(p, default=point[n]) if isinstance(p, Choice) else p
        for n, p in SPACE.params.items()
    }
    spec = job(Space(params=params), method="bayesian", seed=seed)
    best = max(gain(p) for p in MEMBERS)
    trials: list[Trial] = []
    while True:
        rate = 100 * math.exp(gain(point))
        trials.append(ended(len(trials), dict(point), samples_per_s=rate))
        if gain(point) >= best - math.log(1.05) or len(trials) == 60:
            return len(trials)
        point = BayesianSearcher(spec, trials, None, prior).ask(1)[0].params


def test_a_job_like_earlier_ones_is_solved_at_once() -> None:
    prior = Prior(SPACE, [source(shift=-0.4), source(shift=0.4)])
    assert median(trials_to_5pct(prior, seed) for seed in range(5)) <= 4


@pytest.mark.parametrize(
    "sources", [[source(sign=-1.0)], [elsewhere()], [elsewhere(), source(-1.0)]]
)
def test_history_that_misleads_costs_little(sources: list[Source]) -> None:
    prior = Prior(SPACE, sources)
    cold = geometric_mean(trials_to_5pct(None, seed) for seed in range(8))
    misled = geometric_mean(trials_to_5pct(prior, seed) for seed in range(8))
    assert misled <= 1.3 * cold


def test_the_first_suggestion_is_the_best_of_history_at_what_is_known() -> None:
    spec = job(SPACE, method="bayesian")
    prior = Prior(SPACE, [source(every=1)])
    baseline = [ended(0, spec.space.default(), samples_per_s=1.0)]
    asked = BayesianSearcher(spec, baseline, None, prior).ask(1)[0]
    assert asked.params == {"batch": 1024, "workers": 4, "strategy": "tables"}
    assert asked.reason == "expected to be the best by 1 earlier job"

    def dear(params: Params) -> float:
        return -5.0 if params["strategy"] == "tables" else 0.0

    asked = BayesianSearcher(spec, baseline, dear, prior).ask(1)[0]
    assert asked.params == {"batch": 1024, "workers": 4, "strategy": "rows"}


def test_history_that_is_contradicted_loses_its_weight() -> None:
    points = MEMBERS[::23]
    truth = np.array([gain(p) for p in points])
    silent = np.zeros(len(points))
    borne_out = Blend(SPACE, Prior(SPACE, [source()]), points, truth, silent)
    contradicted = Blend(SPACE, Prior(SPACE, [source(sign=-1.0)]), points, truth, silent)
    assert borne_out.weights[1] > 0.95
    assert contradicted.weights[1] < 0.3


def test_what_the_space_has_no_place_for_is_left_out() -> None:
    small = Space(params={**SPACE.params, "strategy": Choice(options=("rows", "columns"))})
    elsewhere = tuple(p for p in MEMBERS if p["strategy"] == "tables")
    silent = Source(points=elsewhere, gains=tuple(0.0 for _ in elsewhere))
    prior = Prior(small, [silent, source()])
    assert prior.num_sources == 1
    assert all(params["strategy"] != "tables" for params in prior.good())


# What counts as history


def earlier(identity: str, spec: JobSpec) -> Job:
    return Job(id=identity, spec=spec, created_at=ended(0, {}).created_at)


def tried(factor: float = 1.0) -> list[Trial]:
    return [
        ended(i, dict(p), samples_per_s=factor * math.exp(gain(p)))
        for i, p in enumerate(MEMBERS[::17])
    ]


def test_jobs_of_the_same_program_and_parameters_are_history() -> None:
    spec = job(SPACE)
    other = replace(spec, workload=Workload(command=("serve",)))
    with_options = replace(spec, workload=Workload(command=("train", "--epochs=3")))
    fewer = job(Space(params={"batch": SPACE.params["batch"]}))
    jobs = [earlier(n, s) for n, s in (("a", with_options), ("b", other), ("c", fewer))]
    trials = {"a": tried(), "b": tried(9.0), "c": tried(9.0)}
    prior = history_of(jobs, trials, spec)
    assert prior is not None
    assert prior.num_sources == 1
    assert history_of(jobs[1:], trials, spec) is None
    assert history_of(jobs, {}, spec) is None


def test_a_failure_of_an_earlier_job_counts_as_its_worst() -> None:
    spec = job(SPACE)
    trials = tried()
    broken: dict[str, Value] = {"batch": 16384, "workers": 4, "strategy": "tables"}
    for i, workers in enumerate(range(8)):
        trials.append(failed(100 + i, {**broken, "workers": workers}))
    prior = history_of([earlier("a", spec)], {"a": trials}, spec)
    assert prior is not None
    mean, _ = prior.at([broken, {"batch": 1024, "workers": 4, "strategy": "tables"}])
    assert mean[0] < mean[1] - 1


def test_prices_of_an_earlier_job_are_taken_out() -> None:
    """Twice the price of one strategy in the past says nothing of what it costs today."""
    spec = replace(
        job(SPACE),
        objectives=(Objective(metric="usd_per_million_samples", direction="minimize"),),
        prices=PriceBook(as_of="2026-11-01", per_core_hour=Rate(on_demand=Decimal("0.04"))),
    )
    trials = []
    for i, params in enumerate(MEMBERS[::7]):
        price = 9.0 if params["strategy"] == "tables" else 1.0
        usd = price / math.exp(gain(params))
        trials.append(ended(i, dict(params), usd_per_hour=price, usd_per_million_samples=usd))
    prior = history_of([earlier("a", spec)], {"a": trials}, spec)
    assert prior is not None
    mean, _ = prior.at([{"batch": 1024, "workers": 4, "strategy": s} for s in ("tables", "rows")])
    assert mean[0] - mean[1] == pytest.approx(0.4, abs=0.2)
    unpriced = [
        replace(t, measurement=replace(t.measurement, metrics={"usd_per_million_samples": 1.0}))
        for t in trials
        if t.measurement is not None
    ]
    assert history_of([earlier("a", spec)], {"a": unpriced}, spec) is None


def test_values_off_the_scale_of_the_new_job_are_not_remembered() -> None:
    narrow = Space(params={**SPACE.params, "workers": Int(low=1, high=7)})
    prior = Prior(narrow, [source(every=1)])
    assert prior.num_sources == 1
    assert all(narrow.contains(params) for params in prior.good())
    listed = Space(params={**SPACE.params, "workers": Choice(options=("auto", "off"))})
    words = Source(points=tuple({**p, "workers": "auto"} for p in MEMBERS[:9]), gains=(0.0,) * 9)
    assert Prior(listed, [words]).num_sources == 1
    assert Prior(SPACE, [words]).num_sources == 0
