"""Which trial is better, which is admissible, what to do next, and whether the winner has won.

Pure functions of what the store holds. Objectives are compared as the weighted sum of logarithms
of their ratios to the baseline, so that 0 is the baseline and 0.1 is about 10 % better.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from tuner import stats
from tuner.disturbance import is_repeated
from tuner.model import Attempt, Failure, FailureKind, Measurement, Pair, Trial, TrialState
from tuner.pairs import candidate_first, decides, pairs_of
from tuner.spec import JobSpec, Objective

MAX_RETRIES = 2
"""How often an attempt lost to the infrastructure is made again."""
MIN_PAIRS = 3
"""Fewer pairs prove nothing."""
MAX_CANDIDATES = 2
"""How many trials may be confirmed, where the first fails while it is confirmed."""


def score(spec: JobSpec, measurement: Measurement, baseline: Measurement | None) -> float:
    """Log gain of the objectives over the baseline (over 1 in each unit where there is none)."""
    return sum(o.weight * objective_gain(o, measurement, baseline) for o in spec.objectives)


def objective_gain(
    objective: Objective, measurement: Measurement, baseline: Measurement | None
) -> float:
    """Log of how much better one objective is than the baseline's."""
    value = measurement.metrics[objective.metric]
    reference = baseline.metrics.get(objective.metric, 1.0) if baseline is not None else 1.0
    ratio = math.log(max(value, 1e-300) / max(reference, 1e-300))
    return ratio if objective.direction == "maximize" else -ratio


def score_interval(
    spec: JobSpec, measurement: Measurement, baseline: Measurement | None
) -> tuple[float, float]:
    """The score with every objective at the worse, and at the better, end of its interval."""
    ends = [_ends(o, measurement, baseline) for o in spec.objectives]
    return sum(low for low, _ in ends), sum(high for _, high in ends)


def _ends(
    objective: Objective, measurement: Measurement, baseline: Measurement | None
) -> tuple[float, float]:
    name = objective.metric
    values = measurement.intervals.get(name, (measurement.metrics[name],) * 2)
    gains = [objective_gain(objective, _with(measurement, name, v), baseline) for v in values]
    return objective.weight * min(gains), objective.weight * max(gains)


def _with(measurement: Measurement, name: str, value: float) -> Measurement:
    return Measurement(metrics={name: value}, window_s=0, warmup_s=0, steps=0, samples=0)


def violations(
    spec: JobSpec, measurement: Measurement, baseline: Measurement | None
) -> dict[str, float]:
    """Limit -> by how much it is broken, relative to the limit; at most 0 where it is kept.

    A limit on a metric that was not measured counts as broken: what is unknown is not promised.
    The quality figure is compared with the baseline's where both have it.
    """
    broken: dict[str, float] = {}
    for limit in spec.limits:
        value = measurement.metrics.get(limit.metric)
        for bound, sign in ((limit.max, 1.0), (limit.min, -1.0)):
            if bound is not None:
                name = f"{limit.metric} {'<=' if sign > 0 else '>='} {bound:g}"
                over = 1.0 if value is None else sign * (value - bound) / max(abs(bound), 1e-9)
                broken[name] = over
    loss = quality_loss(spec, measurement.metrics, baseline.metrics if baseline else {})
    if spec.quality is not None and loss is not None:
        excess = loss - spec.quality.max_loss
        broken[f"{spec.quality.metric} within {spec.quality.max_loss:g} of the baseline"] = excess
    return broken


def quality_loss(
    spec: JobSpec, metrics: Mapping[str, float], baseline: Mapping[str, float]
) -> float | None:
    """How much worse the quality figure is than the baseline's, in its unit; None where unknown,
    or where `quality_samples` says that the two were not taken at equal samples (within 1 %)."""
    if spec.quality is None:
        return None
    value, reference = metrics.get(spec.quality.metric), baseline.get(spec.quality.metric)
    if value is None or reference is None:
        return None
    samples, others = metrics.get("quality_samples"), baseline.get("quality_samples")
    if samples is not None and others is not None and abs(samples - others) > 0.01 * others:
        return None
    return reference - value if spec.quality.direction == "maximize" else value - reference


def baseline_of(trials: Sequence[Trial]) -> Measurement | None:
    """The measurement of trial 0, once there is one."""
    return next((t.measurement for t in trials if t.is_baseline), None)


def has_baseline(spec: JobSpec, trials: Sequence[Trial]) -> bool:
    """Whether the default may be compared with: it was measured, and it keeps the limits."""
    baseline = baseline_of(trials)
    if baseline is None:
        return False
    return all(over <= 0 for over in violations(spec, baseline, baseline).values())


def is_admissible(spec: JobSpec, trial: Trial, baseline: Measurement | None) -> bool:
    """Whether a trial may win: measured, stable, every limit kept, not merely beaten."""
    measurement = trial.measurement
    if trial.state is not TrialState.COMPLETE or measurement is None:
        return False
    if not measurement.is_stable or measurement.stopped == "beaten":
        return False
    if lacks_quality(spec, measurement, baseline):
        return False
    return all(over <= 0 for over in violations(spec, measurement, baseline).values())


def lacks_quality(spec: JobSpec, measurement: Measurement, baseline: Measurement | None) -> bool:
    if spec.quality is None or baseline is None or spec.quality.metric not in baseline.metrics:
        return False
    return spec.quality.metric not in measurement.metrics


def ranking(spec: JobSpec, trials: Sequence[Trial]) -> list[Trial]:
    """Admissible trials, the best first."""
    baseline = baseline_of(trials)
    admissible = [t for t in trials if is_admissible(spec, t, baseline)]
    return sorted(admissible, key=lambda t: -_screened(spec, t, baseline))


def _screened(spec: JobSpec, trial: Trial, baseline: Measurement | None) -> float:
    assert trial.measurement is not None
    return score(spec, trial.measurement, baseline)


def is_beaten(
    spec: JobSpec, measurement: Measurement, best: Measurement | None, baseline: Measurement | None
) -> bool:
    """Whether even the better end of an interval is clearly (5 %) below the best so far, in every
    objective: what is better in one may be on the front.

    Never by a figure whose interval is not known yet: a slow start would pass for a slow trial.
    """
    if best is None or not all(
        _is_sure(found, o.metric) for o in spec.objectives for found in (measurement, best)
    ):
        return False
    return all(
        _ends(o, measurement, baseline)[1] < _ends(o, best, baseline)[0] - math.log(1.05)
        for o in spec.objectives
    )


def _is_sure(measurement: Measurement, metric: str) -> bool:
    return metric in measurement.intervals or (
        metric == "usd_per_hour" and metric in measurement.metrics
    )


# What to do next


@dataclass(frozen=True, slots=True)
class Launch:
    """Run an existing trial (again)."""

    trial_number: int
    pair: int | None = None
    """The confirming pair; None for the trial's own measurement."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the searcher for one more configuration."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be launched before something has ended."""


@dataclass(frozen=True, slots=True)
class Conclude:
    """The evidence is complete: write the plan. `candidate` None: nothing is worth confirming."""

    candidate: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What `next_action` needs to know beside the trials."""

    search_over: bool
    """No more configurations: budget used up, or nothing left to suggest."""
    out_of_budget: bool
    """Time or money are gone: conclude with what there is."""
    may_measure: bool = True
    """Another measurement fits into the budget, with the confirming pairs after it."""
    may_pair: bool = True
    """Another confirming pair fits, with enough of them for a proof."""


Action = Launch | Ask | Wait | Conclude


def next_action(
    spec: JobSpec, trials: Sequence[Trial], attempts: Sequence[Attempt], situation: Situation
) -> Action:
    """The next thing to do for a job; called again and again until it says Wait or Conclude."""
    live = [a for a in attempts if not a.state.is_finished]
    waiting = [t for t in trials if t.state is TrialState.WAITING]
    if len(live) >= spec.search.parallel_trials:
        return Wait()
    if not situation.out_of_budget:
        if waiting and (situation.may_measure or waiting[0].is_baseline):
            return Launch(waiting[0].number)
        if trials and not trials[0].state.is_finished:
            return Wait()
        if situation.may_measure and not situation.search_over:
            return Ask()
    # Confirming runs have the machine to themselves, two arms never side by side.
    return Wait() if live else _confirm(spec, trials, attempts, situation)


def _confirm(
    spec: JobSpec, trials: Sequence[Trial], attempts: Sequence[Attempt], situation: Situation
) -> Launch | Conclude:
    candidates = confirmable(spec, trials)
    for index, candidate in enumerate(candidates[:MAX_CANDIDATES]):
        first_pair = index * pairs_of(spec)
        if not has_baseline(spec, trials) or spec.apply.mode == "off":
            return Conclude(candidate.number)
        if _has_failed(attempts, candidate.number, first_pair, pairs_of(spec)):
            continue
        deciding = range(first_pair, first_pair + spec.apply.pairs)
        missing = _missing_run(spec, candidate.number, deciding, attempts)
        if missing is None and has_won(spec, candidate.number, attempts):
            telling = range(deciding.stop, first_pair + pairs_of(spec))
            missing = _missing_run(spec, candidate.number, telling, attempts)
        if missing is None or situation.out_of_budget:
            return Conclude(candidate.number)
        is_begun = any(a.pair == missing.pair for a in attempts)
        if not is_begun and not situation.may_pair:
            return Conclude(candidate.number)
        return missing
    return Conclude(None)


def confirmable(spec: JobSpec, trials: Sequence[Trial]) -> list[Trial]:
    """Trials that screened better than the baseline, the best first; all admissible ones where the
    baseline itself was not measured, was not steady, or breaks a limit."""
    baseline = baseline_of(trials)
    better = [t for t in ranking(spec, trials) if not t.is_baseline]
    if not has_baseline(spec, trials) or (baseline is not None and not baseline.is_stable):
        return better
    return [t for t in better if _screened(spec, t, baseline) > 0]


def has_won(spec: JobSpec, candidate: int, attempts: Sequence[Attempt]) -> bool:
    """Whether the deciding pairs put the gain above the policy's minimum."""
    low = judge(spec, candidate, attempts).gain_low_pct
    return low is not None and low > spec.apply.min_gain_pct


def _missing_run(
    spec: JobSpec, candidate: int, pairs: range, attempts: Sequence[Attempt]
) -> Launch | None:
    for pair in pairs:
        order = (candidate, 0) if candidate_first(spec, pair) else (0, candidate)
        for number in order:
            if not _settled(attempts, number, pair):
                return Launch(number, pair)
    return None


def _settled(attempts: Sequence[Attempt], trial_number: int, pair: int) -> bool:
    """Whether this arm of this pair has run: measured, failed by itself, or spoilt too often."""
    mine = [a for a in attempts if a.trial_number == trial_number and a.pair == pair]
    ended = [a for a in mine if not _is_lost(a.failure) and not is_repeated(a, attempts)]
    return bool(ended) or len(mine) > MAX_RETRIES


def _is_lost(failure: Failure | None) -> bool:
    return failure is not None and failure.kind.is_infrastructure


def _has_failed(attempts: Sequence[Attempt], candidate: int, first_pair: int, count: int) -> bool:
    pairs = range(first_pair, first_pair + count)
    return any(
        a.trial_number == candidate
        and a.pair in pairs
        and a.failure is not None
        and not _is_lost(a.failure)
        for a in attempts
    )


# Whether the winner has won


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the confirming pairs say."""

    pairs: tuple[Pair, ...]
    gain_pct: float | None = None
    """Of the pairs that tell, where there are some; else of those that decide."""
    gain_low_pct: float | None = None
    gain_high_pct: float | None = None
    """One-sided 95 % bounds of the gain, by the pairs that decide."""
    baseline_metrics: dict[str, float]
    metrics: dict[str, float]


def judge(spec: JobSpec, candidate: int, attempts: Sequence[Attempt]) -> Verdict:
    """Gain of a candidate over the baseline from its complete, stable pairs, on log ratios."""
    pairs: list[Pair] = []
    gains: list[float] = []
    told: list[float] = []
    runs: list[tuple[Measurement, Measurement]] = []
    numbers = sorted({a.pair for a in attempts if a.pair is not None})
    for number in numbers:
        base = _measured(attempts, 0, number)
        mine = _measured(attempts, candidate, number)
        if base is None or mine is None:
            continue
        gain = score(spec, mine, base)
        (gains if decides(spec, number) else told).append(gain)
        runs.append((base, mine))
        pairs.append(
            Pair(
                number=number,
                candidate_first=candidate_first(spec, number),
                baseline=base.metrics,
                candidate=mine.metrics,
                gain_pct=_pct(gain),
                decides=decides(spec, number),
            )
        )
    baseline_metrics = _means([base.metrics for base, _ in runs])
    metrics = _means([mine.metrics for _, mine in runs])
    if len(gains) < MIN_PAIRS:
        return Verdict(pairs=tuple(pairs), baseline_metrics=baseline_metrics, metrics=metrics)
    mean, half = fmean(gains), stats.half_width(gains, 0.95)
    return Verdict(
        pairs=tuple(pairs),
        gain_pct=_pct(fmean(told) if told else mean),
        gain_low_pct=_pct(mean - half),
        gain_high_pct=_pct(mean + half),
        baseline_metrics=baseline_metrics,
        metrics=metrics,
    )


def _measured(attempts: Sequence[Attempt], trial_number: int, pair: int) -> Measurement | None:
    for attempt in attempts:
        if attempt.trial_number == trial_number and attempt.pair == pair:
            measurement = attempt.measurement
            if measurement is not None and measurement.is_stable:
                return measurement
    return None


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    if not rows:
        return {}
    shared = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: fmean(row[name] for row in rows) for name in shared}


def _pct(log_gain: float) -> float:
    return 100.0 * math.expm1(log_gain)


def is_hopeless(trials: Sequence[Trial]) -> bool:
    """Whether the job itself seems broken: its first three trials failed, and not for memory or a
    loss that is no number, which other configurations may do without."""
    ended = [t for t in trials if t.state.is_finished]
    own = (FailureKind.OUT_OF_MEMORY, FailureKind.HOST_OUT_OF_MEMORY, FailureKind.DIVERGED)
    broken = [t for t in ended if t.failure is not None and t.failure.kind not in own]
    return len(ended) >= 3 and len(broken) == len(ended)


def retries_left(attempts: Sequence[Attempt], trial_number: int) -> bool:
    """Whether a trial whose own attempt was lost may be launched again."""
    lost = [
        a
        for a in attempts
        if a.trial_number == trial_number and a.purpose == "measure" and _is_lost(a.failure)
    ]
    return len(lost) <= MAX_RETRIES
