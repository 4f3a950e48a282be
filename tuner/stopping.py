"""Whether another trial pays for itself, and why a search ends. Pure.

A searcher that knows it tells with every suggestion what it is expected to gain over the best so
far. The search ends once that has not paid on several asks in a row: one low figure may be a
model that errs, and what it says of the trial after is known only after it.
"""

import math
from collections.abc import Sequence

from tuner import budget, cost, decide
from tuner.model import Attempt, Suggestion, Trial
from tuner.spec import JobSpec

ASKS = 4
"""So many asks in a row must not pay: with fewer, more is lost on recorded surfaces than saved;
with more, trials are wasted."""


def why_over(spec: JobSpec, trials: Sequence[Trial], attempts: Sequence[Attempt]) -> str | None:
    """Why no further configuration is asked for; None while one may be."""
    if any(a.purpose == "confirm" for a in attempts):
        return "confirming had begun"
    if len(trials) >= spec.budget.trials:
        return f"the budget of {spec.budget.trials} trials is used up"
    if decide.is_hopeless(trials):
        return "every one of the first trials failed"
    return None


def why_refused(
    spec: JobSpec,
    trials: Sequence[Trial],
    attempts: Sequence[Attempt],
    suggestion: Suggestion | None,
) -> str | None:
    """Why the searcher's answer is not tried but ends the search; None where it is tried."""
    if suggestion is None:
        return "nothing is left to try"
    gain, needed = suggestion.expected_gain, needed_gain(spec, trials, attempts)
    if gain is None or gain >= needed or not _were_low(trials, needed):
        return None
    told = f"the expected gain of another trial, {_pct(gain)}, does not pay for it"
    horizon = spec.search.horizon_hours
    within = f" within {horizon:g} h of running" if horizon is not None else ""
    return f"{told}: {_pct(needed)} would{within}"


def why_spent(spec: JobSpec, attempts: Sequence[Attempt]) -> str:
    """Which hard cap leaves no room for another trial: the one that is used most."""
    used, caps = budget.used_of(spec, attempts), spec.budget.caps()
    name = max(caps, key=lambda cap: used[cap] / caps[cap], default="")
    if not name:
        return "nothing more may be launched"
    return f"no other trial fits into budget.{name}: {used[name]:.4g} of {caps[name]:g} are used"


def needed_gain(spec: JobSpec, trials: Sequence[Trial], attempts: Sequence[Attempt]) -> float:
    """Log gain at which a trial just pays: what it costs over what the job costs in the hours for
    which it is going to run with the plan. Without those hours, as the job file says."""
    plain = math.log1p(spec.search.stop_gain_pct / 100)
    measured = [a for a in attempts if a.purpose == "measure" and a.spend.wall_s > 0]
    best = next(iter(decide.ranking(spec, trials)), None)
    if spec.search.horizon_hours is None or best is None:
        return plain
    mine = [a for a in measured if a.trial_number == best.number]
    if not mine:
        return plain
    trial, running = cost.total(measured), mine[-1].spend
    hours = running.wall_s / 3600
    # In money where all of it is known, else in time of what is held: GPUs first.
    for all_of_them, one in (
        (trial.usd, running.usd),
        (trial.gpu_s, running.gpu_s),
        (trial.core_s, running.core_s),
    ):
        if all_of_them and one:
            per_hour = float(one) / hours
            mean = float(all_of_them) / len({a.trial_number for a in measured})
            return mean / (per_hour * spec.search.horizon_hours)
    return plain


def _were_low(trials: Sequence[Trial], needed: float) -> bool:
    """Whether the asks before did not pay either, as far back as enough of them have a result."""
    ended = [t for t in trials if t.state.is_finished]
    if len(ended) < ASKS - 1:
        return False
    recent = trials[ended[1 - ASKS].number :]
    return all(t.expected_gain is not None and t.expected_gain < needed for t in recent)


def _pct(log_gain: float) -> str:
    return f"{100 * math.expm1(log_gain):.2g} %"
