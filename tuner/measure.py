"""From the records of a gang to its measurement. Pure: the same records give the same numbers.

Throughput is samples over wall time in the steady window, pauses left out, for the gang as a whole:
the samples of all ranks between two moments that every rank has reached. `tuner.rate` tells its
steady window and interval.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from tuner.gang import Record
from tuner.rate import MIN_BINS, Rate, Series, half_width_of, rate_of

MAX_BINS = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Everything that the records say."""

    throughput: Rate | None
    """Samples per second."""
    step_rate: float | None
    """Steps per second in the same window."""
    window: tuple[float, float] | None
    """Monotonic seconds at which the steady window begins and ends; pauses lie inside it."""
    change_s: float | None
    """Monotonic second at which the level changed inside it."""
    steps: int
    samples: float
    pause_share: float
    rank_skew: float | None
    first_step_s: float | None
    """Monotonic second of the first record with a step."""
    last_s: float | None
    """Monotonic second of the latest progress of the rank that is furthest behind."""
    slowest_step_s: float
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    series: Series | None


@dataclass(slots=True)
class _Track:
    """Cumulative progress of one rank over active time (pauses taken out)."""

    times: list[float]
    samples: list[float]
    steps: list[float]
    pause_s: float = 0.0

    def at(self, values: list[float], moment: float) -> float:
        """Progress at a moment between the first and the last time, interpolated."""
        i = min(max(bisect_right(self.times, moment), 1), len(self.times) - 1)
        t0, t1 = self.times[i - 1], self.times[i]
        share = (moment - t0) / (t1 - t0) if t1 > t0 else 1.0
        return values[i - 1] + share * (values[i] - values[i - 1])


def read(records: Sequence[Record]) -> Reading:
    """The reading of a gang from its records, in the order in which each rank wrote them."""
    by_rank: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        by_rank[record.rank].append(record)
    pauses = _pauses(by_rank.values())
    tracks = [t for rs in by_rank.values() if len((t := _track(rs, pauses)).times) >= 2]
    series = _series(tracks) if tracks else None
    if series is None or not any(series.rates):
        series, pauses = _stated_series(records), []
    throughput = rate_of(series) if series is not None else _summary_rate(records)
    values, intervals = _values(records, throughput)
    window, change_s = _moments(series, throughput, pauses)
    if throughput is None and values:
        window = _span(records)
    stepping = [r for r in records if r.steps > 0]
    return Reading(
        throughput=throughput if throughput is not None and throughput.value > 0 else None,
        step_rate=_step_rate(tracks, throughput),
        window=window,
        change_s=change_s,
        steps=max((sum(r.steps for r in rs) for rs in by_rank.values()), default=0),
        samples=sum(r.samples for r in records),
        pause_share=_pause_share(tracks),
        rank_skew=_skew(tracks),
        first_step_s=min((r.t_s for r in stepping), default=None),
        last_s=min((rs[-1].t_s for rs in by_rank.values()), default=None),
        slowest_step_s=max((_slowest(rs) for rs in by_rank.values()), default=0.0),
        values=values,
        intervals=intervals,
        series=series,
    )


def _pauses(ranks: Iterable[Sequence[Record]]) -> list[tuple[float, float]]:
    """When any rank paused, in order and without overlap: the others wait for it meanwhile.

    A pause begins at the rank's record before, as that is written when it begins.
    """
    found = []
    for records in ranks:
        before_s = None
        for record in records:
            if record.pause_s > 0:
                start_s = record.t_s - record.pause_s if before_s is None else before_s
                found.append((start_s, start_s + record.pause_s))
            before_s = record.t_s
    merged: list[tuple[float, float]] = []
    for start_s, end_s in sorted(found):
        if merged and start_s <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end_s))
        else:
            merged.append((start_s, end_s))
    return merged


def _track(records: Sequence[Record], pauses: Sequence[tuple[float, float]]) -> _Track:
    track = _Track([], [], [])
    samples = steps = paused_s = 0.0
    waiting = list(reversed(pauses))
    for record in records:
        while waiting and waiting[-1][1] <= record.t_s:
            start_s, end_s = waiting.pop()
            paused_s += end_s - start_s
        inside_s = max(0.0, record.t_s - waiting[-1][0]) if waiting else 0.0
        track.pause_s = paused_s + inside_s
        if not record.steps:
            continue
        if track.times:  # the first step only marks where the clock starts
            samples += record.samples
            steps += record.steps
        moment = record.t_s - track.pause_s
        if track.times and moment <= track.times[-1]:
            moment = track.times[-1] + 1e-9
        track.times.append(moment)
        track.samples.append(samples)
        track.steps.append(steps)
    return track


def _series(tracks: Sequence[_Track]) -> Series | None:
    start = max(t.times[0] for t in tracks)
    end = min(t.times[-1] for t in tracks)
    if end <= start:
        return None
    fewest = min(tracks, key=lambda t: len(t.times))
    gap = median(b - a for a, b in pairwise(fewest.times))
    count = int(min(MAX_BINS, max(1, (end - start) / max(gap, 1e-6))))
    width = (end - start) / count
    edges = [start + i * width for i in range(count + 1)]
    totals = [sum(t.at(t.samples, edge) for t in tracks) for edge in edges]
    rates = tuple(max(0.0, b - a) / width for a, b in pairwise(totals))
    return Series(rates=rates, bin_s=width, start_s=start)


def _moments(
    series: Series | None, rate: Rate | None, pauses: Sequence[tuple[float, float]]
) -> tuple[tuple[float, float] | None, float | None]:
    """The steady window, and the change in it, on the clock of the records."""
    if series is None or rate is None or rate.window_s <= 0:
        return None, None
    start = series.start_s + rate.warmup_s
    window = _clock_of(start, pauses), _clock_of(start + rate.window_s, pauses)
    change_s = None if rate.change_s is None else _clock_of(start + rate.change_s, pauses)
    return window, change_s


def _span(records: Sequence[Record]) -> tuple[float, float]:
    """For a job that tells values only: from its first to its last."""
    moments = [record.t_s for record in records if record.values]
    return min(moments), max(moments)


def _clock_of(active_s: float, pauses: Sequence[tuple[float, float]]) -> float:
    """The moment before which so much time was no pause."""
    moment = active_s
    for start_s, end_s in pauses:
        if start_s >= moment:
            break
        moment += end_s - start_s
    return moment


def _stated_series(records: Sequence[Record]) -> Series | None:
    """For logs that print a rate themselves: each line holds for the time since the one before."""
    track, total = _Track([], [], []), 0.0
    for record in records:
        rate = record.values.get("samples_per_s")
        if rate is not None:
            total += rate * (record.t_s - track.times[-1]) if track.times else 0.0
            track.times.append(record.t_s)
            track.samples.append(total)
    return _series([track]) if len(track.times) >= 2 else None


def _summary_rate(records: Sequence[Record]) -> Rate | None:
    """For a job that prints its rate once, at the end."""
    stated = [r.values["samples_per_s"] for r in records if "samples_per_s" in r.values]
    if not stated:
        return None
    return Rate(
        value=stated[-1], half_width=math.inf, warmup_s=0.0, window_s=0.0, change_s=None, notes=()
    )


def _step_rate(tracks: Sequence[_Track], throughput: Rate | None) -> float | None:
    if not tracks:
        return None
    slowest = min(tracks, key=lambda t: t.steps[-1])
    warmup_s = throughput.warmup_s if throughput is not None else 0.0
    start, end = slowest.times[0] + warmup_s, slowest.times[-1]
    if end <= start:
        return None
    done = slowest.steps[-1] - slowest.at(slowest.steps, start)
    return done / (end - start)


def _pause_share(tracks: Sequence[_Track]) -> float:
    paused = max((t.pause_s for t in tracks), default=0.0)
    active = max((t.times[-1] - t.times[0] for t in tracks), default=0.0)
    return paused / (paused + active) if paused + active > 0 else 0.0


def _skew(tracks: Sequence[_Track]) -> float | None:
    """Slowest over median rank, by time per step; None for a single rank."""
    if len(tracks) < 2:
        return None
    paces = [(t.times[-1] - t.times[0]) / max(t.steps[-1], 1.0) for t in tracks]
    return max(paces) / median(paces) if median(paces) > 0 else None


def _slowest(records: Sequence[Record]) -> float:
    gaps = [(b.t_s - a.t_s - b.pause_s) / b.steps for a, b in pairwise(records) if b.steps]
    return max(gaps, default=0.0)


def _values(
    records: Sequence[Record], throughput: Rate | None
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Reported values: the last one, or where there are many the mean after the warm-up."""
    dated: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for record in sorted(records, key=lambda r: r.t_s):
        for name, value in record.values.items():
            if name != "samples_per_s":
                dated[name].append((record.t_s, value))
    values: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    warmup_s = throughput.warmup_s if throughput is not None else 0.0
    for name, points in dated.items():
        steady = [v for t, v in points if t >= points[0][0] + warmup_s] or [points[-1][1]]
        if "peak" in name:
            values[name] = max(v for _, v in points)
        elif name == "loss":
            values[name] = fmean(steady[-max(1, len(steady) // 10) :])
        elif len(steady) < MIN_BINS:
            values[name] = steady[-1]
        else:
            mean = fmean(steady)
            half = half_width_of(steady)
            values[name] = mean
            intervals[name] = (mean - half, mean + half)
    return values, {name: ends for name, ends in intervals.items() if math.isfinite(ends[0])}
