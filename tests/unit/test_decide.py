"""What to do next, who may win, and whether the winner has won."""

import math
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import attempt, failure, measurement, spec, trial
from tuner import decide
from tuner.decide import Ask, Conclude, Launch, Situation, Wait
from tuner.model import Attempt, AttemptState, FailureKind, Trial, TrialState
from tuner.pairs import candidate_first
from tuner.spec import Objective

OPEN = Situation(search_over=False, out_of_budget=False)
OVER = Situation(search_over=True, out_of_budget=False)
BROKE = Situation(search_over=True, out_of_budget=True)
BATCHES = (256, 512, 1024, 2048)


def trials_with(*rates: float) -> list[Trial]:
    return [
        trial(i, {"global_batch_size": BATCHES[i], "loader_workers": 0}, measurement(rate))
        for i, rate in enumerate(rates)
    ]


def test_score_is_the_log_gain_over_the_baseline() -> None:
    assert decide.score(spec(), measurement(2000), measurement(1000)) == pytest.approx(math.log(2))
    cheaper = spec(
        objectives=[{"metric": "step_time_s", "direction": "minimize", "weight": 2}],
    )
    slow, fast = (measurement(metrics={"step_time_s": s}) for s in (0.2, 0.1))
    assert decide.score(cheaper, fast, slow) == pytest.approx(2 * math.log(2))


def test_score_interval_takes_the_worse_and_better_ends() -> None:
    low, high = decide.score_interval(
        spec(), measurement(1000, half_width_pct=10), measurement(1000)
    )
    assert (low, high) == pytest.approx((math.log(0.9), math.log(1.1)))


def test_limits_are_broken_kept_or_unknown() -> None:
    limited = spec(
        limits=[{"metric": "peak_memory_gib", "max": 2.0}, {"metric": "auc", "min": 0.7}]
    )
    shown = measurement(metrics={"peak_memory_gib": 3.0})
    broken = decide.violations(limited, shown, None)
    assert broken["peak_memory_gib <= 2"] == pytest.approx(0.5)
    assert broken["auc >= 0.7"] == 1.0
    kept = measurement(metrics={"peak_memory_gib": 1.0, "auc": 0.75})
    assert all(over <= 0 for over in decide.violations(limited, kept, None).values())


def test_quality_is_compared_with_the_baseline() -> None:
    guarded = spec(quality={"metric": "auc", "max_loss": 0.01})
    base = measurement(1000, metrics={"auc": 0.78})
    worse = trial(1, outcome=measurement(3000, metrics={"auc": 0.76}))
    equal = trial(2, outcome=measurement(2000, metrics={"auc": 0.775}))
    unknown = trial(3, outcome=measurement(4000))
    ranked = decide.ranking(guarded, [trial(0, outcome=base), worse, equal, unknown])
    assert [t.number for t in ranked] == [2, 0]


@pytest.mark.parametrize(
    "spoilt",
    [{"is_stable": False}, {"stopped": "beaten"}],
    ids=["unstable", "beaten"],
)
def test_unstable_and_beaten_trials_never_win(spoilt: dict[str, Any]) -> None:
    best = trial(1, outcome=measurement(9000, **spoilt))
    assert [t.number for t in decide.ranking(spec(), [*trials_with(1000), best])] == [0]


def test_beaten_only_beyond_doubt() -> None:
    best, base = measurement(2000), measurement(1000)
    assert decide.is_beaten(spec(), measurement(1500, half_width_pct=5), best, base)
    assert not decide.is_beaten(spec(), measurement(1500, half_width_pct=40), best, base)
    assert not decide.is_beaten(spec(), measurement(1900, half_width_pct=3), best, base)
    assert not decide.is_beaten(spec(), measurement(10), None, base)


def test_what_is_better_in_one_of_two_objectives_is_not_beaten() -> None:
    """It may be a compromise of the front."""
    both = replace(
        spec(),
        objectives=(
            Objective(metric="samples_per_s", direction="maximize"),
            Objective(metric="usd_per_hour", direction="minimize"),
        ),
    )
    fast, slow = (measurement(r, metrics={"usd_per_hour": r / 1000}) for r in (2000.0, 500.0))
    assert not decide.is_beaten(both, slow, fast, None)
    dear = measurement(500, metrics={"usd_per_hour": 3.0})
    assert decide.is_beaten(both, dear, fast, None)


def test_nothing_is_beaten_by_a_figure_without_an_interval() -> None:
    slow, best = measurement(500), measurement(1000)
    assert decide.is_beaten(spec(), slow, best, None)
    assert not decide.is_beaten(spec(), replace(slow, intervals={}), best, None)
    assert not decide.is_beaten(spec(), slow, replace(best, intervals={}), None)


def test_a_baseline_that_was_not_steady_decides_nothing_alone() -> None:
    drifting = measurement(2000, is_stable=False)
    trials = [trial(0, outcome=drifting), trial(1, outcome=measurement(1500))]
    assert decide.confirmable(spec(), trials) == [trials[1]]
    assert decide.next_action(spec(), trials, [], OVER) in (Launch(1, 0), Launch(0, 0))


def test_baseline_goes_first_and_alone() -> None:
    assert decide.next_action(spec(), [trial(0)], [], OPEN) == Launch(0)
    running = replace(trial(0), state=TrialState.RUNNING)
    live = attempt(0, state=AttemptState.RUNNING)
    assert decide.next_action(spec(), [running], [live], OPEN) == Wait()
    parallel = spec(search={"parallel_trials": 3})
    assert decide.next_action(parallel, [running], [live], OPEN) == Wait()


def test_search_goes_on_until_it_is_over() -> None:
    trials = trials_with(1000, 1500)
    assert decide.next_action(spec(), trials, [], OPEN) == Ask()
    assert isinstance(decide.next_action(spec(), trials, [], OVER), Launch)


def confirmed(candidate: int, baseline_rate: float, rates: list[float]) -> list[Attempt]:
    """Pairs in which the candidate shows these rates."""
    attempts = []
    for pair, rate in enumerate(rates):
        for number, shown in ((0, baseline_rate), (candidate, rate)):
            attempts.append(
                attempt(
                    number, pair + 1, purpose="confirm", pair=pair, measurement=measurement(shown)
                )
            )
    return attempts


def test_winner_is_confirmed_in_coin_tossed_pairs() -> None:
    trials, attempts = trials_with(1000, 1500, 1200), [attempt(0), attempt(1), attempt(2)]
    order: list[tuple[int, int]] = []
    while isinstance(action := decide.next_action(spec(), trials, attempts, OVER), Launch):
        assert action.pair is not None
        order.append((action.pair, action.trial_number))
        attempts.append(
            attempt(
                action.trial_number,
                len(attempts),
                purpose="confirm",
                pair=action.pair,
                measurement=measurement(),
            )
        )
    assert action == Conclude(1)
    assert sorted(order) == sorted((pair, number) for pair in range(6) for number in (0, 1))
    first = [number for i, (_, number) in enumerate(order) if i % 2 == 0]
    assert set(first) == {0, 1}, "the coin gives both orders"
    assert [pair for pair, _ in order] == sorted(pair for pair, _ in order), "arms stay together"


def test_lost_confirming_run_is_repeated_at_most_twice() -> None:
    trials = trials_with(1000, 1500)
    first = decide.next_action(spec(), trials, [], OVER)
    assert isinstance(first, Launch)
    lost = [
        attempt(
            first.trial_number,
            n,
            purpose="confirm",
            pair=0,
            state=AttemptState.FAILED,
            failure=failure(FailureKind.LOST),
        )
        for n in (1, 2, 3)
    ]
    assert decide.next_action(spec(), trials, lost[:2], OVER) == first
    assert decide.next_action(spec(), trials, lost, OVER) != first


def test_disturbed_confirming_run_is_repeated() -> None:
    trials, deciding = trials_with(1000, 1500), spec(apply={"report_pairs": 0})
    attempts = confirmed(1, 1000, [1200, 1200, 1200, 1200, 1200, 1200])
    assert decide.next_action(deciding, trials, attempts, OVER) == Conclude(1)
    spoilt = measurement(800, is_stable=False, is_disturbed=True)
    attempts[3] = replace(attempts[3], measurement=spoilt)
    again = Launch(attempts[3].trial_number, attempts[3].pair)
    assert decide.next_action(deciding, trials, attempts, OVER) == again
    attempts.append(replace(attempts[3], number=7, measurement=measurement(1200)))
    assert decide.next_action(deciding, trials, attempts, OVER) == Conclude(1)
    assert len(decide.judge(deciding, 1, attempts).pairs) == 6


def test_a_winner_is_run_again_to_tell_its_gain() -> None:
    """What decided is flattered by the luck that made it win; the last pairs are not."""
    trials = trials_with(1000, 1500)
    attempts = confirmed(1, 1000, [1200, 1190, 1210, 1200, 1190, 1210])
    first = decide.next_action(spec(), trials, attempts, OVER)
    assert isinstance(first, Launch)
    assert first.pair == 6
    attempts = confirmed(1, 1000, [1200, 1190, 1210, 1200, 1190, 1210, 1100, 1100])
    assert decide.next_action(spec(), trials, attempts, OVER) == Conclude(1)
    verdict = decide.judge(spec(), 1, attempts)
    assert verdict.gain_pct == pytest.approx(10.0)
    assert verdict.gain_low_pct is not None
    assert verdict.gain_low_pct > 18, "decided by the first six"
    assert [pair.decides for pair in verdict.pairs] == [True] * 6 + [False] * 2


def test_a_loser_is_not_run_again() -> None:
    trials = trials_with(1000, 1500)
    attempts = confirmed(1, 1000, [1001, 999, 1000, 1002, 998, 1000])
    assert decide.next_action(spec(), trials, attempts, OVER) == Conclude(1)


def test_candidate_that_fails_gives_way_to_the_next() -> None:
    trials = trials_with(1000, 1500, 1400)
    crash = attempt(
        1,
        1,
        purpose="confirm",
        pair=0,
        state=AttemptState.FAILED,
        failure=failure(FailureKind.CRASH),
    )
    action = decide.next_action(spec(), trials, [crash], OVER)
    assert isinstance(action, Launch)
    assert action.pair == 8, "six that decide and two that tell"
    assert action.trial_number in (0, 2)


def test_nothing_better_concludes_with_the_baseline() -> None:
    assert decide.next_action(spec(), trials_with(1000, 900), [], OVER) == Conclude(None)


def test_without_a_baseline_the_best_is_concluded_unproven() -> None:
    failed = replace(trial(0), state=TrialState.FAILED, failure=failure(FailureKind.OUT_OF_MEMORY))
    trials = [failed, trial(1, outcome=measurement(500))]
    assert decide.next_action(spec(), trials, [], OVER) == Conclude(1)


def test_out_of_budget_waits_for_what_runs_then_concludes() -> None:
    trials = [*trials_with(1000, 1500), trial(2)]
    live = attempt(1, state=AttemptState.RUNNING)
    parallel = spec(search={"parallel_trials": 2})
    assert decide.next_action(parallel, trials, [live], BROKE) == Wait()
    assert decide.next_action(parallel, trials, [], BROKE) == Conclude(1)


def test_out_of_budget_with_an_unmeasured_baseline_still_concludes() -> None:
    assert decide.next_action(spec(), [trial(0)], [], BROKE) == Conclude(None)


def test_gain_comes_from_the_pairs_with_its_bounds() -> None:
    verdict = decide.judge(spec(), 1, confirmed(1, 1000, [1190, 1200, 1210, 1200, 1195, 1205]))
    assert verdict.gain_pct == pytest.approx(20, abs=0.1)
    low, mean, high = verdict.gain_low_pct, verdict.gain_pct, verdict.gain_high_pct
    assert low is not None
    assert mean is not None
    assert high is not None
    assert 19 < low < mean < high < 21
    assert len(verdict.pairs) == 6
    assert verdict.metrics["samples_per_s"] == pytest.approx(1200)


def test_noise_gives_a_lower_bound_below_zero() -> None:
    verdict = decide.judge(spec(), 1, confirmed(1, 1000, [900, 1150, 1020, 930, 1100, 1000]))
    assert verdict.gain_low_pct is not None
    assert verdict.gain_low_pct < 0


def test_unstable_runs_void_their_pair() -> None:
    attempts = confirmed(1, 1000, [1200, 1200, 1200])
    attempts[1] = replace(attempts[1], measurement=measurement(9000, is_stable=False))
    verdict = decide.judge(spec(), 1, attempts)
    assert len(verdict.pairs) == 2
    assert verdict.gain_pct is None


def test_each_arm_goes_first_in_half_of_the_pairs() -> None:
    for seed in range(20):
        tosses = [candidate_first(spec(search={"seed": seed}), pair) for pair in range(6)]
        assert sum(tosses) == 3


def test_a_default_that_breaks_a_limit_is_not_what_to_beat() -> None:
    limited = spec(limits=[{"metric": "peak_memory_gib", "max": 8}])
    large = measurement(1000, metrics={"peak_memory_gib": 10})
    small = measurement(500, metrics={"peak_memory_gib": 1})
    trials = [trial(0, outcome=large), trial(1, outcome=small)]
    assert decide.next_action(limited, trials, [], OVER) == Conclude(1)
    assert decide.next_action(limited, trials[:1], [], OVER) == Conclude(None)


def test_nothing_is_confirmed_when_only_measuring_is_wanted() -> None:
    only = spec(apply={"mode": "off"})
    assert decide.next_action(only, trials_with(1000, 1500), [], OVER) == Conclude(1)


def test_quality_taken_at_other_samples_is_unknown() -> None:
    guarded = spec(quality={"metric": "auc"})
    base = {"auc": 0.78, "quality_samples": 1000.0}
    assert decide.quality_loss(guarded, {"auc": 0.77, "quality_samples": 1005.0}, base) is not None
    assert decide.quality_loss(guarded, {"auc": 0.77, "quality_samples": 2000.0}, base) is None
