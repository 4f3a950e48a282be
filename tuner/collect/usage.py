"""What a gang used over time, from the stream that its supervisor writes, and what it used between
two moments."""

import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from statistics import fmean

from tuner.gang import UsageSample
from tuner.tally import is_sum

STREAM = "usage.jsonl"

_Point = tuple[float, float]


def parse(line: str) -> UsageSample | None:
    """The sample of a line; None where it is none."""
    try:
        content = json.loads(line)
        t_s = float(content.pop("t_s"))
        values = {str(name): float(value) for name, value in content.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    sound = math.isfinite(t_s) and all(map(math.isfinite, values.values()))
    return UsageSample(t_s=t_s, values=values) if sound else None


def over(samples: Sequence[UsageSample], start_s: float, end_s: float) -> dict[str, float]:
    """What was used between two moments: growth of sums, means of levels.

    Sums are interpolated linearly between samples, and continued past the first or last one by no
    more than the time between it and its neighbour. A name that does not reach both ends is absent.
    """
    series: dict[str, list[_Point]] = {}
    for sample in samples:
        for name, value in sample.values.items():
            points = series.setdefault(name, [])
            if not points or sample.t_s > points[-1][0]:
                points.append((sample.t_s, value))
    found: dict[str, float] = {}
    for name, points in series.items():
        if end_s > start_s and _reaches(points, start_s, end_s):
            found[name] = (_growth if is_sum(name) else _mean)(points, start_s, end_s)
    return found


def _reaches(points: Sequence[_Point], start_s: float, end_s: float) -> bool:
    if len(points) < 2:
        return False
    (first_s, _), (second_s, _), (late_s, _), (last_s, _) = (*points[:2], *points[-2:])
    return 2 * first_s - second_s <= start_s and end_s <= 2 * last_s - late_s


def _growth(points: Sequence[_Point], start_s: float, end_s: float) -> float:
    return max(0.0, _at(points, end_s) - _at(points, start_s))


def _at(points: Sequence[_Point], t_s: float) -> float:
    """On the line through the two points around a moment, or through the two nearest."""
    right = min(max(1, bisect_left(points, t_s, key=_moment)), len(points) - 1)
    (left_s, low), (right_s, high) = points[right - 1 : right + 1]
    return low + (high - low) * (t_s - left_s) / (right_s - left_s)


def _mean(points: Sequence[_Point], start_s: float, end_s: float) -> float:
    """Of the samples within; where none is, of the two around."""
    first = bisect_left(points, start_s, key=_moment)
    end = bisect_right(points, end_s, key=_moment)
    around = points[first:end] or points[max(0, first - 1) : end + 1]
    return fmean(value for _, value in around)


def _moment(point: _Point) -> float:
    return point[0]
