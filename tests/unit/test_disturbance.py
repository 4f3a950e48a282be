"""What disturbs a run is told from what the system shows, and such a run is made again."""

from dataclasses import replace

import pytest

from tests.unit.builders import attempt, measurement, spec
from tuner.disturbance import MAX_REPEATS, Surroundings, is_repeated, marked, usual_load_pct
from tuner.gang import Record, UsageSample
from tuner.measure import Reading, read
from tuner.model import Attempt, Measurement


def stepping(change_at: int = 400, factor: float = 1.0) -> Reading:
    records, moment = [], 0.0
    for i in range(400):
        moment += 0.02 * (factor if i >= change_at else 1.0)
        records.append(Record(rank=0, t_s=moment, steps=1, samples=100))
    return read(records)


def load(*cores_by_second: float, **others: float) -> list[UsageSample]:
    """A sample per second; how many cores others kept busy in each."""
    taken, samples = 0.0, []
    for second, cores in enumerate(cores_by_second):
        values = {"other_cpu_s": taken} | {name: v * second for name, v in others.items()}
        samples.append(UsageSample(t_s=float(second), values=values))
        taken += cores
    return samples


def seen(
    samples: list[UsageSample], reading: Reading, usual_pct: float | None = 0.0
) -> Measurement:
    around = Surroundings(samples=samples, num_cores=2, usual_load_pct=usual_pct)
    return marked(measurement(5000), reading, around)


def test_quiet_run_is_stable_and_says_how_quiet() -> None:
    found = seen(load(*[0.02] * 10), stepping())
    assert found.is_stable
    assert not found.is_disturbed
    assert found.metrics["other_cpu_pct"] == pytest.approx(1.0)


def test_another_load_is_named() -> None:
    found = seen(load(*[0.6] * 10), stepping())
    assert found.is_disturbed
    assert not found.is_stable
    assert found.notes == ("another load took 30 % of its cores (0 % is usual here)",)


def test_the_usual_load_is_no_disturbance() -> None:
    assert not seen(load(*[0.6] * 10), stepping(), usual_pct=28).is_disturbed
    assert not seen(load(*[0.6] * 10), stepping(), usual_pct=None).is_disturbed


def test_load_outside_the_steady_window_disturbs_nobody() -> None:
    reading = stepping()
    assert reading.window is not None
    busy_after = [0.0] * 8 + [2.0] * 4
    assert reading.window[1] <= 8.01
    assert not seen(load(*busy_after), reading).is_disturbed


def test_a_change_of_the_rate_is_put_down_to_a_change_of_the_load() -> None:
    reading = stepping(change_at=260, factor=1.2)
    assert reading.change_s == pytest.approx(5.2, abs=0.2)
    by_load = seen(load(*[0.0] * 5, *[0.18] * 6), reading)
    assert by_load.is_disturbed
    assert "went from" in by_load.notes[-1]
    assert not seen(load(*[0.1] * 10), reading).is_disturbed


def test_throttling_is_named() -> None:
    found = seen(load(*[0.0] * 10, gpu_throttled_s=0.2), stepping())
    assert found.is_disturbed
    assert "throttled for 20 %" in found.notes[0]


def test_without_samples_nothing_is_claimed() -> None:
    found = seen([], stepping())
    assert found == measurement(5000)


def disturbed(number: int, *, trial: int = 3, pair: int | None = None) -> Attempt:
    spoilt = replace(measurement(5000), is_stable=False, is_disturbed=True)
    made = attempt(trial, pair=pair, measurement=spoilt)
    return replace(made, number=number)


def fine(trial: int) -> Attempt:
    return attempt(trial, measurement=measurement(5000))


def test_a_disturbed_run_is_made_again_but_not_for_ever() -> None:
    rest = [fine(t) for t in range(10, 30)]
    runs = [disturbed(n) for n in range(MAX_REPEATS + 1)]
    assert is_repeated(runs[0], [*rest, runs[0]])
    assert is_repeated(runs[1], [*rest, *runs[:2]])
    assert not is_repeated(runs[2], [*rest, *runs])
    assert not is_repeated(fine(3), rest)


def test_arms_of_pairs_are_counted_by_themselves() -> None:
    rest = [fine(t) for t in range(10, 30)]
    others = [disturbed(n, pair=1) for n in range(MAX_REPEATS + 1)]
    assert is_repeated(disturbed(9, pair=2), [*rest, *others, disturbed(9, pair=2)])


def test_on_a_computer_that_is_always_busy_nothing_is_made_again() -> None:
    runs = [disturbed(0, trial=t) for t in range(3)] + [fine(t) for t in range(3, 6)]
    assert not is_repeated(runs[0], runs)


def test_usual_load_is_what_three_of_four_runs_have_at_least() -> None:
    runs = [
        attempt(t, measurement=replace(measurement(1), metrics={"other_cpu_pct": pct}))
        for t, pct in enumerate([60.0, 5.0, 40.0, 3.0])
    ]
    assert usual_load_pct(spec(), runs) == 5.0
    assert usual_load_pct(spec(), []) == 0.0
    side_by_side = replace(spec(), search=replace(spec().search, parallel_trials=2))
    assert usual_load_pct(side_by_side, runs) is None
