"""What happens when one parameter of the best configuration is moved."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tuner import decide
from tuner.explain.nouns import Effect
from tuner.explain.surrogate import Surrogate
from tuner.expression import Value
from tuner.model import Trial
from tuner.search.scale import filled, identity
from tuner.space import Choice, Float, Int, Params, Space
from tuner.spec import JobSpec

MOST_VALUES = 8
"""Of a parameter with more, so many are shown, evenly along its scale."""
WIDTH = 1.96


def sensitivity(
    spec: JobSpec, trials: Sequence[Trial], best: Trial, model: Surrogate
) -> list[Effect]:
    """Every move of one parameter that stays a member of the space, in the order of the space."""
    moves = [
        (name, value, moved)
        for name, parameter in spec.space.params.items()
        if name in best.params and model.is_varied(name)
        for value in _values(parameter)
        if (moved := _moved(spec.space, best.params, name, value)) is not None
        and model.is_placeable(moved)
    ]
    if not moves:
        return []
    mean, deviation = model.predict([best.params, *(moved for _, _, moved in moves)])
    tried = {identity(spec.space, t.params): t for t in trials if t.state.is_finished}
    scores = _scores(spec, trials)
    effects = []
    for at, (name, value, moved) in enumerate(moves, start=1):
        gain, half = float(mean[at] - mean[0]), WIDTH * float(deviation[at])
        effect = Effect(
            name=name,
            value=value,
            gain_pct=pct(gain),
            low_pct=pct(gain - half),
            high_pct=pct(gain + half),
        )
        trial = tried.get(identity(spec.space, moved))
        effects.append(effect if trial is None else _measured(effect, trial, best, scores))
    return effects


def _measured(effect: Effect, trial: Trial, best: Trial, scores: Mapping[int, float]) -> Effect:
    score = scores.get(trial.number)
    return replace(
        effect,
        trial_number=trial.number,
        measured_pct=None if score is None else pct(score - scores[best.number]),
        failure=str(trial.failure.kind) if trial.failure is not None else "",
    )


def pct(log_gain: float) -> float:
    return 100 * math.expm1(min(log_gain, 50.0))


def _scores(spec: JobSpec, trials: Sequence[Trial]) -> dict[int, float]:
    """Trial -> its measured log gain over the baseline."""
    baseline = decide.baseline_of(trials)
    return {
        t.number: decide.score(spec, t.measurement, baseline)
        for t in trials
        if t.measurement is not None
        and all(o.metric in t.measurement.metrics for o in spec.objectives)
    }


def _moved(space: Space, best: Params, name: str, value: Value) -> dict[str, Value] | None:
    """The best with another value; what then applies for the first time stands at its lowest."""
    if value == best[name]:
        return None
    moved = space.active({**filled(space, best), name: value})
    return moved if space.contains(moved) else None


def _values(parameter: Int | Float | Choice) -> Sequence[Value]:
    if isinstance(parameter, Choice):
        return parameter.options
    if isinstance(parameter, Float):
        return [_between(parameter, step / 4) for step in range(5)]
    values: Sequence[int] = parameter.values()
    if len(values) <= MOST_VALUES:
        return values
    wanted = [_between(parameter, step / (MOST_VALUES - 1)) for step in range(MOST_VALUES)]
    places = {round((number - parameter.low) / parameter.step) for number in wanted}
    return [values[min(place, len(values) - 1)] for place in sorted(places)]


def _between(parameter: Int | Float, share: float) -> float:
    if parameter.log:
        return float(parameter.low * (parameter.high / parameter.low) ** share)
    return float(parameter.low + share * (parameter.high - parameter.low))
