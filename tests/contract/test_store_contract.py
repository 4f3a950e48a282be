"""What every store keeps to (`tuner.interfaces.Store`)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from storage.lease import HostClock, Moment
from storage.memory import MemoryStore
from storage.sql import SqlStore
from tests import store_facts as facts
from tuner import audit
from tuner.application import ApplicationState, ApplicationWish
from tuner.errors import NotFound, StaleLease, StoreError
from tuner.expression import Value
from tuner.interfaces import Fact, Store
from tuner.model import JobState, Wish


class SteppedClock:
    """A host clock that moves when told to."""

    def __init__(self) -> None:
        self.monotonic_s = 1000.0
        self.at = datetime(2026, 3, 1, tzinfo=UTC)
        self.boot_id = "first boot"

    def __call__(self) -> Moment:
        return Moment(at=self.at, boot_id=self.boot_id, monotonic_s=self.monotonic_s)

    def advance(self, seconds: float) -> None:
        self.monotonic_s += seconds
        self.at += timedelta(seconds=seconds)

    def set_wall_clock(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


STORES: dict[str, Callable[[Path, HostClock], Store]] = {
    "memory": lambda folder, now: MemoryStore(now),
    "sqlite": lambda folder, now: SqlStore(folder / "trimtab.db", now=now),
}


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: SteppedClock) -> Iterator[Store]:
    opened = STORES[request.param](tmp_path, clock)
    yield opened
    opened.close()


def count(store: Store) -> int:
    """Every fact there is of job-1, and every job and event."""
    return sum(
        len(rows)
        for rows in (
            store.jobs(),
            store.trials("job-1"),
            store.attempts("job-1"),
            store.points("job-1", 0, None),
            store.plans(),
            store.applications(),
            store.events(),
        )
    )


# round trips


def test_every_noun_comes_back_as_it_was(store: Store) -> None:
    store.save(*facts.everything())
    assert store.job("job-1") == facts.job()
    assert store.jobs() == [facts.job()]
    assert store.trials("job-1") == [facts.trial()]
    assert store.attempts("job-1") == [facts.attempt()]
    assert store.points("job-1", 0, None) == [facts.point(0.5)]
    assert store.plans() == [facts.plan()]
    assert store.applications() == [facts.application()]
    assert store.events() == [facts.event()]


def test_values_of_parameters_keep_their_types(store: Store) -> None:
    params: dict[str, Value] = {
        "a": 1,
        "b": 1.0,
        "c": True,
        "d": "1",
        "e": "true",
        "f": False,
        "g": 0,
    }
    store.save(facts.job(), replace(facts.trial(), params=params))
    [trial] = store.trials("job-1")
    assert [(n, type(v), v) for n, v in trial.params.items()] == [
        (n, type(v), v) for n, v in params.items()
    ]


def test_optional_fields_may_be_absent(store: Store) -> None:
    trial = replace(facts.trial(), measurement=None, failure=None, ended_at=None, predicted={})
    attempt = replace(facts.attempt(), handle=None, pair=None, measurement=None, failure=None)
    plan = replace(facts.plan(), gain_pct=None, quality_ok=None, payback_s=None, pairs=())
    application = replace(facts.application(), before_hash=None)
    event = replace(facts.event(), job_id=None)
    store.save(facts.job(), trial, attempt, plan, application, event)
    assert store.trials("job-1") == [trial]
    assert store.attempts("job-1") == [attempt]
    assert store.plans() == [plan]
    assert store.applications() == [application]
    assert store.events() == [event]


def test_times_come_back_in_utc(store: Store) -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    store.save(replace(facts.job(), created_at=facts.at(0).astimezone(there)))
    assert store.job("job-1").created_at == facts.at(0)


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e-320, -0.0, 1e308])
def test_odd_numbers_survive(store: Store, value: float) -> None:
    measured = replace(facts.MEASUREMENT, metrics={"loss": value})
    trial = replace(facts.trial(), measurement=measured)
    store.save(facts.job(), trial, facts.attempt(), facts.point(1.0, value))
    assert store.trials("job-1") == [trial]
    assert store.points("job-1", 0, "loss") == [facts.point(1.0, value)]


def test_a_loss_that_is_no_number_survives(store: Store) -> None:
    measured = replace(facts.MEASUREMENT, metrics={"loss": math.nan})
    trial = replace(facts.trial(), measurement=measured)
    store.save(facts.job(), trial, facts.attempt(), facts.point(1.0, math.nan))
    [kept] = store.trials("job-1")
    assert kept.measurement is not None
    assert math.isnan(kept.measurement.metrics["loss"])
    assert math.isnan(store.points("job-1", 0, "loss")[0].value)


# saving


def test_a_fact_replaces_the_earlier_one_of_its_identity(store: Store) -> None:
    store.save(*facts.everything())
    changed: list[Fact] = [
        replace(facts.job(), state=JobState.SUCCEEDED),
        replace(facts.trial(), reason="again"),
        replace(facts.attempt(), handle="other"),
        replace(facts.plan(), gain_pct=1.0),
        replace(facts.application(), state=ApplicationState.ROLLED_BACK),
    ]
    store.save(*changed)
    assert [
        store.job("job-1"),
        *store.trials("job-1"),
        *store.attempts("job-1"),
        *store.plans(),
        *store.applications(),
    ] == changed


def test_points_and_events_are_added(store: Store) -> None:
    store.save(*facts.everything())
    store.save(facts.point(0.5), facts.event())
    assert store.points("job-1", 0, None) == [facts.point(0.5)] * 2
    assert store.events() == [facts.event()] * 2


def test_facts_of_one_save_may_come_in_any_order(store: Store) -> None:
    store.save(*reversed(facts.everything()))
    assert count(store) == 7


def test_saving_nothing_changes_nothing(store: Store) -> None:
    store.save()
    assert count(store) == 0


@pytest.mark.parametrize(
    ("orphan", "missing"),
    [
        (facts.trial(5, "job-9"), "Job job-9"),
        (facts.attempt(0, 9), "Trial job-1/9"),
        (facts.point(1.0, attempt=9), "Attempt job-1/0/9"),
        (facts.plan("plan-2", "job-9"), "Job job-9"),
        (facts.application("application-2", "plan-9"), "Plan plan-9"),
    ],
)
def test_one_bad_fact_leaves_nothing_of_its_save(store: Store, orphan: Fact, missing: str) -> None:
    store.save(*facts.everything())
    before = store.job("job-1")
    good: list[Fact] = [
        replace(before, message="changed"),
        facts.trial(7),
        facts.event(),
        facts.point(2.0),
    ]
    with pytest.raises(StoreError, match=missing):
        store.save(*good[:2], orphan, *good[2:])
    assert store.job("job-1") == before
    assert count(store) == 7


def test_an_event_may_tell_of_a_job_that_is_not_there(store: Store) -> None:
    event = facts.event("job.refuse", "job-9")
    store.save(event)
    assert store.events("job-9") == [event]


# wishes


def test_a_wish_is_kept(store: Store) -> None:
    store.save(facts.job())
    store.wish("job-1", Wish.CANCEL)
    assert store.job("job-1") == replace(facts.job(), wish=Wish.CANCEL)


def test_saving_a_job_does_not_undo_a_wish(store: Store) -> None:
    store.save(facts.job())
    lease = store.acquire_lease("one", 15.0)
    assert lease is not None
    read = store.job("job-1")
    store.wish("job-1", Wish.CANCEL)
    store.save(replace(read, state=JobState.CONFIRMING), epoch=lease.epoch)
    kept = store.job("job-1")
    assert (kept.state, kept.wish) == (JobState.CONFIRMING, Wish.CANCEL)


def test_a_wish_for_no_job_is_refused(store: Store) -> None:
    with pytest.raises(NotFound, match="job-9"):
        store.wish("job-9", Wish.PAUSE)


# reading


def test_a_job_that_is_not_there(store: Store) -> None:
    store.save(facts.job())
    with pytest.raises(NotFound, match="no job 'job-9' among 1"):
        store.job("job-9")


def test_lists_of_a_job_that_is_not_there_are_empty(store: Store) -> None:
    assert store.trials("job-9") == []
    assert store.attempts("job-9", 0) == []
    assert store.points("job-9", 0, None) == []
    assert store.plans("job-9") == []
    assert store.applications("job-9") == []
    assert store.events("job-9") == []


def test_trials_and_attempts_come_by_number(store: Store) -> None:
    store.save(facts.job(), *[facts.trial(number) for number in (10, 2, 0)])
    store.save(*[facts.attempt(n, trial) for trial, n in ((10, 0), (2, 11), (2, 3), (0, 1))])
    assert [trial.number for trial in store.trials("job-1")] == [0, 2, 10]
    numbers = [(a.trial_number, a.number) for a in store.attempts("job-1")]
    assert numbers == [(0, 1), (2, 3), (2, 11), (10, 0)]
    assert [a.number for a in store.attempts("job-1", 2)] == [3, 11]
    assert store.attempts("job-1", 7) == []


def test_the_rest_comes_in_the_order_of_creation(store: Store) -> None:
    for name in ("c", "a", "b"):
        store.save(
            replace(facts.job(), id=name),
            facts.plan(f"plan-{name}", name),
            facts.application(f"application-{name}", f"plan-{name}"),
            facts.event(f"job.{name}", name),
        )
    # A change, even to an earlier time, keeps the place.
    store.save(replace(facts.job(), id="a", created_at=facts.at(-99)), facts.plan("plan-a", "a"))
    assert [job.id for job in store.jobs()] == ["c", "a", "b"]
    assert [plan.id for plan in store.plans()] == ["plan-c", "plan-a", "plan-b"]
    assert [a.id[-1] for a in store.applications()] == ["c", "a", "b"]
    assert [event.action for event in store.events()] == ["job.c", "job.a", "job.b"]


def test_lists_are_narrowed_to_a_job(store: Store) -> None:
    other = replace(facts.job(), id="job-2")
    store.save(*facts.everything(), other, facts.trial(0, "job-2"), facts.plan("plan-2", "job-2"))
    store.save(replace(facts.application("application-2", "plan-2"), job_id="job-2"))
    store.save(facts.event("job.create", "job-2"), facts.event("service.start", None))
    assert [trial.job_id for trial in store.trials("job-2")] == ["job-2"]
    assert [plan.id for plan in store.plans("job-2")] == ["plan-2"]
    assert [a.id for a in store.applications("job-2")] == ["application-2"]
    assert [event.action for event in store.events("job-2")] == ["job.create"]
    assert len(store.events()) == 3


def test_points_come_by_attempt_then_time(store: Store) -> None:
    store.save(facts.job(), facts.trial(0), facts.trial(1), facts.attempt(0), facts.attempt(1))
    store.save(facts.attempt(0, 1), facts.point(0.0, trial_number=1))
    store.save(
        facts.point(1.0, attempt=1),
        facts.point(3.0),
        facts.point(2.0, 9.0, "auc"),
        facts.point(2.0, 8.0),
        facts.point(2.0, 7.0),
    )
    found = [(p.attempt_number, p.t_s, p.value) for p in store.points("job-1", 0, None)]
    assert found == [(0, 2.0, 9.0), (0, 2.0, 8.0), (0, 2.0, 7.0), (0, 3.0, 0.5), (1, 1.0, 0.5)]
    losses = [(p.attempt_number, p.t_s, p.value) for p in store.points("job-1", 0, "loss")]
    assert losses == found[1:]
    assert store.points("job-1", 0, "recall") == []


# the lease


def test_nobody_holds_the_lease_at_first(store: Store) -> None:
    assert store.lease() is None


def test_a_free_lease_is_taken(store: Store, clock: SteppedClock) -> None:
    lease = store.acquire_lease("one", 15.0)
    assert lease is not None
    assert (lease.holder, lease.ttl_s, lease.renewed_at) == ("one", 15.0, clock.at)
    assert store.lease() == lease


def test_a_held_lease_is_refused_to_others(store: Store, clock: SteppedClock) -> None:
    lease = store.acquire_lease("one", 15.0)
    clock.advance(14.9)
    assert store.acquire_lease("two", 15.0) is None
    assert store.acquire_lease("two", 0.1) is None
    assert store.lease() == lease


def test_its_holder_renews_it_with_the_same_epoch(store: Store, clock: SteppedClock) -> None:
    first = store.acquire_lease("one", 15.0)
    clock.advance(14.0)
    second = store.acquire_lease("one", 20.0)
    assert first is not None
    assert second == replace(first, renewed_at=clock.at, ttl_s=20.0)
    clock.advance(19.0)
    assert store.acquire_lease("two", 15.0) is None


def test_a_lease_that_has_run_out_is_taken_over(store: Store, clock: SteppedClock) -> None:
    first = store.acquire_lease("one", 15.0)
    clock.advance(15.0)
    assert store.lease() is None
    second = store.acquire_lease("two", 15.0)
    assert first is not None
    assert second is not None
    assert second.epoch == first.epoch + 1
    assert store.acquire_lease("one", 15.0) is None


def test_a_lease_given_back_is_free_at_once(store: Store) -> None:
    first = store.acquire_lease("one", 15.0)
    store.release_lease("one")
    assert store.lease() is None
    second = store.acquire_lease("two", 15.0)
    assert first is not None
    assert second is not None
    assert second.epoch > first.epoch


def test_only_its_holder_gives_it_back(store: Store) -> None:
    lease = store.acquire_lease("one", 15.0)
    store.release_lease("two")
    assert store.lease() == lease


@pytest.mark.parametrize("seconds", [-86400.0, 86400.0])
def test_setting_the_wall_clock_neither_ends_nor_prolongs_a_lease(
    store: Store, clock: SteppedClock, seconds: float
) -> None:
    store.acquire_lease("one", 15.0)
    clock.set_wall_clock(seconds)
    assert store.acquire_lease("two", 15.0) is None
    clock.advance(15.0)
    assert store.acquire_lease("two", 15.0) is not None


def test_after_a_restart_the_wall_clock_counts(store: Store, clock: SteppedClock) -> None:
    store.acquire_lease("one", 15.0)
    clock.boot_id, clock.monotonic_s = "second boot", 3.0
    clock.set_wall_clock(10.0)
    assert store.acquire_lease("two", 15.0) is None
    clock.advance(5.0)
    assert store.acquire_lease("two", 15.0) is not None


def test_a_restart_that_sets_the_clock_back_ends_the_lease(
    store: Store, clock: SteppedClock
) -> None:
    store.acquire_lease("one", 15.0)
    clock.boot_id, clock.monotonic_s = "second boot", 3.0
    clock.set_wall_clock(-60.0)
    assert store.acquire_lease("two", 15.0) is not None


def test_facts_of_the_present_epoch_are_written(store: Store, clock: SteppedClock) -> None:
    lease = store.acquire_lease("one", 15.0)
    assert lease is not None
    clock.advance(60.0)  # late, but nobody has taken over
    store.save(*facts.everything(), epoch=lease.epoch)
    assert count(store) == 7


def test_facts_of_an_older_epoch_are_refused(store: Store, clock: SteppedClock) -> None:
    stale = store.acquire_lease("one", 15.0)
    clock.advance(15.0)
    store.acquire_lease("two", 15.0)
    assert stale is not None
    with pytest.raises(StaleLease, match="held by two"):
        store.save(*facts.everything(), epoch=stale.epoch)
    assert count(store) == 0


def test_facts_are_refused_once_the_lease_is_given_back(store: Store) -> None:
    lease = store.acquire_lease("one", 15.0)
    store.release_lease("one")
    assert lease is not None
    with pytest.raises(StaleLease, match="held by nobody"):
        store.save(facts.job(), epoch=lease.epoch)
    assert count(store) == 0


def test_an_epoch_that_never_was_is_refused(store: Store) -> None:
    for epoch in (-1, 0, 1):
        with pytest.raises(StaleLease):
            store.save(epoch=epoch)


def test_people_write_without_a_lease(store: Store) -> None:
    store.acquire_lease("one", 15.0)
    store.save(*facts.everything())
    assert count(store) == 7


def test_closing_may_be_repeated(store: Store) -> None:
    store.close()
    store.close()


def test_a_wish_of_an_application_survives_what_the_controller_saves(store: Store) -> None:
    store.save(*facts.everything())
    (read,) = store.applications()
    store.ask("application-1", ApplicationWish.ROLL_BACK)
    store.save(replace(read, message="read before the wish was written"))
    (kept,) = store.applications()
    assert (kept.wish, kept.message) == (
        ApplicationWish.ROLL_BACK,
        "read before the wish was written",
    )
    with pytest.raises(NotFound):
        store.ask("application-9", ApplicationWish.REJECT)


def test_the_audit_is_a_chain(store: Store) -> None:
    store.save(*facts.everything(), facts.event("plan.rollback"))
    store.save(facts.event("job.cancel"))
    trail = store.audit()
    assert [event.action for event, _ in trail.links] == [
        "plan.apply",
        "plan.rollback",
        "job.cancel",
    ]
    assert audit.verify(trail) == ""
    assert audit.unlinked(trail) == 0
