"""When another trial does not pay, and what is said where a search ends."""

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.unit.builders import NOON, measurement, spec, trial
from tuner import stopping
from tuner.model import (
    Attempt,
    AttemptState,
    Failure,
    FailureKind,
    Placement,
    Spend,
    Suggestion,
    Trial,
    TrialState,
)
from tuner.spec import JobSpec

TRIAL_S = 360.0


def tried(*gains: float | None, live: int = 0) -> list[Trial]:
    """A baseline, then a trial for each expected gain; the last `live` of them still run."""
    count = len(gains)
    return [
        replace(
            trial(number, outcome=measurement(1000.0 + number)),
            expected_gain=gain,
            state=TrialState.RUNNING if number > count - live else TrialState.COMPLETE,
        )
        for number, gain in enumerate([None, *gains])
    ]


def ran(trials: Sequence[Trial], wall_s: float = TRIAL_S, usd: str | None = None) -> list[Attempt]:
    return [
        Attempt(
            job_id="job_1",
            trial_number=t.number,
            number=0,
            state=AttemptState.COMPLETE,
            placement=Placement(cores=((0, 1),), gpus=((),)),
            created_at=NOON,
            measurement=t.measurement,
            spend=Spend(
                wall_s=wall_s, core_s=2 * wall_s, usd=None if usd is None else Decimal(usd)
            ),
        )
        for t in trials
    ]


def suggestion(gain: float | None) -> Suggestion:
    return Suggestion(params={}, reason="test", expected_gain=gain)


def refused(job: JobSpec, trials: list[Trial], gain: float | None) -> str | None:
    return stopping.why_refused(job, trials, ran(trials), suggestion(gain))


def test_the_search_ends_after_four_low_asks_in_a_row() -> None:
    why = refused(spec(), tried(0.2, 0.0005, 0.0004, 0.0002), 0.0003)
    assert why == "the expected gain of another trial, 0.03 %, does not pay for it: 0.1 % would"


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ((0.2, 0.0005, 0.0004, 0.0002), 0.01),
        ((0.2, 0.0005, 0.0004, 0.01), 0.0003),
        ((0.2, 0.01, 0.0005, 0.0004), 0.0003),
        ((0.2, 0.0005, 0.0004, None), 0.0003),
        ((0.2, 0.0005, 0.0004, 0.0002), None),
        ((0.0005, 0.0004), 0.0003),
        ((), 0.0003),
    ],
)
def test_otherwise_it_goes_on(before: tuple[float | None, ...], now: float | None) -> None:
    assert refused(spec(), tried(*before), now) is None


def test_what_still_runs_is_no_answer_yet() -> None:
    assert refused(spec(), tried(0.2, 0.0005, 0.0004, 0.0002, live=1), 0.0003) is None
    assert refused(spec(), tried(0.0005, 0.0004, 0.0002, 0.0001, live=1), 0.0003) is not None
    assert refused(spec(), tried(0.0005, 0.0004, 0.0002, 0.0100, live=1), 0.0003) is None


def test_the_job_file_sets_the_gain_and_0_never_ends_it() -> None:
    trials = tried(0.2, 0.0045, 0.004, 0.002)
    assert refused(spec(), trials, 0.003) is None
    assert refused(spec(search={"stop_gain_pct": 0.5}), trials, 0.003) is not None
    assert refused(spec(search={"stop_gain_pct": 0}), tried(0.0, 0.0, 0.0, 0.0), 0.0) is None


def test_nothing_left_is_said() -> None:
    assert stopping.why_refused(spec(), tried(), [], None) == "nothing is left to try"


@pytest.mark.parametrize("usd", [None, "0.5"])
def test_with_a_horizon_a_trial_has_to_pay_for_itself(usd: str | None) -> None:
    job, trials = spec(search={"horizon_hours": 10}), tried(0.02, 0.02, 0.02)
    # A trial takes 0.1 h of what the plan is going to hold for 10 h, so that 1 % just pays.
    assert stopping.needed_gain(job, trials, ran(trials, usd=usd)) == pytest.approx(0.01)
    lows = tried(0.2, 0.0045, 0.004, 0.002)
    why = stopping.why_refused(job, lows, ran(lows), suggestion(0.003))
    assert why is not None
    assert why.endswith("0.3 %, does not pay for it: 1 % would within 10 h of running")


def test_money_goes_before_time() -> None:
    """The best is cheap, the others cost twice as much in the same time."""
    job, trials = spec(search={"horizon_hours": 10}), tried(0.02, 0.02)
    attempts = [*ran(trials[:2], usd="1.0"), *ran(trials[2:], usd="0.5")]
    assert stopping.needed_gain(job, trials, attempts) == pytest.approx(0.01 * 2.5 / 1.5)
    unknown = [*attempts[:2], replace(attempts[2], spend=replace(attempts[2].spend, usd=None))]
    assert stopping.needed_gain(job, trials, unknown) == pytest.approx(0.01)


def test_repeated_launches_belong_to_the_cost_of_a_trial() -> None:
    job, trials = spec(search={"horizon_hours": 10}), tried(0.02)
    attempts = ran(trials)
    again = replace(attempts[0], number=1)
    assert stopping.needed_gain(job, trials, [*attempts, again]) == pytest.approx(0.015)


def test_without_a_best_the_horizon_says_nothing() -> None:
    job = spec(search={"horizon_hours": 10})
    assert stopping.needed_gain(job, [trial(0)], []) == pytest.approx(math.log(1.001))


def test_the_end_of_the_budget_is_said() -> None:
    job = spec(budget={"trials": 3})
    assert stopping.why_over(job, tried(0.1, 0.1), []) == "the budget of 3 trials is used up"
    assert stopping.why_over(job, tried(0.1), []) is None


def test_a_broken_job_and_confirming_end_a_search() -> None:
    failure = Failure(kind=FailureKind.CRASH, cause="no table", remedy="")
    broken = [replace(trial(n), state=TrialState.FAILED, failure=failure) for n in range(3)]
    assert stopping.why_over(spec(), broken, []) == "every one of the first trials failed"
    trials = tried(0.1)
    arm = replace(ran(trials)[1], purpose="confirm", pair=0)
    assert stopping.why_over(spec(), trials, [arm]) == "confirming had begun"


def test_the_cap_that_is_nearest_is_named() -> None:
    job = spec(budget={"trials": 9, "minutes": 100, "core_hours": 0.5})
    said = stopping.why_spent(job, ran(tried(0.1)))
    assert said == "no other trial fits into budget.core_hours: 0.4 of 0.5 are used"
    assert stopping.why_spent(spec(), []) == "nothing more may be launched"
