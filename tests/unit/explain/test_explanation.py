"""What trials say together, on spaces where the answer is known."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.unit.builders import NOON, measurement, spec, trial
from tuner.explain.explanation import explain
from tuner.explain.nouns import Effect, Explanation
from tuner.explain.surrogate import Surrogate
from tuner.expression import Value
from tuner.model import Failure, FailureKind, Job, Placement, Trial, TrialState
from tuner.space import Params
from tuner.spec import JobSpec

BATCHES = (256, 512, 1024, 2048)
WORKERS = (0, 1, 2)
ALL: list[dict[str, Value]] = [
    {"global_batch_size": b, "loader_workers": w} for b, w in itertools.product(BATCHES, WORKERS)
]
PRICES = {"as_of": "2026-11-01", "per_core_hour": {"on_demand": 0.1}}


def tried(rate: Callable[[Params], float], points: Sequence[dict[str, Value]]) -> list[Trial]:
    return [
        trial(number, params, measurement(rate(params), half_width_pct=0.1))
        for number, params in enumerate(points)
    ]


def workers_as_cores(params: Params) -> Placement | None:
    cores = range(1 + int(params.get("loader_workers", 0)))
    return Placement(cores=(tuple(cores),), gpus=((),))


def explained(job_spec: JobSpec, trials: list[Trial]) -> Explanation:
    job = Job(id="job_1", spec=job_spec, created_at=NOON)
    return explain(job, trials, None, workers_as_cores)


def by_batch(params: Params) -> float:
    return 1000 * math.sqrt(float(params["global_batch_size"]))


def by_both(params: Params) -> float:
    """Log gains of 0 to 3 steps of batch and 0 to 2 steps of workers, nothing together."""
    steps = math.log2(float(params["global_batch_size"]) / 256)
    return 1000 * math.exp(0.1 * steps + 0.1 * float(params["loader_workers"]))


def by_match(params: Params) -> float:
    """Only both together matter: workers help large batches as much as they hurt small ones."""
    side = 1 if float(params["global_batch_size"]) > 512 else -1
    return 1000 * math.exp(0.2 * side * (float(params["loader_workers"]) - 1))


def test_all_variance_belongs_to_the_one_parameter_that_matters() -> None:
    found = explained(spec(), tried(by_batch, ALL))
    assert [one.name for one in found.importance] == ["global_batch_size", "loader_workers"]
    assert found.importance[0].share_pct == pytest.approx(100, abs=2)
    assert found.importance[1].share_pct == pytest.approx(0, abs=2)
    assert found.together_pct == pytest.approx(0, abs=2)
    assert found.learned_from == 12


def test_shares_are_those_of_the_variances() -> None:
    """Equal steps: variances of 0..3 and of 0..2 are 5/4 and 2/3."""
    found = explained(spec(), tried(by_both, ALL))
    shares = {one.name: one.share_pct for one in found.importance}
    assert shares["global_batch_size"] == pytest.approx(100 * 1.25 / (1.25 + 2 / 3), abs=3)
    assert shares["loader_workers"] == pytest.approx(100 * (2 / 3) / (1.25 + 2 / 3), abs=3)


def test_what_only_works_together_is_told_apart() -> None:
    found = explained(spec(), tried(by_match, ALL))
    assert found.together_pct == pytest.approx(100, abs=5)


def test_a_parameter_that_was_not_varied_has_no_share_and_no_moves() -> None:
    found = explained(spec(), tried(by_batch, [p for p in ALL if p["loader_workers"] == 0]))
    assert [(one.name, one.share_pct is None) for one in found.importance] == [
        ("global_batch_size", False),
        ("loader_workers", True),
    ]
    assert {effect.name for effect in found.sensitivity} == {"global_batch_size"}


def test_few_trials_say_nothing_about_what_matters() -> None:
    found = explained(spec(), tried(by_batch, ALL[:2]))
    assert found.importance == ()
    assert found.best == 0
    assert found.note == "importance and sensitivity need 3 different measured configurations"


def test_equal_results_are_no_division_by_zero() -> None:
    found = explained(spec(), tried(lambda params: 1000.0, ALL))
    assert all(one.share_pct == pytest.approx(0) for one in found.importance)
    assert found.together_pct is None


def effect_of(found: Explanation, name: str, value: Value) -> Effect:
    return next(e for e in found.sensitivity if (e.name, e.value) == (name, value))


def test_moves_of_the_best_are_predicted_and_compared_with_what_was_measured() -> None:
    left_out = {"global_batch_size": 1024, "loader_workers": 2}
    found = explained(spec(), tried(by_both, [p for p in ALL if p != left_out]))
    assert found.best is not None
    tried_one = effect_of(found, "loader_workers", 0)
    assert tried_one.measured_pct == pytest.approx(100 * math.expm1(-0.2), abs=0.1)
    assert tried_one.gain_pct == pytest.approx(tried_one.measured_pct, abs=2)
    untried = effect_of(found, "global_batch_size", 1024)
    assert untried.trial_number is None
    assert untried.measured_pct is None
    assert untried.low_pct < 100 * math.expm1(-0.1) < untried.high_pct
    assert untried.high_pct - untried.low_pct > tried_one.high_pct - tried_one.low_pct
    assert len(found.sensitivity) == 5  # three other batches and two other numbers of workers


def test_a_move_that_failed_says_how() -> None:
    trials = tried(by_batch, ALL)
    failure = Failure(kind=FailureKind.OUT_OF_MEMORY, cause="", remedy="")
    doomed = next(t for t in trials if t.params == {**ALL[-1], "loader_workers": 1})
    trials[doomed.number] = replace(
        doomed, state=TrialState.FAILED, measurement=None, failure=failure
    )
    trials[-1] = replace(trials[-1], measurement=measurement(1e6, half_width_pct=0.1))
    found = effect_of(explained(spec(), trials), "loader_workers", 1)
    assert (found.failure, found.measured_pct) == ("out_of_memory", None)


def test_moves_keep_constraints_and_long_scales_are_thinned() -> None:
    space = {
        "params": {
            "a": {"kind": "int", "low": 1, "high": 100},
            "b": {"kind": "float", "low": 1.0, "high": 16.0, "log": True},
        },
        "constraints": ["a <= 80"],
    }
    points: list[dict[str, Value]] = [{"a": a, "b": b} for a in (1, 40, 80) for b in (1.0, 4.0)]
    job = spec(space=space, workload={"command": ["x", "${a}", "${b}"]})
    found = explained(job, tried(lambda p: 1000.0 + float(p["a"]), points))
    moves = [e.value for e in found.sensitivity if e.name == "a"]
    assert moves[0] == 1
    assert len(moves) in (5, 6)
    assert all(isinstance(value, int) and value <= 80 for value in moves)
    assert [e.value for e in found.sensitivity if e.name == "b"] == pytest.approx([2, 4, 8, 16])


def test_the_model_of_a_large_space_is_asked_at_a_sample_that_stays() -> None:
    space = {"params": {n: {"kind": "int", "low": 0, "high": 99} for n in "abcd"}}
    model = Surrogate(spec(space=space, workload={"command": ["x"]}), [], None)
    assert len(model.candidates()) > 400
    assert model.candidates() == model.candidates()


def test_what_is_known_is_added_to_what_is_learned() -> None:
    """Left out of what the model learns, and counted again in what it predicts."""
    trials = tried(lambda params: 1000.0 + int(params["loader_workers"]), ALL)
    free = Surrogate(spec(), trials, None)
    priced = Surrogate(spec(), trials, lambda params: float(params["global_batch_size"]) / 256)
    assert priced.predict(ALL)[0] == pytest.approx(free.predict(ALL)[0], abs=0.05)


def nearly_flat(params: Params) -> float:
    """A worker more brings 1 %, a smaller batch costs much."""
    return by_batch(params) * (1 + 0.01 * int(params["loader_workers"]))


def test_what_is_nearly_as_good_on_fewer_cores_is_offered() -> None:
    (cheapest, other) = explained(spec(prices=PRICES), tried(nearly_flat, ALL)).alternatives
    assert cheapest.params == {"global_batch_size": 2048, "loader_workers": 0}
    assert cheapest.trial_number is not None
    assert cheapest.gain_pct == pytest.approx(100 * (1 / 1.02 - 1), abs=0.01)
    assert cheapest.savings_pct == pytest.approx({"usd_per_hour": 200 / 3, "cores": 200 / 3})
    assert other.params["loader_workers"] == 1


def test_untried_configurations_are_offered_as_predicted() -> None:
    kept = [p for p in ALL if p != {"global_batch_size": 2048, "loader_workers": 0}]
    trials = tried(lambda p: by_batch(p) * (1 + 0.001 * int(p["loader_workers"])), kept)
    predicted = explained(spec(prices=PRICES), trials).alternatives[-1]
    assert predicted.trial_number is None
    assert predicted.params == {"global_batch_size": 2048, "loader_workers": 0}
    assert predicted.gain_pct == pytest.approx(-0.2, abs=1)


def test_taking_more_of_something_else_is_no_saving() -> None:
    trials = tried(nearly_flat, ALL)
    heavy = [
        replace(
            t,
            measurement=replace(
                t.measurement,
                metrics={**t.measurement.metrics, "peak_memory_gib": memory},
            ),
        )
        for t in trials
        if t.measurement is not None and (memory := 8.0 - 3 * int(t.params["loader_workers"]))
    ]
    assert explained(spec(prices=PRICES), heavy).alternatives == ()


def test_a_job_whose_trials_all_break_a_limit_still_tells_what_matters() -> None:
    job = spec(limits=[{"metric": "samples_per_s", "min": 1e9}])
    found = explained(job, tried(by_batch, ALL))
    assert found.best is None
    assert found.importance
    assert found.note == "no trial may win yet: nothing to compare with"
