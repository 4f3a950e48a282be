"""What a change of the learning costs in samples: the same quality, sooner or later. Pure."""

from collections.abc import Sequence

from tuner.model import MetricPoint
from tuner.spec import JobSpec, Quality

Curve = Sequence[tuple[float, float]]
"""(samples trained, quality then), in order."""


def curve_of(points: Sequence[MetricPoint], metric: str) -> Curve:
    """A quality figure over samples, of the attempt that told most of it."""
    best: list[tuple[float, float]] = []
    for attempt in sorted({point.attempt_number for point in points}):
        mine = [point for point in points if point.attempt_number == attempt]
        samples = {p.t_s: p.value for p in mine if p.name == "quality_samples"}
        curve = [(samples[p.t_s], p.value) for p in mine if p.name == metric and p.t_s in samples]
        if len(curve) > len(best):
            best = sorted(curve)
    return best


def samples_to(quality: Quality, curve: Curve, wanted: float) -> float | None:
    """Samples after which a curve first reaches a quality, between its points by straight lines;
    None where it never does."""
    sign = 1.0 if quality.direction == "maximize" else -1.0
    before: tuple[float, float] | None = None
    for samples, value in curve:
        if sign * (value - wanted) >= 0:
            if before is None or value == before[1]:
                return samples
            share = (wanted - before[1]) / (value - before[1])
            return before[0] + share * (samples - before[0])
        before = samples, value
    return None


def in_words(
    spec: JobSpec, before: Curve, after: Curve, rates: tuple[float | None, float | None]
) -> str:
    """What the plan costs in samples to the same quality; empty without a quality figure.

    `rates`: samples per second of the default and of the plan."""
    quality = spec.quality
    if quality is None:
        return ""
    if len(before) < 2 or len(after) < 2:
        return (
            f"How many samples it needs to the same {quality.metric} is not known: each run told "
            "of it once. Report it several times in a run, with `quality_samples`, to know."
        )
    wanted = min(before[-1][1], after[-1][1])
    if quality.direction == "minimize":
        wanted = max(before[-1][1], after[-1][1])
    old, new = samples_to(quality, before, wanted), samples_to(quality, after, wanted)
    if not old or not new:
        return ""
    change = 100 * (new / old - 1)
    told = (
        f"To reach {quality.metric} {wanted:.4f} it needs {new:,.0f} samples, the default "
        f"{old:,.0f}: {change:+.0f} %."
    )
    if not (rates[0] and rates[1]):
        return told
    sooner = (old / rates[0]) / (new / rates[1])
    pace = "sooner" if sooner >= 1 else "later"
    return f"{told} At its rate that is {100 * abs(1 - 1 / sooner):.0f} % {pace}."
