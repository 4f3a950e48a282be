"""Hard caps: what is spent in the end is never above them, whatever runs and however it ends."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.fakes import FakeOutcome
from tests.unit.builders import NOON, attempt, failure, measurement, spec, trial
from tests.unit.test_controller import STEP_S, World, batch_of, by_batch
from tuner import budget
from tuner.executors import supervisor
from tuner.gang import Gang
from tuner.model import (
    Attempt,
    AttemptState,
    FailureKind,
    JobState,
    Placement,
    Spend,
    TrialState,
    Wish,
)

CORE = {"as_of": "2026-11-01", "per_core_hour": {"on_demand": 3.6}}
"""Both cores of the fake computer cost 0.002 dollars a second."""


BATCHES: dict[str, Any] = {
    "space": {"params": {"global_batch_size": {"kind": "choice", "options": [256, 2048, 512]}}},
    "workload": {"command": ["train", "--batch=${global_batch_size}"], "launch": "per_rank"},
}


def spent(world: World) -> Decimal:
    return sum((a.spend.usd or Decimal(0) for a in world.store.attempts("job_1")), Decimal(0))


def pairs_of(world: World) -> int:
    (plan,) = world.store.plans()
    return len(plan.pairs)


def restless(gang: Gang) -> FakeOutcome:
    """Never ends by itself, never precise, and takes the whole grace period to end."""
    return FakeOutcome(samples_per_s=1000.0, noise=0.5, duration_s=None, stop_s=5.9)


def slow_winner(gang: Gang) -> FakeOutcome:
    """Precise, but only after 20 s, so that confirming costs a lot."""
    outcome = by_batch(gang)
    return replace(outcome, startup_s=15.0, duration_s=None, stop_s=2.0)


def hangs(gang: Gang) -> FakeOutcome:
    return FakeOutcome(samples_per_s=0, duration_s=None, stop_s=5.9)


@pytest.mark.parametrize("outcome", [by_batch, restless, slow_winner, hangs])
@pytest.mark.parametrize("cap", ["0.02", "0.05", "0.1", "0.33", "1"])
def test_money_is_never_above_its_cap(outcome: Callable[[Gang], FakeOutcome], cap: str) -> None:
    world = World(outcome, budget={"trials": 12, "usd": cap}, prices=CORE)
    world.run(steps=4000)
    assert 0 < spent(world) <= Decimal(cap)
    assert world.executor.running == []


@pytest.mark.parametrize(("name", "cap"), [("minutes", 1), ("core_hours", 0.03)])
def test_the_other_caps_are_as_hard(name: str, cap: float) -> None:
    world = World(restless, budget={"trials": 12, name: cap})
    world.run(steps=4000)
    used = budget.used_of(world.job.spec, world.store.attempts("job_1"))[name]
    assert Decimal("0.5") * Decimal(str(cap)) < used <= Decimal(str(cap))


def test_parallel_trials_share_the_cap() -> None:
    world = World(
        restless,
        budget={"trials": 12, "usd": "0.1"},
        prices=CORE,
        search={"parallel_trials": 2},
        resources={"cores_per_node": 1},
    )
    world.run(steps=4000)
    assert 0 < spent(world) <= Decimal("0.1")


def test_money_is_kept_aside_for_confirming() -> None:
    world = World(slow_winner, budget={"trials": 12, "usd": "0.45"}, prices=CORE)
    world.run(steps=4000)
    assert 2 <= len(world.trials) < 12
    assert pairs_of(world) >= 3
    assert spent(world) <= Decimal("0.45")


def test_as_many_pairs_as_fit_are_run() -> None:
    def outcome(gang: Gang) -> FakeOutcome:  # arms turn out longer than the measurement promised
        tried = gang.launch_key in ("job_1-0-0", "job_1-1-0")
        return replace(slow_winner(gang), startup_s=15.0 if tried else 24.0)

    world = World(
        outcome,
        budget={"trials": 2, "usd": "0.5"},
        prices=CORE,
        apply={"pairs": 6},
        **BATCHES,
    )
    world.run(steps=4000)
    assert 3 <= pairs_of(world) < 6
    assert spent(world) <= Decimal("0.5")


def test_pairs_that_could_prove_nothing_are_not_begun() -> None:
    def outcome(gang: Gang) -> FakeOutcome:  # the winner takes longer than the default promised
        return replace(slow_winner(gang), startup_s=60.0 if batch_of(gang) == 2048 else 15.0)

    world = World(outcome, budget={"trials": 2, "usd": "0.36"}, prices=CORE, **BATCHES)
    world.run(steps=4000)
    assert world.trials[1].measurement is not None
    assert not any(a.purpose == "confirm" for a in world.store.attempts("job_1"))
    assert spent(world) < Decimal("0.2"), "one pair would have fitted"


def test_measuring_ends_where_confirming_begins() -> None:
    def outcome(gang: Gang) -> FakeOutcome:
        return hangs(gang) if batch_of(gang) == 512 else by_batch(gang)

    world = World(outcome, budget={"trials": 3, "usd": "0.2"}, prices=CORE, **BATCHES)
    world.run(steps=4000)
    assert world.trials[2].state is TrialState.CANCELLED, "cut short, so nothing is known of it"
    assert pairs_of(world) >= 3
    assert spent(world) <= Decimal("0.2")


def test_neither_a_pause_nor_a_stopped_controller_uses_minutes() -> None:
    world = World(budget={"trials": 12, "minutes": 3})
    world.run(until=lambda: len(world.executor.launched) == 2)
    world.store.wish("job_1", Wish.PAUSE)
    for _ in range(100):
        world.controller.step("job_1")
        world.clock.sleep(STEP_S)
    world.clock.sleep(3600)
    world.store.wish("job_1", Wish.RUN)
    world.run(until=lambda: len(world.executor.launched) == 4)
    world.clock.sleep(3600)  # nobody steps; what runs has ended by itself
    world.controller = world.new_controller()
    world.run()
    assert world.job.state is JobState.SUCCEEDED
    assert len(world.trials) == 12
    assert pairs_of(world) >= 3


def test_a_cap_is_kept_during_a_pause() -> None:
    world = World(restless, budget={"trials": 12, "usd": "0.1"}, prices=CORE)
    world.run(until=lambda: len(world.executor.running) == 1)
    world.store.wish("job_1", Wish.PAUSE)
    world.run(until=lambda: world.store.attempts("job_1")[0].state.is_finished)
    assert world.job.state is JobState.PAUSED
    assert Decimal("0.05") < spent(world) <= Decimal("0.1")


def test_a_confirming_run_waits_for_gpus_that_have_a_price(monkeypatch: pytest.MonkeyPatch) -> None:
    book = {**CORE, "per_gpu_hour": {"H100": {"on_demand": 3.6}}}
    world = World(budget={"trials": 2, "usd": 10}, prices=book)
    monkeypatch.setattr(type(world.host), "gpus", lambda _: (0, 1))
    monkeypatch.setattr(type(world.host), "gpu_names", lambda _: {0: "H100", 1: "T4"})
    world.run(until=lambda: any(a.pair is not None for a in world.store.attempts("job_1")))
    other = Placement(cores=((),), gpus=((0,),))
    taking = attempt(0, job_id="job_2", state=AttemptState.RUNNING, placement=other)
    world.store.save(replace(world.job, id="job_2"), replace(trial(0), job_id="job_2"), taking)
    world.run(until=lambda: "waiting for cores or GPUs" in world.job.message)
    world.store.save(replace(taking, state=AttemptState.COMPLETE))
    world.run()
    assert pairs_of(world) >= 3
    assert {g for a in world.store.attempts("job_1") for n in a.placement.gpus for g in n} == {0}


def test_what_runs_without_a_known_price_ends_under_a_cap_in_money() -> None:
    job = spec(budget={"usd": 1}, prices=CORE)
    unknown = Placement(cores=((0,),), gpus=((0,),), gpu_names={0: "T4"})
    runs = attempt(0, state=AttemptState.RUNNING, handle="h", placement=unknown)
    assert budget.room(job, [trial(0)], [runs]).is_spent
    assert not budget.room(spec(budget={"minutes": 9}), [trial(0)], [runs]).is_spent


def test_what_has_no_price_is_not_launched_under_a_cap_in_money(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(budget={"trials": 4, "usd": 1}, prices=CORE)
    host = world.controller._host
    monkeypatch.setattr(type(host), "gpus", lambda _: (0,))
    monkeypatch.setattr(type(host), "gpu_names", lambda _: {0: "H100"})
    world.run()
    assert world.executor.launched == []
    assert world.job.state is JobState.FAILED
    assert "on_demand price of its GPUs (H100) is unknown" in world.job.message


def test_a_computer_whose_gpus_have_no_price_is_named_before_anything_starts() -> None:
    job = spec(budget={"usd": 1}, prices=CORE)
    assert budget.unpriced(job, []) is None
    said = budget.unpriced(job, ["H100", "H100"])
    assert said is not None
    assert "on_demand price of H100 is unknown. Remedy: add it to prices.per_gpu_hour" in said
    priced = {**CORE, "per_gpu_hour": {"H100": {"on_demand": 3}}}
    assert budget.unpriced(spec(budget={"usd": 1}, prices=priced), ["H100"]) is None
    assert budget.unpriced(spec(prices=CORE), ["H100"]) is None, "without a cap it is unknown"
    cpu_only = spec(budget={"usd": 1}, prices=CORE, resources={"gpus_per_node": 0})
    assert budget.unpriced(cpu_only, ["H100"]) is None


def test_a_cap_that_pays_for_nothing_says_so() -> None:
    world = World(budget={"trials": 4, "usd": "0.01"}, prices=CORE)
    world.run()
    assert world.executor.launched == []
    assert "does not even pay for 6.5 s" in world.job.message


def test_the_margin_covers_what_a_supervisor_takes_to_end_a_gang() -> None:
    grace_s = supervisor.TERM_GRACE_S + supervisor.LEFTOVER_GRACE_S + supervisor.TURN_S
    assert grace_s < budget.STOP_LIMIT_S


def ran(start_s: float, wall_s: float, core: int = 0) -> Attempt:
    created_at = NOON + timedelta(seconds=start_s)
    placement = Placement(cores=((core,),), gpus=((),))
    return attempt(0, created_at=created_at, spend=Spend(wall_s=wall_s), placement=placement)


def test_minutes_are_those_in_which_something_ran() -> None:
    assert budget.busy_s([]) == 0
    assert budget.busy_s([ran(0, 10), ran(5, 10, core=1)]) == 15, "side by side counts once"
    assert budget.busy_s([ran(0, 10), ran(12, 10)]) == 22, "choosing the next counts"
    assert budget.busy_s([ran(0, 10), ran(1000, 10)]) == 20, "a pause does not"
    assert budget.busy_s([ran(0, 100), ran(5, 10, core=1)]) == 100


@pytest.mark.parametrize("set_back_s", [0, 1, 55, 60, 70, 3600])
def test_a_clock_that_is_set_back_gives_no_minutes_away(set_back_s: float) -> None:
    first, second, third = ran(0, 60), ran(60 - set_back_s, 60), ran(120 - set_back_s, 30)
    assert budget.busy_s([first, second, third]) == pytest.approx(150, abs=budget.GAP_S)


def test_energy_that_was_not_measured_is_taken_as_much() -> None:
    prices = {**CORE, "per_gpu_hour": {"any": {"on_demand": 0}}, "per_kwh": 3.6}
    job = spec(budget={"usd": 1}, prices=prices)
    place = Placement(cores=((0,),), gpus=((0,),))
    lost = attempt(0, placement=place, spend=Spend(wall_s=3600, core_s=3600, gpu_s=3600))
    assert budget.used_of(job, [lost])["usd"] == Decimal("3.6") + Decimal("3.6")


def test_without_caps_there_is_room() -> None:
    assert budget.room(spec(), [], []) == budget.Room()


def test_lost_attempts_count_but_predict_nothing() -> None:
    job = spec(budget={"minutes": 10})
    failed = attempt(
        1,
        state=AttemptState.FAILED,
        spend=Spend(wall_s=500),
        failure=None,
    )
    lost = replace(failed, failure=failure(FailureKind.LOST))
    trials = [trial(0, outcome=measurement())]
    base = attempt(0, spend=Spend(wall_s=10), measurement=measurement())
    assert not budget.room(job, trials, [base, failed]).may_measure
    assert budget.used_of(job, [base, lost])["minutes"] == Decimal("510") / 60
    assert budget.room(job, trials, [base, lost]).may_measure
