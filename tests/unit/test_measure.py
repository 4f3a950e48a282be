"""Throughput from records: warm-up found, pauses left out, intervals that hold."""

import math
import random

import pytest

from tuner import measure
from tuner.gang import Record
from tuner.rate import Rate


def gang(
    *,
    ranks: int = 1,
    lines: int = 400,
    step_s: float = 0.02,
    noise: float = 0.1,
    warm_factor: float = 0.0,
    pause_at: int | None = None,
    seed: int = 0,
) -> list[Record]:
    """Ranks in lock step, 100 samples a step each; the first steps slower by `warm_factor`."""
    rng = random.Random(seed)
    moment, records = 100.0, []
    for i in range(lines):
        slow = 1 + warm_factor * math.exp(-i / 10)
        moment += step_s * slow * rng.lognormvariate(-noise * noise / 2, noise)
        pause_s = 3.0 if i == pause_at else 0.0
        moment += pause_s
        records += [
            Record(rank=r, t_s=moment + 0.001 * r, steps=1, samples=100, pause_s=pause_s)
            for r in range(ranks)
        ]
    return records


def throughput(records: list[Record]) -> Rate:
    rate = measure.read(records).throughput
    assert rate is not None
    return rate


def test_throughput_is_samples_of_all_ranks_over_wall_time() -> None:
    rate = throughput(gang(ranks=2, noise=0.0))
    assert rate.value == pytest.approx(2 * 100 / 0.02, rel=1e-6)
    assert rate.interval is not None
    assert rate.is_stable


def test_warm_up_is_cut_off() -> None:
    rate = throughput(gang(warm_factor=5.0, noise=0.02))
    assert rate.value == pytest.approx(5000, rel=0.02)
    assert 0.3 < rate.warmup_s < 3.0


def test_without_warm_up_little_is_cut() -> None:
    assert throughput(gang(noise=0.0)).warmup_s == 0.0


def test_pauses_leave_throughput_alone_and_are_told() -> None:
    with_pause = measure.read(gang(pause_at=200))
    assert with_pause.throughput is not None
    without = throughput(gang())
    assert with_pause.throughput.value == pytest.approx(without.value, rel=0.01)
    assert with_pause.pause_share == pytest.approx(3.0 / (3.0 + 8.0), rel=0.05)


def test_intervals_cover_the_truth() -> None:
    covered = sum(
        low <= 5000 <= high
        for seed in range(100)
        for low, high in [throughput(gang(seed=seed)).interval or (0, 0)]
    )
    assert covered >= 90


def test_interval_is_unknown_for_a_handful_of_steps() -> None:
    assert throughput(gang(lines=6)).interval is None


def test_gang_is_as_far_as_its_slowest_rank() -> None:
    records = gang(ranks=2)
    cut = [r for r in records if r.rank == 0 or r.t_s < 103.0]
    reading = measure.read(cut)
    assert reading.last_s == pytest.approx(103.0, abs=0.1)
    assert reading.throughput is not None
    assert reading.throughput.value == pytest.approx(10_000, rel=0.05)


def test_drift_is_unstable() -> None:
    records, moment = [], 0.0
    for i in range(400):
        moment += 0.02 if i < 220 else 0.03
        records.append(Record(rank=0, t_s=moment, steps=1, samples=100))
    rate = throughput(records)
    assert not rate.is_stable
    assert "no steady state" in rate.notes[0]


def test_steady_noise_is_hardly_ever_called_unstable() -> None:
    unstable = sum(not throughput(gang(seed=seed, noise=0.3)).is_stable for seed in range(100))
    assert unstable <= 3


def test_stated_rates_are_averaged() -> None:
    records = [
        Record(rank=0, t_s=float(i), values={"samples_per_s": 50.0 if i < 10 else 100.0 + i % 3})
        for i in range(100)
    ]
    assert throughput(records).value == pytest.approx(101, rel=0.01)


def test_steps_without_samples_do_not_hide_a_stated_rate() -> None:
    records = [
        Record(rank=0, t_s=float(i), steps=1, values={"samples_per_s": 100.0}) for i in range(60)
    ]
    reading = measure.read(records)
    assert reading.throughput is not None
    assert reading.throughput.value == pytest.approx(100)
    assert reading.step_rate == pytest.approx(1.0)


def test_values_loss_at_the_end_and_others_last_or_mean() -> None:
    records = gang()
    records = [
        Record(
            rank=r.rank,
            t_s=r.t_s,
            steps=1,
            samples=100,
            values={"loss": 1 / (1 + i), "queue": 5.0 + (i % 2)},
        )
        for i, r in enumerate(records)
    ]
    records.append(Record(rank=0, t_s=records[-1].t_s + 1, values={"auc": 0.78}))
    reading = measure.read(records)
    assert reading.values["auc"] == 0.78
    assert reading.values["loss"] < 0.004
    assert reading.values["queue"] == pytest.approx(5.5, abs=0.05)
    assert "queue" in reading.intervals
    assert "auc" not in reading.intervals


def test_same_records_same_reading() -> None:
    assert measure.read(gang(ranks=2)) == measure.read(gang(ranks=2))


def test_nothing_gives_nothing() -> None:
    reading = measure.read([])
    assert reading.throughput is None
    assert reading.last_s is None
    assert reading.steps == 0


def test_a_pause_of_one_rank_is_a_pause_of_all() -> None:
    records, moment = [], 0.0
    for i in range(400):
        pause_s = 2.0 if i in (100, 200, 300) else 0.0
        moment += 0.01 + pause_s
        records += [
            Record(rank=0, t_s=moment, steps=1, samples=1, pause_s=pause_s),
            Record(rank=1, t_s=moment + 0.001, steps=1, samples=1),
        ]
    reading = measure.read(records)
    assert reading.throughput is not None
    assert reading.throughput.value == pytest.approx(200, rel=0.01)
    assert reading.rank_skew == pytest.approx(1.0, abs=0.01)


def test_peaks_are_peaks_whatever_the_order_of_ranks() -> None:
    records = [
        Record(rank=r, t_s=i + r / 2, values={"gpu_peak_memory_gib": float(min(i, 70)), "loss": i})
        for r in (0, 1)
        for i in range(100)
    ]
    assert measure.read(records).values["gpu_peak_memory_gib"] == 70
    assert measure.read(records) == measure.read(sorted(records, key=lambda r: r.t_s))


def test_stated_rates_count_for_the_time_they_cover() -> None:
    records, moment = [], 0.0
    for i in range(100):
        took_s = 1.0 if i % 2 else 3.0
        moment += took_s
        records.append(Record(rank=0, t_s=moment, values={"samples_per_s": 1000 / took_s}))
    assert throughput(records).value == pytest.approx(500, rel=0.02)


def test_a_single_stated_rate_is_a_figure_without_an_interval() -> None:
    rate = throughput([Record(rank=0, t_s=5.0, values={"samples_per_s": 69.2})])
    assert rate.value == 69.2
    assert rate.interval is None


def test_values_alone_have_a_window_and_an_interval_that_respects_correlation() -> None:
    chance, level = random.Random(4), 0.0
    records = []
    for i in range(200):
        level = 0.9 * level + chance.gauss(0, 1)
        values = {"requests_per_s": 1000.0 + 10 * level}
        records.append(Record(rank=0, t_s=5.0 + 0.1 * i, values=values))
    reading = measure.read(records)
    assert reading.throughput is None
    assert reading.window == pytest.approx((5.0, 24.9))
    low, high = reading.intervals["requests_per_s"]
    plain = 2 * 1.96 * 10 * 2.3 / math.sqrt(200)
    assert high - low > 2 * plain
