"""What a winner must not make worse: tail latency, errors, memory headroom, quality. Pure.

Each is a test of non-inferiority over the confirming pairs: it holds only where the upper one-sided
95 % bound of the worsening is within what is allowed, so that noise never passes for proof.
"""

from collections.abc import Sequence
from statistics import fmean

from tuner import decide, stats
from tuner.decide import Verdict
from tuner.spec import JobSpec
from tuner.spec_apply import Guard

TINY = 1e-12


def broken(spec: JobSpec, verdict: Verdict) -> list[str]:
    """The guards that do not hold, each as a sentence."""
    objectives = {objective.metric for objective in spec.objectives}
    guards = [guard for guard in spec.apply.guards if guard.metric not in objectives]
    found = [_broken_guard(guard, verdict) for guard in guards]
    return [why for why in (*found, _short_of_memory(spec, verdict)) if why]


def quality_ok(spec: JobSpec, verdict: Verdict) -> bool | None:
    """Whether quality at equal samples is not inferior; None where it was not measured."""
    if spec.quality is None:
        return None
    losses = _known(
        [decide.quality_loss(spec, pair.candidate, pair.baseline) for pair in verdict.pairs]
    )
    overall = decide.quality_loss(spec, verdict.metrics, verdict.baseline_metrics)
    if overall is None:
        return None
    if len(losses) < decide.MIN_PAIRS:
        return overall <= spec.quality.max_loss
    return fmean(losses) + stats.half_width(losses, 0.95) <= spec.quality.max_loss


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _broken_guard(guard: Guard, verdict: Verdict) -> str:
    name = guard.metric
    both = [
        (pair.baseline[name], pair.candidate[name])
        for pair in verdict.pairs
        if name in pair.baseline and name in pair.candidate
    ]
    if len(both) < decide.MIN_PAIRS:
        was_there = any(name in pair.baseline for pair in verdict.pairs)
        return f"{name} was measured of the baseline only." if was_there else ""
    sign = 1.0 if guard.direction == "minimize" else -1.0
    losses = [sign * (after - before) / max(abs(before), TINY) for before, after in both]
    # "No worse at all" cannot be proven of what varies: then the mean decides.
    doubt = stats.half_width(losses, 0.95) if guard.max_loss_pct > 0 else 0.0
    worst_pct = 100 * (fmean(losses) + doubt)
    if worst_pct <= guard.max_loss_pct:
        return ""
    return (
        f"{name} may be worse by {worst_pct:.3g} %, {guard.max_loss_pct:g} % is allowed "
        "(apply.guards)."
    )


def _short_of_memory(spec: JobSpec, verdict: Verdict) -> str:
    limits = [li.max for li in spec.limits if li.metric == "peak_memory_gib"]
    limit_gib = min(_known([spec.resources.memory_limit_gib, *limits]), default=None)
    before = verdict.baseline_metrics.get("peak_memory_gib", 0.0)
    after = verdict.metrics.get("peak_memory_gib")
    if limit_gib is None or after is None or after <= before:
        return ""
    if after <= limit_gib * (1 - spec.apply.headroom_pct / 100):
        return ""
    return (
        f"peak_memory_gib would be {after:.3g} of {limit_gib:g} GiB, {spec.apply.headroom_pct:g} % "
        "have to stay free (apply.headroom_pct)."
    )
