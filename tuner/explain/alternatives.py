"""Configurations nearly as good as the best that take less of something that costs."""

import math
from collections.abc import Callable, Mapping, Sequence

from tuner import cost, decide
from tuner.explain.nouns import Alternative
from tuner.explain.sensitivity import pct
from tuner.explain.surrogate import Surrogate
from tuner.model import Placement, Trial
from tuner.search.scale import identity
from tuner.space import Params
from tuner.spec import JobSpec

WITHIN_PCT = 2.0
"""How much worse than the best still counts as nearly as good."""
CHEAPER_PCT = 5.0
"""Less saved than that is noise."""
MOST = 5
MEMORY = ("peak_memory_gib", "gpu_peak_memory_gib")

Placed = Callable[[Params], Placement | None]


def alternatives(
    spec: JobSpec, trials: Sequence[Trial], best: Trial, model: Surrogate | None, placed: Placed
) -> list[Alternative]:
    """What was measured first, then what is predicted; each by what it saves."""
    measured = _measured(spec, trials, best, placed)
    predicted = _predicted(spec, trials, best, model, placed) if model is not None else []
    return [*_cheapest(measured), *_cheapest(predicted)]


def _measured(
    spec: JobSpec, trials: Sequence[Trial], best: Trial, placed: Placed
) -> list[Alternative]:
    baseline = decide.baseline_of(trials)
    assert best.measurement is not None
    mine = _takes(spec, placed(best.params), best.measurement.metrics)
    top = decide.score(spec, best.measurement, baseline)
    found = []
    for trial in decide.ranking(spec, trials):
        assert trial.measurement is not None
        gain = decide.score(spec, trial.measurement, baseline) - top
        its = _takes(spec, placed(trial.params), trial.measurement.metrics)
        if trial.number != best.number:
            found.append(_alternative(trial.number, trial.params, gain, _savings(mine, its)))
    return [one for one in found if one is not None]


def _predicted(
    spec: JobSpec, trials: Sequence[Trial], best: Trial, model: Surrogate, placed: Placed
) -> list[Alternative]:
    tried = {identity(spec.space, trial.params) for trial in trials}
    points = [p for p in model.candidates() if identity(spec.space, p) not in tried]
    if not points:
        return []
    mean, _ = model.predict([best.params, *points])
    near = [
        (params, float(gain))
        for params, gain in zip(points, mean[1:] - mean[0], strict=True)
        if gain >= _least()
    ]
    mine = _takes(spec, placed(best.params), {})
    found = [
        _alternative(None, params, gain, _savings(mine, _takes(spec, placed(params), {})))
        for params, gain in near
    ]
    return [one for one in found if one is not None]


def _alternative(
    number: int | None, params: Params, gain: float, savings: Mapping[str, float]
) -> Alternative | None:
    """None where it is too far off, or saves nothing."""
    if gain < _least() or not savings:
        return None
    return Alternative(
        trial_number=number, params=dict(params), gain_pct=pct(gain), savings_pct=dict(savings)
    )


def _least() -> float:
    return math.log1p(-WITHIN_PCT / 100)


def _takes(
    spec: JobSpec, placement: Placement | None, metrics: Mapping[str, float]
) -> dict[str, float]:
    """What a configuration takes: what it would hold, its price, and memory where measured."""
    takes = {name: metrics[name] for name in MEMORY if name in metrics}
    if placement is None:
        return takes
    per_hour = cost.usd_per_hour(spec, placement)
    takes |= {"cores": float(cost.num_cores(placement)), "gpus": float(cost.num_gpus(placement))}
    return takes if per_hour is None else {"usd_per_hour": float(per_hour), **takes}


def _savings(mine: Mapping[str, float], its: Mapping[str, float]) -> dict[str, float]:
    """Empty also where it takes more of anything else: that is a trade, not a saving."""
    shared = [name for name in mine if mine[name] > 0 and name in its]
    saved = {name: 100 * (1 - its[name] / mine[name]) for name in shared}
    if any(share < -CHEAPER_PCT for share in saved.values()):
        return {}
    kept = {name: share for name, share in saved.items() if share >= CHEAPER_PCT}
    return dict(sorted(kept.items(), key=lambda item: -item[1]))


def _cheapest(found: Sequence[Alternative]) -> list[Alternative]:
    return sorted(found, key=lambda one: (-max(one.savings_pct.values()), -one.gain_pct))[:MOST]
