"""When requests are sent, what is counted, and how the highest rate is found."""

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, pvariance

import pytest

from workloads.serving import bodies, schedule
from workloads.serving.rate_search import LOWEST_PER_S, RateSearch, Seen
from workloads.serving.tally import Decided, Tally, percentile


def sent(shape: str, rate: float, until_s: float, period_s: float = 10.0) -> list[float]:
    rate_at = schedule.SHAPES[shape](rate, period_s)
    moments = schedule.arrivals(rate_at, random.Random(3))
    return [*itertools.takewhile(lambda t_s: t_s < until_s, moments)]


def per_second(moments: list[float], until_s: int) -> list[int]:
    counts = Counter(int(t_s) for t_s in moments)
    return [counts[second] for second in range(until_s)]


def test_poisson_arrivals_have_its_mean_and_variance() -> None:
    counts = per_second(sent("poisson", 50, 400), 400)
    assert fmean(counts) == pytest.approx(50, rel=0.03)
    assert pvariance(counts) == pytest.approx(50, rel=0.25)


@pytest.mark.parametrize("rate", [0.5, 3000])
def test_arrivals_keep_their_rate_whatever_it_is(rate: float) -> None:
    until_s = 2000 / rate
    moments = sent("poisson", rate, until_s)
    assert len(moments) == pytest.approx(2000, rel=0.08)
    assert moments == sorted(moments)


def test_a_day_has_its_peak_and_its_trough_and_its_mean() -> None:
    counts = per_second(sent("day", 500, 10), 10)
    assert fmean(counts) == pytest.approx(500, rel=0.05)
    assert max(counts) == pytest.approx(500 * (1 + schedule.SWING), rel=0.15)
    assert min(counts) == pytest.approx(500 * (1 - schedule.SWING), rel=0.25)


def test_bursts_come_at_the_end_of_a_period_and_keep_the_mean() -> None:
    moments = sent("bursts", 500, 100)
    assert len(moments) == pytest.approx(50_000, rel=0.03)
    begin_s = 10 * (1 - schedule.BURST_SHARE)
    burst = sum(t_s % 10 >= begin_s for t_s in moments) / (100 * schedule.BURST_SHARE)
    calm = sum(t_s % 10 < begin_s for t_s in moments) / (100 * (1 - schedule.BURST_SHARE))
    assert burst / calm == pytest.approx(schedule.BURST_RATIO, rel=0.08)


def test_a_rate_of_0_sends_nothing_until_it_rises() -> None:
    def later(t_s: float) -> float:
        return 100.0 if t_s >= 2 else 0.0

    assert 2 <= next(schedule.arrivals(later, random.Random(0))) < 2.2


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([1.0], 0.99, 1.0),
        ([float(i) for i in range(1, 101)], 0.99, 99.0),
        ([float(i) for i in range(1, 102)], 0.99, 100.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([3.0, 1.0], 0.0, 1.0),
    ],
)
def test_percentiles_are_by_nearest_rank(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected


def test_a_latency_counts_from_when_the_request_was_due() -> None:
    """A client that was held up itself makes requests late as well."""
    tally = Tally(slo_s=0.05, timeout_s=5)
    late = tally.sent(10.0, now_s=10.4)
    tally.ended(late, 10.41, ok=True)
    assert tally.decide(10.41) == Decided(good=0, late=1)
    figures = tally.figures()
    assert figures["p99_latency_ms"] == pytest.approx(410)
    assert figures["p99_send_lag_ms"] == pytest.approx(400)


def test_a_request_is_late_as_soon_as_it_cannot_be_in_time() -> None:
    tally = Tally(slo_s=0.05, timeout_s=5)
    request = tally.sent(1.0, 1.0)
    assert tally.decide(1.04) == Decided(0, 0)
    assert tally.decide(1.06) == Decided(0, 1)
    tally.ended(request, 1.2, ok=True)
    assert tally.decide(1.3) == Decided(0, 0), "and only once"
    assert (tally.answered, tally.late) == (1, 1)


def test_a_failed_request_is_late_however_fast_it_failed() -> None:
    tally = Tally(slo_s=0.05, timeout_s=5)
    tally.ended(tally.sent(1.0, 1.0), 1.001, ok=False)
    tally.ended(tally.sent(1.0, 1.0), 1.002, ok=True)
    assert tally.decide(1.01) == Decided(good=1, late=1)
    figures = tally.figures()
    assert (figures["error_pct"], figures["slo_attainment_pct"]) == (50, 50)
    assert figures["p99_latency_ms"] == pytest.approx(5000)


def test_what_was_before_the_beginning_is_forgotten() -> None:
    tally = Tally(slo_s=0.05, timeout_s=5)
    tally.ended(tally.sent(1.0, 1.0), 3.0, ok=True)
    tally.decide(3.0)
    tally.begin()
    assert tally.figures() == {}


def after(search: RateSearch, ticks: int, late_share: Callable[[float], float]) -> list[float]:
    """The rates of a search on a server that answers this share too late at a rate."""
    rng = random.Random(5)
    rates = []
    for _ in range(ticks):
        count = round(search.rate * 0.1)
        late = sum(rng.random() < late_share(search.rate) for _ in range(count))
        search.tick(Seen(good=count - late, late=late, outstanding=0))
        rates.append(search.rate)
    return rates


def knee(rate: float) -> float:
    """1 % late at 800 requests per second, ten times as much 10 % above."""
    return min(1.0, 0.01 * (rate / 800) ** 24)


@pytest.mark.parametrize("start_per_s", [50, 5000])
def test_the_search_finds_the_rate_at_which_p99_is_kept(start_per_s: float) -> None:
    search = RateSearch(start_per_s)
    rates = after(search, 800, knee)
    assert search.is_found
    assert fmean(rates[-400:]) == pytest.approx(770, rel=0.05)


def test_a_hiccup_costs_the_search_a_step_and_not_the_result() -> None:
    search = RateSearch(50)
    before = fmean(after(search, 800, knee)[-400:])
    for _ in range(5):
        search.tick(Seen(good=0, late=80, outstanding=300))
    assert search.rate > 0.85 * before
    assert fmean(after(search, 400, knee)[-300:]) == pytest.approx(before, rel=0.04)


def test_the_search_waits_until_what_piled_up_is_gone() -> None:
    search = RateSearch(100)
    search.tick(Seen(good=0, late=9, outstanding=500))
    for _ in range(10):
        search.tick(Seen(good=0, late=50, outstanding=400))
        assert search.rate == LOWEST_PER_S
    search.tick(Seen(good=0, late=50, outstanding=0))
    assert search.rate == pytest.approx(60)
    assert not search.is_found


def test_a_server_that_is_always_late_ends_at_the_lowest_rate() -> None:
    search = RateSearch(50)
    after(search, 4000, lambda rate: 1.0)
    assert search.is_found
    assert search.rate < 4 * LOWEST_PER_S, "a tick without a request tells nothing"


def test_rankings_draw_the_same_users_again_and_stay_within_bounds() -> None:
    drawn = itertools.islice(bodies.rankings(1000, 50, 8, 1.05, seed=1), 2000)
    asked = [json.loads(body) for body in drawn]
    users = Counter(ask["user"] for ask in asked)
    assert users.most_common(1)[0][0] == 0
    assert 100 < len(users) < 1000
    assert all(0 <= ask["user"] < 1000 for ask in asked)
    assert all(len(ask["items"]) == 8 and min(ask["items"]) >= 0 for ask in asked)
    assert max(max(ask["items"]) for ask in asked) < 50


def test_bodies_of_a_file_come_one_after_the_other_and_again(tmp_path: Path) -> None:
    file = tmp_path / "bodies"
    file.write_text('{"a": 1}\n\n{"a": 2}\n')
    assert [*itertools.islice(bodies.of_file(file), 3)] == [b'{"a": 1}', b'{"a": 2}', b'{"a": 1}']
    file.write_text("\n")
    with pytest.raises(ValueError, match="no line"):
        bodies.of_file(file)
