"""What trials teach, and what they take."""

import math
from dataclasses import replace

import pytest

from tests.unit.search.search_cases import TINY, ended, failed, job, waiting
from tuner.model import FailureKind, Suggestion, TrialState
from tuner.search.history import EXTREME, FAILED, History, Lesson
from tuner.space import key
from tuner.spec import JobSpec, Limit, Objective, Quality

MEMBERS = list(TINY.members())
SPEC = job(TINY)


def lessons(spec: JobSpec, *rates: float) -> list[Lesson]:
    trials = [ended(i, MEMBERS[i], samples_per_s=rate) for i, rate in enumerate(rates)]
    return [lesson for _, lesson in History(spec, trials).lessons()]


def test_scores_are_logarithms_against_the_baseline() -> None:
    assert [lesson.score for lesson in lessons(SPEC, 100.0, 200.0, 50.0)] == pytest.approx(
        [0.0, math.log(2), -math.log(2)]
    )


def test_a_reading_of_nothing_does_not_drown_the_others() -> None:
    assert lessons(SPEC, 100.0, 0.0)[1].score == -EXTREME


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if not kind.is_infrastructure])
def test_a_failure_counts_as_the_worst_seen_and_infeasible(kind: FailureKind) -> None:
    trials = [
        ended(0, MEMBERS[0], samples_per_s=100.0),
        ended(1, MEMBERS[1], samples_per_s=10.0),
        failed(2, MEMBERS[2], kind),
    ]
    *_, (params, lesson) = History(SPEC, trials).lessons()
    assert params == MEMBERS[2]
    assert lesson.score == pytest.approx(math.log(0.1))
    assert lesson.infeasible == FAILED


def test_where_everything_failed_all_count_the_same() -> None:
    trials = [failed(0, MEMBERS[0]), failed(1, MEMBERS[1])]
    assert [lesson for _, lesson in History(SPEC, trials).lessons()] == [
        Lesson(0.0, (0.0,), FAILED, is_measured=False)
    ] * 2


def test_a_trial_lost_cancelled_or_running_teaches_nothing_but_is_taken() -> None:
    trials = [
        failed(0, MEMBERS[0], FailureKind.LOST),
        replace(waiting(1, MEMBERS[1]), state=TrialState.CANCELLED),
        waiting(2, MEMBERS[2]),
    ]
    history = History(SPEC, trials)
    assert history.lessons() == []
    assert set(history.taken) == {key(params) for params in MEMBERS[:3]}
    assert history.pending() == [MEMBERS[2]]


def test_an_unstable_measurement_is_infeasible() -> None:
    trials = [
        ended(0, MEMBERS[0], samples_per_s=100.0),
        ended(1, MEMBERS[1], is_stable=False, samples_per_s=200.0),
    ]
    assert [lesson.infeasible for _, lesson in History(SPEC, trials).lessons()] == [-1.0, FAILED]


def test_what_was_disturbed_teaches_nothing() -> None:
    spoilt = ended(1, MEMBERS[1], is_stable=False, samples_per_s=50.0)
    assert spoilt.measurement is not None
    disturbed = replace(spoilt, measurement=replace(spoilt.measurement, is_disturbed=True))
    history = History(SPEC, [ended(0, MEMBERS[0], samples_per_s=100.0), disturbed])
    assert len(history.lessons()) == 1
    assert key(MEMBERS[1]) in history.taken


def test_the_interval_of_a_measurement_is_the_noise_of_its_score() -> None:
    trial = ended(0, MEMBERS[0], samples_per_s=100.0)
    assert trial.measurement is not None
    wide = replace(trial.measurement, intervals={"samples_per_s": (90.0, 110.0)})
    (_, lesson), *_ = History(SPEC, [replace(trial, measurement=wide)]).lessons()
    assert lesson.noise == pytest.approx(math.log(110 / 90) / 4)


def test_an_objective_that_was_not_measured_counts_as_the_worst() -> None:
    trials = [ended(0, MEMBERS[0], samples_per_s=100.0), ended(1, MEMBERS[1], loss=1.0)]
    assert History(SPEC, trials).lessons()[1][1] == Lesson(0.0, (0.0,), FAILED, is_measured=False)


def test_limits_say_how_far_off_they_are() -> None:
    spec = job(TINY, limits=(Limit(metric="memory_gib", max=10.0),))
    trials = [
        ended(i, MEMBERS[i], samples_per_s=1.0, memory_gib=gib)
        for i, gib in enumerate((8.0, 11.0, 100.0))
    ]
    infeasible = [lesson.infeasible for _, lesson in History(spec, trials).lessons()]
    assert infeasible == pytest.approx([-0.2, 0.1, FAILED])


def test_every_objective_has_its_own_gain() -> None:
    objectives = (
        Objective(metric="samples_per_s", direction="maximize", weight=3.0),
        Objective(metric="usd", direction="minimize"),
    )
    trials = [
        ended(0, MEMBERS[0], samples_per_s=1.0, usd=1.0),
        ended(1, MEMBERS[1], samples_per_s=math.e, usd=math.e),
    ]
    lesson = History(job(TINY, objectives=objectives), trials).lessons()[1][1]
    assert lesson.gains == pytest.approx((1.0, -1.0))
    assert lesson.score == pytest.approx(2.0)


def test_lessons_come_by_number_whoever_ended_first() -> None:
    trials = [ended(i, MEMBERS[i], samples_per_s=1.0 + i) for i in range(4)]
    assert History(SPEC, trials[::-1]).lessons() == History(SPEC, trials).lessons()


def test_each_suggestion_is_taken_before_the_next_is_chosen() -> None:
    history = History(SPEC, ())
    sizes: list[int] = []

    def choose() -> Suggestion | None:
        sizes.append(len(history.taken))
        return Suggestion(params=MEMBERS[len(sizes)], reason="") if len(sizes) < 4 else None

    assert len(history.ask(9, choose)) == 3
    assert sizes == [1, 2, 3, 4]
    assert history.pending() == sorted(MEMBERS[1:4], key=key)


def test_a_suggestion_that_became_a_trial_is_no_longer_pending_by_itself() -> None:
    history = History(SPEC, ())
    history.ask(1, lambda: Suggestion(params=MEMBERS[1], reason=""))
    history.add(waiting(1, MEMBERS[1]))
    assert history.pending() == [MEMBERS[1]]
    history.add(ended(1, MEMBERS[1], samples_per_s=1.0))
    assert history.pending() == []


def test_chance_depends_on_seed_and_history_only() -> None:
    draws = [History(job(TINY, seed=seed), ()).rng().random() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    history = History(job(TINY, seed=1), ())
    history.add(waiting(1, MEMBERS[1]))
    assert history.rng().random() != draws[0]


def test_what_lacks_the_quality_figure_of_the_baseline_may_not_win() -> None:
    spec = replace(SPEC, quality=Quality(metric="auc"))
    trials = [
        ended(0, MEMBERS[0], samples_per_s=100.0, auc=0.75),
        ended(1, MEMBERS[1], samples_per_s=300.0),
        ended(2, MEMBERS[2], samples_per_s=200.0, auc=0.75),
    ]
    told = [lesson.infeasible for _, lesson in History(spec, trials).lessons()]
    assert told[1] == FAILED
    assert max(told[0], told[2]) <= 0
