"""From the confirmed evidence to a plan and its explanation in plain words. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from tuner import cost, decide, guards, learning
from tuner.advice import advice
from tuner.decide import Verdict
from tuner.expression import Value
from tuner.launch import launch_command
from tuner.learning import Curve
from tuner.metrics import BY_NAME
from tuner.model import Attempt, Job, Measurement, Placement, Plan, Spend, Trial
from tuner.prices import OLD_DAYS
from tuner.spec import JobSpec

Word = Literal["better", "within_noise", "not_better", "limit_broken", "unproven"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything known of a job when its plan is made."""

    job: Job
    trials: Sequence[Trial]
    attempts: Sequence[Attempt]
    candidate: int | None
    curves: tuple[Curve, Curve] = ((), ())
    """Quality over samples of the default and of the candidate, where it was told of."""

    @property
    def spec(self) -> JobSpec:
        return self.job.spec


def make_plan(evidence: Evidence, now: datetime) -> Plan | None:
    """The plan of a job; None where no trial at all is worth one."""
    spec, trials = evidence.spec, evidence.trials
    number = evidence.candidate if evidence.candidate is not None else 0
    chosen, baseline = trials[number], trials[0]
    placement = _placement(evidence.attempts, number)
    if placement is None or chosen.measurement is None:
        return None
    verdict = _evidence_of(evidence, number)
    if number == 0 and not decide.has_baseline(spec, trials):
        return None
    word = _word(spec, number, verdict, decide.has_baseline(spec, trials))
    spend = cost.total(evidence.attempts)
    payback = _payback(spec, placement, evidence, verdict, spend) if word == "better" else None
    changes = _learning_changes(spec, baseline.params, chosen.params)
    plan = Plan(
        id="plan_" + evidence.job.id.removeprefix("job_"),
        job_id=evidence.job.id,
        verdict=word,
        trial_number=number,
        params=chosen.params,
        baseline_params=baseline.params,
        command=launch_command(spec, chosen.params),
        placement=placement,
        gain_pct=verdict.gain_pct,
        gain_low_pct=verdict.gain_low_pct,
        gain_high_pct=verdict.gain_high_pct,
        pairs=verdict.pairs,
        baseline_metrics=verdict.baseline_metrics,
        metrics=verdict.metrics,
        learning_changes=changes,
        quality_ok=guards.quality_ok(spec, verdict),
        search_spend=spend,
        payback_samples=payback,
        payback_s=_payback_s(payback, verdict),
        explanation=(),
        created_at=now,
        fingerprint=chosen.measurement.fingerprint,
    )
    left_out = [*_left_out(evidence, plan), *_unsteady(evidence)]
    explained = _explained(plan, spec)
    samples = _samples_line(evidence, explained)
    told = (*explained.explanation, samples, *advice(spec, trials, chosen))
    lines = (*told, why_ended(evidence.job), *left_out)
    return replace(explained, explanation=tuple(line for line in lines if line))


def _samples_line(evidence: Evidence, plan: Plan) -> str:
    """What a change of the learning costs in samples."""
    if plan.verdict != "better" or not plan.learning_changes:
        return ""
    rates = plan.baseline_metrics.get("samples_per_s"), plan.metrics.get("samples_per_s")
    return learning.in_words(evidence.spec, *evidence.curves, rates)


def why_ended(job: Job) -> str:
    """Why nothing more was searched, as a sentence; empty where that is not known."""
    return f"The search ended: {job.search_ended}." if job.search_ended else ""


def why_no_plan(trials: Sequence[Trial]) -> str:
    """Why no trial is worth a plan, and where to look."""
    failed = [t for t in trials if t.failure is not None]
    if failed and failed[0].failure is not None:
        first, failure = failed[0].number, failed[0].failure
        return (
            f"nothing to recommend: trial {first} failed ({failure.kind}: {failure.cause}); "
            f"see `trimtab trial list` and `trimtab trial get {first}`"
        )
    if any(t.measurement is not None for t in trials):
        return "no configuration kept the limits: see `trimtab trial list`"
    return "the budget of time or money was used up before anything was measured"


def _left_out(evidence: Evidence, plan: Plan) -> list[str]:
    """Which confirming pairs do not count, and why."""
    counted = {pair.number for pair in plan.pairs}
    runs: dict[int, list[Attempt]] = {}
    for attempt in evidence.attempts:
        if attempt.pair is not None and attempt.pair not in counted:
            runs.setdefault(attempt.pair, []).append(attempt)
    lines = []
    for number, attempts in sorted(runs.items()):
        notes = [n for a in attempts if a.measurement for n in a.measurement.notes]
        causes = [a.failure.cause for a in attempts if a.failure]
        why = "; ".join([*notes, *causes]) or "it is not complete"
        lines.append(f"Pair {number} does not count: {why}.")
    return lines


def _unsteady(evidence: Evidence) -> list[str]:
    """How many trials could not win for want of a steady figure, and why the first could not."""
    measured = [t for t in evidence.trials if t.measurement is not None]
    unsteady = [t for t in measured if t.measurement is not None and not t.measurement.is_stable]
    if not unsteady:
        return []
    first = unsteady[0]
    assert first.measurement is not None
    why = "; ".join(first.measurement.notes) or "unknown"
    return [
        f"{len(unsteady)} of {len(measured)} trials gave no steady figure and could not win; "
        f"trial {first.number}: {why}."
    ]


def _placement(attempts: Sequence[Attempt], number: int) -> Placement | None:
    mine = [a.placement for a in attempts if a.trial_number == number and a.measurement]
    return mine[-1] if mine else None


def _evidence_of(evidence: Evidence, number: int) -> Verdict:
    """Confirming pairs, or what was screened where there are none."""
    if number != 0:
        verdict = decide.judge(evidence.spec, number, evidence.attempts)
        if verdict.pairs:
            return verdict
    chosen, baseline = evidence.trials[number].measurement, evidence.trials[0].measurement
    return Verdict(
        pairs=(),
        baseline_metrics=baseline.metrics if baseline else {},
        metrics=chosen.metrics if chosen else {},
    )


def _word(spec: JobSpec, number: int, verdict: Verdict, has_baseline: bool) -> Word:
    if not has_baseline:
        return "unproven"
    if number == 0:
        return "not_better"
    if any(over > 0 for over in _confirmed_violations(spec, verdict).values()):
        return "limit_broken"
    if guards.broken(spec, verdict):
        return "limit_broken"
    low = verdict.gain_low_pct
    return "better" if low is not None and low > spec.apply.min_gain_pct else "within_noise"


def _confirmed_violations(spec: JobSpec, verdict: Verdict) -> dict[str, float]:
    return decide.violations(spec, _bare(verdict.metrics), _bare(verdict.baseline_metrics))


def _bare(metrics: Mapping[str, float]) -> Measurement:
    return Measurement(metrics=dict(metrics), window_s=0, warmup_s=0, steps=0, samples=0)


def _learning_changes(
    spec: JobSpec, before: Mapping[str, Value], after: Mapping[str, Value]
) -> tuple[str, ...]:
    return tuple(
        name
        for name in spec.space.params
        if spec.space.changes_learning(name) and before.get(name) != after.get(name)
    )


def _payback(
    spec: JobSpec, placement: Placement, evidence: Evidence, verdict: Verdict, spend: Spend
) -> float | None:
    """Samples after which what is saved per sample equals what the search used.

    In money where the price book knows it, else in core seconds (GPU seconds where GPUs are held).
    """
    baseline_placement = _placement(evidence.attempts, 0) or placement
    before, after = verdict.baseline_metrics, verdict.metrics
    if spend.usd and "usd_per_million_samples" in before and "usd_per_million_samples" in after:
        saved = (before["usd_per_million_samples"] - after["usd_per_million_samples"]) / 1e6
        return float(spend.usd) / saved if saved > 0 else None
    if "samples_per_s" not in before or "samples_per_s" not in after:
        return None
    gpus = cost.num_gpus(placement)
    count = cost.num_gpus if gpus else cost.num_cores
    saved = count(baseline_placement) / before["samples_per_s"]
    saved -= count(placement) / after["samples_per_s"]
    used = spend.gpu_s if gpus else spend.core_s
    return used / saved if saved > 0 else None


def _payback_s(payback_samples: float | None, verdict: Verdict) -> float | None:
    rate = verdict.metrics.get("samples_per_s")
    return payback_samples / rate if payback_samples is not None and rate else None


# In plain words


def _explained(plan: Plan, spec: JobSpec) -> Plan:
    lines = [_answer(plan, spec), *_evidence_lines(plan, spec), *_cost_lines(plan, spec)]
    return replace(plan, explanation=tuple(lines))


def changed_params(plan: Plan) -> list[tuple[str, Value | None, Value | None]]:
    """(name, baseline's value, plan's value) where they differ; None: it does not apply."""
    names = list(dict.fromkeys([*plan.baseline_params, *plan.params]))
    pairs = [(n, plan.baseline_params.get(n), plan.params.get(n)) for n in names]
    return [(n, before, after) for n, before, after in pairs if before != after]


def _answer(plan: Plan, spec: JobSpec) -> str:
    change = ", ".join(f"{n} {_said(b)} → {_said(a)}" for n, b, a in changed_params(plan))
    match plan.verdict:
        case "better":
            return f"Trial {plan.trial_number} is better: {change}: {_gain(plan, spec)}."
        case "within_noise" if spec.apply.mode == "off":
            return (
                f"Trial {plan.trial_number} measured best: {change}. It was not confirmed, as "
                "apply.mode is `off`."
            )
        case "within_noise" if plan.gain_pct is None:
            return f"Trial {plan.trial_number} could not be confirmed: too few complete pairs."
        case "within_noise":
            return (
                f"Nothing is applied: trial {plan.trial_number} ({change}) is within the noise of "
                f"the baseline: {_gain(plan, spec)}; the lower bound must be above "
                f"{spec.apply.min_gain_pct:g} %."
            )
        case "limit_broken":
            return f"Nothing is applied: trial {plan.trial_number} ({change}) breaks a limit."
        case "unproven":
            return (
                f"The default was not measured or breaks a limit, so trial {plan.trial_number} is "
                "the best that keeps the limits, compared with nothing; it is not applied "
                "automatically."
            )
    return "The default configuration is the best that was found; there is nothing to apply."


def _said(value: Value | None) -> str:
    return "none" if value is None else str(value)


def _gain(plan: Plan, spec: JobSpec) -> str:
    goal = " and ".join(o.metric for o in spec.objectives)
    bounds = f"{plan.gain_low_pct:+.1f} to {plan.gain_high_pct:+.1f} %"
    deciding = sum(pair.decides for pair in plan.pairs)
    told = len(plan.pairs) - deciding
    if not told:
        return f"{goal} {plan.gain_pct:+.1f} % ({bounds}, {deciding} pairs)"
    return (
        f"{goal} {plan.gain_pct:+.1f} % in {told} last pairs ({bounds} in the {deciding} that "
        "decided)"
    )


def _evidence_lines(plan: Plan, spec: JobSpec) -> list[str]:
    lines = []
    for objective in spec.objectives:
        before = plan.baseline_metrics.get(objective.metric)
        after = plan.metrics.get(objective.metric)
        if before is not None and after is not None and plan.trial_number != 0:
            row = BY_NAME.get(objective.metric)
            unit = f" {row.unit}" if row is not None and row.unit else ""
            lines.append(f"{objective.metric}: {after:,.6g}{unit} against {before:,.6g}{unit}.")
    if plan.learning_changes:
        names = ", ".join(plan.learning_changes)
        lines.append(f"It changes the learning itself ({names}): {_quality(plan, spec)}.")
    broken = _confirmed_violations(
        spec,
        Verdict(pairs=(), baseline_metrics=plan.baseline_metrics, metrics=plan.metrics),
    )
    lines += [f"Limit broken: {name}." for name, over in broken.items() if over > 0]
    if plan.trial_number != 0:
        told = Verdict(
            pairs=plan.pairs, baseline_metrics=plan.baseline_metrics, metrics=plan.metrics
        )
        lines += [f"Guard broken: {why}" for why in guards.broken(spec, told)]
    return lines


def _quality(plan: Plan, spec: JobSpec) -> str:
    quality = spec.quality
    if quality is None or plan.quality_ok is None:
        return "no quality figure was measured, so it is not applied automatically"
    after, before = plan.metrics[quality.metric], plan.baseline_metrics[quality.metric]
    samples = plan.metrics.get("quality_samples")
    when = f"after {samples:,.0f} samples " if samples else "as last reported, "
    judged = "within" if plan.quality_ok else "outside"
    return (
        f"{when}{quality.metric} is {after:.4f} against {before:.4f}, "
        f"{judged} the allowed loss of {quality.max_loss:g}"
    )


def _cost_lines(plan: Plan, spec: JobSpec) -> list[str]:
    spend = plan.search_spend
    parts = [f"{spend.core_s / 3600:.3f} core-hours"]
    if spend.gpu_s:
        parts.append(f"{spend.gpu_s / 3600:.3f} GPU-hours")
    if spend.usd is not None:
        parts.append(f"{spend.usd:.4f} USD")
    lines = [f"All trials together took {spend.wall_s / 60:.1f} min, {', '.join(parts)}."]
    lines += _age_lines(spec, plan.created_at)
    if plan.payback_samples is not None and plan.payback_s is not None:
        lines.append(
            f"That is paid back after {plan.payback_samples / 1e6:,.1f} million samples, "
            f"{plan.payback_s / 60:,.1f} min of running with the plan."
        )
    return lines


def _age_lines(spec: JobSpec, now: datetime) -> list[str]:
    age_days = spec.prices.age_days(now.date()) if spec.prices is not None else 0
    if age_days <= OLD_DAYS:
        return []
    return [f"The prices are {age_days} days old: read them anew before relying on money."]
