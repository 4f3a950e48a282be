"""Whether a plan that is on its target does what it promised there. Pure.

The canary is one in time: the workload with the plan against the figures of the incumbent from the
confirming pairs. No data is a failure, never a success.
"""

import math

from tuner import decide
from tuner.application import Sighting
from tuner.model import Measurement, Plan
from tuner.rollout import Judgement
from tuner.spec import JobSpec


def judge(spec: JobSpec, plan: Plan, sighting: Sighting, elapsed_s: float) -> Judgement:
    """What a canary has shown after `elapsed_s` seconds on the target, unless the workload itself
    tells since when it runs with the plan."""
    if sighting.state == "waiting":
        return _wait(sighting.message or "takes effect at the next start")
    if sighting.state == "failed":
        why = sighting.message or "for a reason that it does not tell"
        return Judgement(verdict="fail", why=f"the workload failed with it: {why}")
    if sighting.elapsed_s is not None:
        elapsed_s = sighting.elapsed_s
    is_over = sighting.state == "ended" or elapsed_s > spec.apply.canary.max_s
    if sighting.plan_hash != plan.hash:
        shown = f"plan {sighting.plan_hash[:12]}" if sighting.plan_hash else "no plan"
        return _unless_over(is_over, f"the workload reports {shown}, not {plan.hash[:12]}")
    if sighting.steps < spec.apply.canary.min_steps and sighting.state != "ended":
        done = f"{sighting.steps} of {spec.apply.canary.min_steps} steps"
        return _unless_over(is_over, f"seen to run, {done} of its canary")
    missing = [o.metric for o in spec.objectives if o.metric not in sighting.metrics]
    if missing:
        return _unless_over(is_over, f"seen to run, but {', '.join(missing)} is not known of it")
    return _compared(spec, plan, sighting, is_over)


def _compared(spec: JobSpec, plan: Plan, sighting: Sighting, is_over: bool) -> Judgement:
    broken = _broken_limits(spec, sighting)
    if broken:
        return Judgement(verdict="fail", why=f"it breaks a limit: {', '.join(broken)}")
    if not plan.baseline_metrics:
        return Judgement(verdict="pass", why="seen to run; there is no figure to compare with")
    low, high = decide.score_interval(spec, _bare(sighting), _measured(plan.baseline_metrics))
    least = math.log1p(-spec.apply.canary.max_loss_pct / 100)
    told = f"{_pct(low):+.1f} to {_pct(high):+.1f} % against the plan before"
    if high < least:
        return Judgement(verdict="fail", why=f"it is worse: {told}")
    if low >= least:
        return Judgement(verdict="pass", why=f"seen to run: {told}")
    if is_over:
        return Judgement(verdict="inconclusive", why=f"its canary tells nothing clear: {told}")
    return _wait(f"seen to run, not yet clear: {told}")


def _broken_limits(spec: JobSpec, sighting: Sighting) -> list[str]:
    """Limits on what the workload shows; what it does not show was kept while confirming."""
    known = [limit for limit in spec.limits if limit.metric in sighting.metrics]
    return [
        limit.metric
        for limit in known
        if (limit.max is not None and sighting.metrics[limit.metric] > limit.max)
        or (limit.min is not None and sighting.metrics[limit.metric] < limit.min)
    ]


def _unless_over(is_over: bool, why: str) -> Judgement:
    return Judgement(verdict="fail", why=f"{why} in time") if is_over else _wait(why)


def _wait(why: str) -> Judgement:
    return Judgement(verdict="wait", why=why)


def _bare(sighting: Sighting) -> Measurement:
    return Measurement(
        metrics=sighting.metrics,
        intervals=sighting.intervals,
        window_s=0,
        warmup_s=0,
        steps=sighting.steps,
        samples=0,
    )


def _measured(metrics: dict[str, float]) -> Measurement:
    return Measurement(metrics=metrics, window_s=0, warmup_s=0, steps=0, samples=0)


def _pct(log_gain: float) -> float:
    return 100.0 * math.expm1(log_gain)
