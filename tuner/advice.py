"""What else a measurement tells a person to look at: input that is waited for, types of nodes.

Pure; sentences for explanations and plans."""

from collections.abc import Sequence

from tuner import decide, nodes
from tuner.model import Trial
from tuner.spec import JobSpec

WAITS_PCT = 10.0
"""A loader that is waited for less is no bottleneck."""
STALL = "loader_wait_pct"
MONEY = ("usd_per_million_samples", "usd_per_million_requests", "usd_per_hour")


def advice(spec: JobSpec, trials: Sequence[Trial], chosen: Trial | None) -> tuple[str, ...]:
    """What is worth knowing of the trial that was chosen, beside its gain."""
    return (*_of_input(trials, chosen), *_of_types(spec, trials))


def _of_input(trials: Sequence[Trial], chosen: Trial | None) -> list[str]:
    waits = _metric(chosen, STALL)
    if waits is None:
        return []
    before = _metric(trials[0] if trials else None, STALL)
    compared = ""
    if before is not None and chosen is not None and not chosen.is_baseline:
        compared = f", against {before:.0f} % with the default"
    if waits < WAITS_PCT:
        said = f"Input is no bottleneck: its ranks wait {waits:.0f} % of a step for it{compared}."
        return [said] if before is not None and before >= WAITS_PCT else []
    return [
        f"Input is a bottleneck: ranks wait {waits:.0f} % of a step for it{compared}. More loader "
        "workers, reading further ahead, or a format that is faster to decode would help most."
    ]


def _of_types(spec: JobSpec, trials: Sequence[Trial]) -> list[str]:
    """The best trial of each type of node that keeps the limits, the cheapest type first."""
    if not nodes.is_typed(spec):
        return []
    cheapest: dict[str, tuple[float, str]] = {}
    for trial in decide.ranking(spec, trials):
        name = str(trial.params[nodes.PARAMETER])
        priced = next(((m, v) for m in MONEY if (v := _metric(trial, m)) is not None), None)
        if priced is not None and (name not in cheapest or priced[1] < cheapest[name][0]):
            cheapest[name] = (priced[1], priced[0])
    ordered = sorted(cheapest.items(), key=lambda item: item[1][0])
    tried = {str(t.params[nodes.PARAMETER]) for t in trials if t.measurement is not None}
    out = sorted(tried - set(cheapest))
    if not ordered:
        return []
    costs = ", ".join(f"{name} ${price:.4g}" for name, (price, _) in ordered)
    said = f"Cheapest type of node that keeps the limits: {ordered[0][0]} ({ordered[0][1][1]}: "
    missed = f" Outside the limits, or not steady: {', '.join(out)}." if out else ""
    return [f"{said}{costs}).{missed}"]


def _metric(trial: Trial | None, name: str) -> float | None:
    measured = trial.measurement if trial is not None else None
    return measured.metrics.get(name) if measured is not None else None
