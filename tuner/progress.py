"""Where a job stands: what is done, what is left, and how long that may take. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import expm1

from tuner import cost, decide
from tuner.estimate.error import error_of
from tuner.model import Attempt, Job, JobState, Spend, Trial, TrialState
from tuner.pairs import decides, pairs_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a job stands, for a progress line."""

    trials_done: int
    trials_total: int
    pairs_done: int
    pairs_total: int
    eta_s: float | None
    spend: Spend
    baseline: Trial | None
    best: Trial | None
    """The best admissible trial so far."""
    best_gain_pct: float | None
    """Its screened gain over the baseline; not confirmed yet."""
    running: tuple[int, ...]
    """Numbers of the trials that run now."""
    prediction_error_pct: float | None = None
    """Median absolute error of what was predicted of its trials, in per cent of the measured."""


def progress_of(job: Job, trials: Sequence[Trial], attempts: Sequence[Attempt]) -> Progress:
    """The progress of a job from what the store holds of it."""
    best = next(iter(decide.ranking(job.spec, trials)), None)
    baseline = trials[0] if trials else None
    return Progress(
        trials_done=sum(t.state.is_finished for t in trials),
        trials_total=_trials_total(job, trials),
        pairs_done=_pairs_done(job, attempts),
        pairs_total=_pairs_total(job, attempts),
        eta_s=_eta_s(job, trials, attempts),
        spend=cost.total(attempts),
        baseline=baseline,
        best=best,
        best_gain_pct=_gain_pct(job, best, baseline),
        running=tuple(a.trial_number for a in attempts if not a.state.is_finished),
        prediction_error_pct=error_of(trials),
    )


def _trials_total(job: Job, trials: Sequence[Trial]) -> int:
    over = job.state.is_finished or job.state is JobState.CONFIRMING
    return len(trials) if over else max(len(trials), job.spec.budget.trials)


def _pairs_total(job: Job, attempts: Sequence[Attempt]) -> int:
    """The last pairs only once they have begun: they follow for a winner."""
    latest = max((a.pair for a in attempts if a.pair is not None), default=0)
    return job.spec.apply.pairs if decides(job.spec, latest) else pairs_of(job.spec)


def _pairs_done(job: Job, attempts: Sequence[Attempt]) -> int:
    """Pairs of the candidate that is confirmed now of which both arms have run; a lost arm is
    launched again."""
    settled = {
        (a.pair, a.trial_number)
        for a in attempts
        if a.pair is not None
        and a.state.is_finished
        and (a.failure is None or not a.failure.kind.is_infrastructure)
    }
    pairs = [pair for pair, _ in settled]
    block = pairs_of(job.spec)
    first = max(pairs, default=0) // block * block
    return sum(pairs.count(pair) == 2 for pair in set(pairs) if pair >= first)


def _eta_s(job: Job, trials: Sequence[Trial], attempts: Sequence[Attempt]) -> float | None:
    """From the mean length of the launches so far; None before the first has ended."""
    ended = [a for a in attempts if a.state.is_finished]
    if job.state.is_finished or not ended:
        return None
    left = _trials_total(job, trials) - sum(t.state.is_finished for t in trials)
    left_pairs = _pairs_total(job, attempts) - _pairs_done(job, attempts)
    launches = left / job.spec.search.parallel_trials + 2 * left_pairs
    return launches * sum(a.spend.wall_s for a in ended) / len(ended)


def _gain_pct(job: Job, best: Trial | None, baseline: Trial | None) -> float | None:
    if best is None or baseline is None or best.measurement is None:
        return None
    if baseline.state is not TrialState.COMPLETE or baseline.measurement is None:
        return None
    return 100 * expm1(decide.score(job.spec, best.measurement, baseline.measurement))
