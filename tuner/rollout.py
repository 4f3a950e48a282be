"""A plan's way to its target and back. One application at a time per target; safe to repeat.

    requested ──> applying ──> applied ──> superseded
        └─────────────┴──> failed  └──> rollback_requested ──> rolling_back ──> rolled_back

The state before each act is committed first, and acts are idempotent, so that a crash at any
point converges to exactly one plan, the old or the new.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from tuner.errors import TargetError
from tuner.interfaces import DAMAGED, Clock, Store, Target
from tuner.model import Application, ApplicationState, AuditEvent, Job, Plan

OpenTarget = Callable[[Application], Target]
BaselinePlan = Callable[[Plan], Plan]

_OPEN = (
    ApplicationState.REQUESTED,
    ApplicationState.APPLYING,
    ApplicationState.ROLLBACK_REQUESTED,
    ApplicationState.ROLLING_BACK,
)


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
    if plan.quality_ok is False:
        return None, "It is not applied: the quality figure is outside the allowed loss."
    if plan.learning_changes and policy.learning_changes == "forbid":
        names = ", ".join(plan.learning_changes)
        return None, (
            f"It waits for `trimtab apply`: it changes the learning ({names}) and "
            "apply.learning_changes is `forbid`."
        )
    if plan.learning_changes and plan.quality_ok is None:
        return None, "It waits for `trimtab apply`: it changes the learning, quality is unknown."
    return new_application(job, plan, actor="policy", now=now, id_suffix="policy"), None


def new_application(
    job: Job, plan: Plan, *, actor: str, now: datetime, id_suffix: str
) -> Application:
    """A requested application of a plan to its job's target."""
    target = job.spec.apply.target
    assert target is not None
    return Application(
        id=f"app_{plan.id.removeprefix('plan_')}_{id_suffix}",
        plan_id=plan.id,
        job_id=job.id,
        target_kind=target.kind,
        target_path=target.path,
        actor=actor,
        plan_hash=plan.hash,
        created_at=now,
        updated_at=now,
    )


class Rollout:
    """Carries applications on, one act a step."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        open_target: OpenTarget,
        baseline_plan: BaselinePlan,
        *,
        epoch: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._open_target = open_target
        self._baseline_plan = baseline_plan
        self._epoch = epoch

    def step(self) -> None:
        """Carries every open application one state further."""
        for application in self._store.applications():
            if application.state in _OPEN:
                try:
                    self._carry(application)
                except TargetError as error:
                    self._move(application, ApplicationState.FAILED, str(error))

    def _carry(self, application: Application) -> None:
        target = self._open_target(application)
        match application.state:
            case ApplicationState.REQUESTED:
                self._begin(application, target)
            case ApplicationState.APPLYING:
                self._apply(application, target)
            case ApplicationState.ROLLBACK_REQUESTED:
                self._begin_rollback(application, target)
            case ApplicationState.ROLLING_BACK:
                target.restore(application.before_hash)
                self._move(
                    application,
                    ApplicationState.ROLLED_BACK,
                    "the plan before is back",
                    *self._back_in_force(application),
                )
            case _:
                pass

    def _begin(self, application: Application, target: Target) -> None:
        before = target.current()
        if before is None:
            # The first time, the default is written too, so that there is something to go back to.
            baseline = self._baseline_plan(self._plan(application))
            target.apply(baseline)
            before = baseline.hash
        elif before == application.plan_hash:
            # Applied again: the way back still leads to what was there before the first time.
            before = self._before_of(application) or before
        moved = replace(application, before_hash=before)
        self._move(moved, ApplicationState.APPLYING, "")

    def _before_of(self, application: Application) -> str | None:
        for other in self._in_force(application):
            if other.plan_hash == application.plan_hash:
                return other.before_hash
        return None

    def _back_in_force(self, application: Application) -> list[Application]:
        """The superseded application whose plan is on the target again."""
        earlier = [
            other
            for other in self._store.applications()
            if other.state is ApplicationState.SUPERSEDED
            and other.target_path == application.target_path
            and other.plan_hash == application.before_hash
        ]
        again = ApplicationState.APPLIED
        return [replace(a, state=again, updated_at=self._clock.now()) for a in earlier[-1:]]

    def _in_force(self, application: Application) -> list[Application]:
        """Other applications that are in force on the same target."""
        return [
            other
            for other in self._store.applications()
            if other.state is ApplicationState.APPLIED
            and other.target_path == application.target_path
            and other.id != application.id
        ]

    def _apply(self, application: Application, target: Target) -> None:
        found = target.current()
        if found not in (application.before_hash, application.plan_hash):
            raise TargetError(
                f"{application.target_path} changed meanwhile (now {str(found)[:12]}); "
                "nothing was applied. Remedy: look at it and apply again"
            )
        target.apply(self._plan(application))
        if target.current() != application.plan_hash:
            raise TargetError(f"{application.target_path} does not show the plan after writing")
        others = [
            replace(other, state=ApplicationState.SUPERSEDED, updated_at=self._clock.now())
            for other in self._in_force(application)
        ]
        self._move(application, ApplicationState.APPLIED, "takes effect at the next start", *others)

    def _begin_rollback(self, application: Application, target: Target) -> None:
        found = target.current()
        if found not in (application.plan_hash, application.before_hash, DAMAGED):
            raise TargetError(
                f"{application.target_path} holds another plan ({str(found)[:12]}), "
                "so this one cannot be rolled back"
            )
        self._move(application, ApplicationState.ROLLING_BACK, "")

    def _plan(self, application: Application) -> Plan:
        plans = self._store.plans(application.job_id)
        return next(plan for plan in plans if plan.id == application.plan_id)

    def _move(
        self,
        application: Application,
        state: ApplicationState,
        message: str,
        *others: Application,
    ) -> None:
        now = self._clock.now()
        moved = replace(application, state=state, message=message, updated_at=now)
        event = AuditEvent(
            at=now,
            actor="controller",
            action=f"application.{state}",
            job_id=application.job_id,
            subject=application.id,
            detail=f"{str(application.before_hash)[:12]} -> {application.plan_hash[:12]} {message}",
        )
        self._store.save(moved, *others, event, epoch=self._epoch)
