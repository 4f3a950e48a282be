"""The benchmark of the time to a plan: what it counts, without running anything."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from benchmarks import engineer, time_to_plan
from benchmarks.engineer import Moment, Search
from benchmarks.time_to_plan import Compared, Grid, Took
from tests.unit import builders, plans
from tuner.jobfile import load_job_file
from tuner.model import Attempt, Spend, Trial
from tuner.space import Choice, Int, Params, Space, key

JOB = Path(time_to_plan.HERE) / "time_to_plan.yaml"
SPACE = Space(
    params={
        "batch": Choice(options=(1, 2)),
        "nnodes": Int(low=1, high=2),
        "strategy": Choice(options=("row", "table"), when="nnodes > 1"),
    }
)


def grid(**rates: float) -> Grid:
    """Rates by batch size: `b1=`, `b2=`."""
    return Grid(
        fingerprint={"cpu": "a"}, rates={key({"batch": int(n[1:])}): r for n, r in rates.items()}
    )


GRID = grid(b1=50.0, b2=96.0, b3=100.0, b4=0.0)


def test_the_job_has_the_configurations_that_the_text_says() -> None:
    spec = load_job_file(JOB)
    count = sum(1 for _ in spec.space.members())
    assert f"{count} configurations" in JOB.read_text(encoding="utf-8")


def test_what_is_within_5_percent_of_the_optimum_is_good() -> None:
    assert GRID.share({"batch": 2}) == pytest.approx(0.96)
    assert [GRID.is_good({"batch": batch}) for batch in (1, 2, 3, 4)] == [False, True, True, False]


def test_a_grid_is_kept_while_nothing_has_changed(tmp_path: Path) -> None:
    spec = load_job_file(JOB)
    rates = {key(params): 1.0 for params in spec.space.members()}
    path = tmp_path / "grid.json"
    assert time_to_plan.kept_grid(path, spec, {}) is None
    kept = Grid(fingerprint={"cpu": "a", "git": "x"}, rates=rates)
    path.write_text(json.dumps(asdict(kept)))
    assert time_to_plan.kept_grid(path, spec, {"cpu": "a", "git": "y"}) == kept
    assert time_to_plan.kept_grid(path, spec, {"cpu": "b", "git": "x"}) is None
    path.write_text(json.dumps(asdict(replace(kept, rates={"{}": 1.0}))))
    assert time_to_plan.kept_grid(path, spec, {"cpu": "a"}) is None


def lines(*samples: int) -> Iterator[tuple[float, str]]:
    yield 0.0, "a note of torchrun\n"
    for second, count in enumerate(samples, 3):
        yield float(second), f"{count:,} samples, loss 0.6\n"


def test_the_window_begins_with_the_first_line_of_progress() -> None:
    assert engineer.rate_of(lines(1000, 3000, 5000, 7000, 99_000), 3.0) == 2000.0
    assert engineer.rate_of(lines(1000, 3000), 3.0) == 0.0


def test_the_engineer_starts_a_rank_for_each_node() -> None:
    spec = load_job_file(JOB)
    words = engineer.words_of(spec, {"nnodes": 2, "global_batch_size": 4096})
    assert "--nproc-per-node=2" in words
    assert words[-2:] == ["workloads.dlrm", "--global-batch-size=4096"]


def test_the_engineer_searches_until_it_is_good_and_confirms_it() -> None:
    ran: list[Params] = []

    def run(params: Params) -> float:
        assert SPACE.contains(params)
        ran.append(params)
        return float(params["batch"]) * float(params["nnodes"])

    def good(params: Params) -> bool:
        return params["batch"] == 2 and params["nnodes"] == 2

    found = engineer.tune(SPACE, run, good, num_cores=2, seed=0, trials=50)
    assert ran[0] == SPACE.default()
    assert good(found.moments[-1].best)
    assert not any(good(moment.best) for moment in found.moments[:-1])
    assert ran[len(found.moments) :] == [found.moments[-1].best, SPACE.default()] * 2
    assert found.rates == {"best": [4.0, 4.0], "default": [1.0, 1.0]}
    assert found.confirmed_s >= found.moments[-1].at_s


def test_the_engineer_gives_up_after_so_many_trials() -> None:
    found = engineer.tune(
        SPACE, lambda params: 1.0, lambda params: False, num_cores=2, seed=0, trials=3
    )
    assert len(found.moments) == 3


def trial(number: int, batch: int, rate: float | None, at_s: float) -> Trial:
    measured = None if rate is None else builders.measurement(rate)
    return replace(
        builders.trial(number),
        params={"batch": batch},
        measurement=measured,
        ended_at=builders.NOON + timedelta(seconds=at_s),
    )


def attempt(number: int, at_s: float, core_s: float) -> Attempt:
    return replace(
        builders.attempt(number),
        ended_at=builders.NOON + timedelta(seconds=at_s),
        spend=Spend(core_s=core_s),
    )


TRIALS = [trial(0, 1, 49.0, 5), trial(1, 4, None, 6), trial(2, 2, 97.0, 9), trial(3, 3, 90.0, 12)]
ATTEMPTS = [attempt(0, 5, 8), attempt(1, 6, 2), attempt(2, 9, 6), attempt(3, 12, 6)]


def test_in_hand_is_the_first_good_one_and_confirmed_the_end() -> None:
    plan = replace(plans.a_plan(), params={"batch": 2}, verdict="better")
    took = time_to_plan.took_by_trimtab(GRID, builders.NOON, 30.0, TRIALS, ATTEMPTS, plan)
    assert (took.in_hand_s, took.in_hand_core_s) == (9.0, 16.0)
    assert (took.confirmed_s, took.confirmed_core_s) == (30.0, 22.0)
    assert took.share == pytest.approx(0.96)


@pytest.mark.parametrize(("verdict", "batch"), [("within_noise", 2), ("better", 1)])
def test_a_plan_that_is_not_good_or_not_proven_is_not_confirmed(
    verdict: Literal["better", "within_noise"], batch: int
) -> None:
    plan = replace(plans.a_plan(), params={"batch": batch}, verdict=verdict)
    took = time_to_plan.took_by_trimtab(GRID, builders.NOON, 30.0, TRIALS, ATTEMPTS, plan)
    assert took.confirmed_s is None
    assert took.in_hand_s == 9.0


def test_a_trial_that_is_not_steady_is_not_in_hand() -> None:
    measured = builders.measurement(99.0, is_stable=False, notes=("no",))
    odd = replace(trial(1, 3, None, 7), measurement=measured)
    moments = time_to_plan.moments_of(builders.NOON, [TRIALS[0], odd], [])
    assert [moment.best for moment in moments] == [{"batch": 1}, {"batch": 1}]


def searched(batch: int) -> Search:
    moment = Moment(at_s=100.0, core_s=200.0, best={"batch": batch})
    return Search(moments=[moment], confirmed_s=200.0, confirmed_core_s=400.0)


def compared(ours: float | None, batch: int = 3) -> Compared:
    took = Took(
        in_hand_s=10.0,
        in_hand_core_s=20.0,
        confirmed_s=ours,
        confirmed_core_s=ours and 2 * ours,
        total_s=50.0,
        total_core_s=100.0,
        trials=5,
        share=0.98,
    )
    theirs = time_to_plan.took_by_engineer(GRID, searched(batch))
    return Compared(seed=0, trimtab_first=True, trimtab=took, engineer=theirs)


def test_ratios_are_medians_over_the_pairs() -> None:
    found = time_to_plan.summary(
        GRID, {"batch": 1}, [compared(20.0), compared(40.0), compared(60.0)]
    )
    assert (found["time_ratio"], found["core_hours_ratio"]) == (0.2, 0.2)
    assert found["in_hand_time_ratio"] == 0.1
    assert (found["quality_share"], found["default_share"]) == (0.98, 0.5)
    assert (found["configurations"], found["good_configurations"]) == (4, 2)
    assert found["optimum"] == {"batch": 3}


def test_an_engineer_who_gave_up_counts_until_then_and_trimtab_has_to_get_there() -> None:
    found = time_to_plan.summary(GRID, {"batch": 1}, [compared(20.0, batch=1)])
    assert (found["time_ratio"], found["engineer_gave_up"]) == (0.1, 1)
    assert found["in_hand_time_ratio"] == 0.05
    assert time_to_plan.summary(GRID, {"batch": 1}, [compared(None)])["time_ratio"] is None
