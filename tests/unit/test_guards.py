"""What a winner may not make worse: proven, not hoped for."""

import pytest

from tests.unit.builders import spec
from tuner import guards
from tuner.decide import Verdict
from tuner.metrics import BY_NAME
from tuner.model import Pair


def verdict(name: str, before: list[float], after: list[float]) -> Verdict:
    pairs = tuple(
        Pair(number=n, candidate_first=False, baseline={name: b}, candidate={name: a}, gain_pct=0.0)
        for n, (b, a) in enumerate(zip(before, after, strict=True))
    )
    means = {name: sum(before) / len(before)}, {name: sum(after) / len(after)}
    return Verdict(pairs=pairs, baseline_metrics=means[0], metrics=means[1])


def test_a_tail_that_stays_is_fine_and_one_that_grows_is_not() -> None:
    base = [10.0, 10.1, 9.9, 10.0]
    assert guards.broken(spec(), verdict("p99_latency_ms", base, base)) == []
    (why,) = guards.broken(spec(), verdict("p99_latency_ms", base, [12.0, 12.1, 11.9, 12.0]))
    assert "p99_latency_ms may be worse by" in why


def test_noise_does_not_pass_for_proof() -> None:
    shaky = verdict("p99_latency_ms", [10.0, 10.0, 10.0], [8.0, 10.0, 12.0])
    assert guards.broken(spec(), shaky) != []


def test_every_guard_of_the_default_is_a_metric_that_may_be_measured() -> None:
    assert [g.metric for g in spec().apply.guards if g.metric not in BY_NAME] == []


def test_more_errors_are_more_errors() -> None:
    assert guards.broken(spec(), verdict("error_pct", [0.0] * 3, [0.0] * 3)) == []
    assert guards.broken(spec(), verdict("error_pct", [0.0] * 3, [0.0, 0.1, 0.0])) != []


def test_what_is_not_measured_of_the_winner_any_more_is_not_kept() -> None:
    pairs = tuple(
        Pair(
            number=n,
            candidate_first=False,
            baseline={"p99_latency_ms": 1.0},
            candidate={},
            gain_pct=0.0,
        )
        for n in range(3)
    )
    lost = Verdict(pairs=pairs, baseline_metrics={}, metrics={})
    assert "of the baseline only" in guards.broken(spec(), lost)[0]


def test_an_objective_is_no_guard_of_its_own() -> None:
    goal = [{"metric": "p99_latency_ms", "direction": "minimize"}]
    worse = verdict("p99_latency_ms", [10.0] * 3, [20.0] * 3)
    assert guards.broken(spec(objectives=goal), worse) == []


@pytest.mark.parametrize(("after", "is_short"), [(7.0, False), (7.5, True)])
def test_some_memory_stays_free(after: float, is_short: bool) -> None:
    limited = spec(resources={"memory_limit_gib": 8})
    found = guards.broken(limited, verdict("peak_memory_gib", [2.0] * 3, [after] * 3))
    assert bool(found) is is_short
    less = verdict("peak_memory_gib", [7.9] * 3, [7.8] * 3)
    assert guards.broken(limited, less) == [], "it is no worse than before"


def test_quality_has_to_be_surely_within_the_allowed_loss() -> None:
    job = spec(quality={"metric": "auc", "max_loss": 0.01})
    steady = verdict("auc", [0.750, 0.751, 0.749], [0.745, 0.746, 0.744])
    assert guards.quality_ok(job, steady) is True
    shaky = verdict("auc", [0.750, 0.750, 0.750], [0.730, 0.745, 0.760])
    assert guards.quality_ok(job, shaky) is False
    assert guards.quality_ok(job, verdict("loss", [1.0] * 3, [1.0] * 3)) is None
