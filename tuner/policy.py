"""What the policy of a job allows: the guards before every step of an application. Pure.

Each function answers with why not, as a sentence; an empty text is a yes.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from tuner.application import Application, ApplicationState, ApplicationWish
from tuner.expression import Value
from tuner.model import AuditEvent, Job, Plan
from tuner.spec import JobSpec
from tuner.spec_apply import FREEZE, Apply

POLICY = "policy"
"""The actor of what is applied by itself."""
APPROVE = "plan.approve"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def request_by_policy(
    job: Job, plan: Plan, now: datetime, changes: Sequence[str] = ()
) -> tuple[Application | None, str | None]:
    """The application that a job's policy asks for, or why it asks for none.

    `changes` are those of conditions since the plan was measured. Both answers are None where there
    is nothing to say (no better plan, or the policy only recommends).
    """
    policy = job.spec.apply
    if plan.verdict != "better" or policy.mode in ("off", "recommend") or policy.target is None:
        return None, None
    if changes:
        return None, f"It waits for `trimtab apply --stale`: {'; '.join(changes)} meanwhile."
    why_not = learning_refusal(policy, plan) or memory_refusal(job.spec, plan)
    if why_not:
        return None, why_not
    return new_application(job, plan, actor=POLICY, now=now, id_suffix=POLICY), None


def new_application(
    job: Job, plan: Plan, *, actor: str, now: datetime, id_suffix: str, is_stale: bool = False
) -> Application:
    """A proposed application of a plan to its job's target."""
    target = job.spec.apply.target
    assert target is not None
    return Application(
        id=f"app_{plan.id.removeprefix('plan_')}_{id_suffix}",
        plan_id=plan.id,
        job_id=job.id,
        target_kind=target.kind,
        target_path=target.place,
        actor=actor,
        is_stale=is_stale,
        plan_hash=plan.hash,
        created_at=now,
        updated_at=now,
    )


def learning_refusal(policy: Apply, plan: Plan) -> str:
    """Why a plan is not applied by itself because of what the model learns."""
    if plan.quality_ok is False:
        return "It is not applied: the quality figure is outside the allowed loss."
    if plan.learning_changes and policy.learning_changes == "forbid":
        names = ", ".join(plan.learning_changes)
        return (
            f"It waits for `trimtab apply`: it changes the learning ({names}) and "
            "apply.learning_changes is `forbid`."
        )
    if plan.learning_changes and plan.quality_ok is None:
        return "It waits for `trimtab apply`: it changes the learning, quality is unknown."
    return ""


def memory_refusal(spec: JobSpec, plan: Plan) -> str:
    """Why a plan is not applied by itself because of memory: what can run out must be known."""
    risky = [
        name
        for name in spec.space.params
        if spec.space.risk(name) == "memory_risk"
        and plan.params.get(name) != plan.baseline_params.get(name)
    ]
    limited = spec.resources.memory_limit_gib is not None or any(
        limit.metric.endswith("peak_memory_gib") for limit in spec.limits
    )
    if not risky or limited:
        return ""
    return (
        f"It waits for `trimtab apply`: {', '.join(risky)} may use up the memory, and neither "
        "resources.memory_limit_gib nor a limit on peak_memory_gib says how much there is."
    )


def refusal(job: Job, plan: Plan, application: Application, others: Sequence[Application]) -> str:
    """Why an application is not allowed, now or later."""
    policy = job.spec.apply
    if application.actor != POLICY:
        return ""
    if policy.mode in ("off", "recommend"):
        return f"apply.mode is `{policy.mode}`"
    failed = [o for o in _at(application, others) if o.plan_hash == plan.hash and _failed(o)]
    if failed:
        return "the same plan was rolled back from there before; only a person may try it again"
    return (
        _too_far(policy, plan) or learning_refusal(policy, plan) or memory_refusal(job.spec, plan)
    )


def _too_far(policy: Apply, plan: Plan) -> str:
    if policy.max_factor is None:
        return ""
    for name, value in plan.params.items():
        factor = _factor(plan.baseline_params.get(name), value)
        if factor > policy.max_factor:
            return f"{name} would change by a factor of {factor:g}, above apply.max_factor"
    return ""


def _factor(before: Value | None, after: Value) -> float:
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return 1.0
    low, high = sorted((float(before), float(after)))
    return high / low if low > 0 else 1.0


def doubt(plan: Plan, actor: str) -> str:
    """Why the evidence of a plan is no proof that it is better.

    Where the default itself could not be measured there is nothing to prove it against; then the
    word of a person stands in for it, and is written down as that."""
    if plan.verdict == "better" or (plan.verdict == "unproven" and actor != POLICY):
        return ""
    return f"it is not proven to be better: its verdict is `{plan.verdict}`"


def expired(
    spec: JobSpec, plan: Plan, application: Application, changes: Sequence[str], now: datetime
) -> str:
    """Why the evidence of a plan does not hold any more."""
    if application.is_stale:
        return ""
    if changes:
        return f"conditions have changed since it was measured: {'; '.join(changes)}"
    hours = (now - plan.created_at) / timedelta(hours=1)
    if hours > spec.apply.evidence_hours:
        return (
            f"its evidence is {hours:.0f} hours old, above apply.evidence_hours; tune again, or "
            "apply it as stale (`--stale`)"
        )
    return ""


def hold(
    policy: Apply, application: Application, others: Sequence[Application], now: datetime
) -> str:
    """Why nothing may be applied at this moment. People are held back by what is on its way and
    by frozen times only."""
    near = _at(application, others)
    mine = (application.created_at, application.id)
    busy = [o for o in near if _is_on_its_way(o) and (o.created_at, o.id) < mine]
    if busy:
        return f"application {busy[0].id} to the same target is {busy[0].state}"
    frozen = [window for window in policy.freeze if _is_within(window, now)]
    if frozen:
        return f"apply.freeze: {frozen[0]}"
    return _pace(policy, near, now) if application.actor == POLICY else ""


def _is_on_its_way(application: Application) -> bool:
    return not application.is_resting or application.state is ApplicationState.PAUSED


def _pace(policy: Apply, near: Sequence[Application], now: datetime) -> str:
    latest = max(near, key=lambda o: o.updated_at, default=None)
    if latest is not None and latest.state is ApplicationState.FROZEN:
        return f"application {latest.id} is frozen: a person has to look at the target"
    day = now - timedelta(hours=24)
    today = [o for o in near if o.applied_at is not None and o.applied_at > day]
    if len(today) >= policy.max_per_day:
        return f"{len(today)} applications to this target in 24 hours, apply.max_per_day"
    wait = timedelta(minutes=policy.cooldown_minutes) * 2 ** max(0, _rollbacks(near) - 1)
    last = max((o.updated_at for o in near if _failed(o)), default=None)
    if last is not None and now < last + wait:
        left_minutes = (last + wait - now) / timedelta(minutes=1)
        return f"{left_minutes:.0f} min of cooldown are left after a rollback"
    return ""


def _rollbacks(near: Sequence[Application]) -> int:
    """Rollbacks in a row, the latest first, that no person asked for."""
    count = 0
    for other in sorted(near, key=lambda o: o.updated_at, reverse=True):
        if other.live_at is not None and not _failed(other):
            break
        count += _failed(other)
    return count


def _failed(application: Application) -> bool:
    """Whether it was taken back because of what it did, not because somebody wished it."""
    back = application.state in (ApplicationState.ROLLED_BACK, ApplicationState.FROZEN)
    return back and application.wish is not ApplicationWish.ROLL_BACK


def _at(application: Application, others: Sequence[Application]) -> list[Application]:
    return [
        o for o in others if o.target_path == application.target_path and o.id != application.id
    ]


def approvals_missing(policy: Apply, application: Application, events: Sequence[AuditEvent]) -> int:
    """How many more people have to approve. An approval is of a plan, by another than who asked."""
    people = {
        event.actor
        for event in events
        if event.action == APPROVE
        and event.subject == application.id
        and event.after_hash == application.plan_hash
        and event.actor != application.actor
    }
    return max(0, policy.approvals - len(people))


def _is_within(window: str, now: datetime) -> bool:
    found = FREEZE.fullmatch(window)
    assert found is not None
    start = _minute(found["from_day"], found["from"])
    stop = _minute(found["to_day"], found["to"])
    moment = now.weekday() * 1440 + now.hour * 60 + now.minute
    return start <= moment < stop if start <= stop else moment >= start or moment < stop


def _minute(day: str, time: str) -> int:
    hours, minutes = time.split(":")
    return _DAYS.index(day) * 1440 + int(hours) * 60 + int(minutes)
