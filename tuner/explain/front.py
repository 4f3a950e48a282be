"""The compromises between several objectives that nothing measured beats in all of them."""

from collections.abc import Sequence

from tuner import decide
from tuner.explain.nouns import Compromise
from tuner.explain.sensitivity import pct
from tuner.model import Trial
from tuner.spec import JobSpec


def front(spec: JobSpec, trials: Sequence[Trial]) -> list[Compromise]:
    """The Pareto front of what may win, by the first objective; empty for one objective."""
    if len(spec.objectives) < 2:
        return []
    baseline = decide.baseline_of(trials)
    told: list[tuple[Trial, tuple[float, ...]]] = []
    for trial in decide.ranking(spec, trials):
        measured = trial.measurement
        assert measured is not None
        gains = tuple(decide.objective_gain(o, measured, baseline) for o in spec.objectives)
        told.append((trial, gains))
    kept = [(t, gains) for t, gains in told if not any(_beats(other, gains) for _, other in told)]
    return [
        Compromise(
            trial_number=trial.number,
            params=dict(trial.params),
            gains_pct={o.metric: pct(g) for o, g in zip(spec.objectives, gains, strict=True)},
        )
        for trial, gains in sorted(kept, key=lambda pair: -pair[1][0])
    ]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))
