"""Carries applications on: looks, does the act of a state, and writes down where that leads.

Write, act, write: the state before each act is committed first, every act may be repeated, and the
state after it is committed only once the target shows it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tuner import canary, policy
from tuner.application import Application, ApplicationState, ApplicationWish
from tuner.errors import TargetError
from tuner.interfaces import DAMAGED, Clock, Store, Target
from tuner.model import AuditEvent, Job, Plan
from tuner.rollout import Judgement, Move, Sight, next_move

OpenTarget = Callable[[Application], Target]
BaselinePlan = Callable[[Plan], Plan]
Changes = Callable[[Plan], Sequence[str]]

S = ApplicationState

LIVE_LOOK_S = 10.0
"""How often what is live is looked at."""
RETRY_S = 10.0
"""Between the tries of a rollback that fails."""
LIVE_FAILS = 3
"""Looks in a row that find it worse before it is rolled back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an application is carried through: all that is not the store or the clock."""

    open_target: OpenTarget
    baseline_plan: BaselinePlan
    changes: Changes
    """What has changed since a plan was measured."""
    is_halted: Callable[[], bool]
    """The kill switch, read before every step."""


class Rollout:
    """Carries applications on, one act a step."""

    def __init__(
        self, store: Store, clock: Clock, surroundings: Surroundings, *, epoch: int
    ) -> None:
        self._store = store
        self._clock = clock
        self._around = surroundings
        self._epoch = epoch
        self._looked: dict[str, tuple[datetime, int]] = {}
        """Of what is live: when it was looked at, and how often in a row it was found worse."""

    def step(self) -> None:
        """Carries every open application one state further."""
        for application in self._store.applications():
            if not application.state.is_finished and self._is_due(application):
                self._carry(application)

    def _is_due(self, application: Application) -> bool:
        looked = self._looked.get(application.id)
        if application.state is S.ROLLING_BACK and application.tries and looked is not None:
            return self._clock.now() - looked[0] >= timedelta(seconds=RETRY_S)
        if application.state is not S.LIVE or application.wish is ApplicationWish.ROLL_BACK:
            return True
        if application.target_kind == "file":
            return False  # the starts that follow are the job's own affair
        due_s = timedelta(seconds=LIVE_LOOK_S)
        return looked is None or self._clock.now() - looked[0] >= due_s

    def _carry(self, application: Application) -> None:
        job = self._store.job(application.job_id)
        plan = self._plan(application)
        try:
            target = self._around.open_target(application)
            look = _LOOKS[application.state]
            application, sight = look(self, application, job, plan, target)
        except TargetError as error:
            late = self._is_late(application, job)
            sight = Sight(error=str(error), is_late=late, is_halted=self._around.is_halted())
        move = next_move(application, sight)
        if move is None:
            return
        if application.state is S.ROLLING_BACK and sight.error:
            application = replace(application, tries=application.tries + 1)
            self._looked[application.id] = (self._clock.now(), 0)
        self._move(application, move)

    # What each state looks at, and does

    def _look_proposed(
        self, application: Application, job: Job, plan: Plan, target: Target
    ) -> tuple[Application, Sight]:
        refusal = policy.refusal(job, plan, application, self._store.applications())
        return application, Sight(is_halted=self._around.is_halted(), refusal=refusal)

    def _look_verifying(
        self, application: Application, job: Job, plan: Plan, target: Target
    ) -> tuple[Application, Sight]:
        return application, Sight(
            is_halted=self._around.is_halted(),
            doubt=policy.doubt(plan, application.actor),
            expired=self._expired(application, job, plan),
        )

    def _look_for_approval(
        self, application: Application, job: Job, plan: Plan, target: Target
    ) -> tuple[Application, Sight]:
        needed = job.spec.apply.approvals
        events = self._store.events(job.id) if needed else []
        return application, Sight(
            is_halted=self._around.is_halted(),
            approvals_missing=policy.approvals_missing(job.spec.apply, application, events),
            expired=self._expired(application, job, plan),
        )

    def _look_armed(
        self, application: Application, job: Job, plan: Plan, target: Target
    ) -> tuple[Application, Sight]:
        others, now = self._store.applications(), self._clock.now()
        halted = self._around.is_halted()
        hold = policy.hold(job.spec.apply, application, others, now)
        expired = self._expired(application, job, plan)
        refusal = policy.refusal(job, plan, application, others)
        if halted or hold or expired or refusal:
            return application, Sight(is_halted=halted, hold=hold, expired=expired, refusal=refusal)
        before = target.current()
        if before is None:
            # The first time, the default is put there too: something to go back to.
            baseline = self._around.baseline_plan(plan)
            target.apply(baseline, None)
            before = target.current()
            if before != baseline.hash:
                return application, Sight(hold="the default is being started, to go back to")
        elif before == DAMAGED:
            known = self._in_force(application)
            before = known[-1].plan_hash if known else None
        elif before == application.plan_hash:
            # Applied again: the way back still leads to what was there before the first time.
            before = self._before_of(application) or before
        began = replace(application, before_hash=before, applied_at=now)
        return began, Sight(found=before)

    def _look_applying(
        self, application: Application, job: Job, plan: Plan, target: Target
    ) -> tuple[Application, Sight]:
        found = target.current()
        # Compare and set: what was put there by others meanwhile is left alone.
        if found in (application.before_hash, application.plan_hash, None, DAMAGED):
            if application.wish is not ApplicationWish.ROLL_BACK and not self._around.is_halted():
                try:
                    target.apply(plan, job.spec.apply.canary.lease_s)
                except TargetError as error:
                    return application, Sight(found=target.current(), error=str(error))
            found = target.current()
        return application, Sight(found=found, is_late=self._is_late(application, job))

    def _look_canary(
        self, application: Application, job: Job, plan: Plan, target: Target
    ) -> tuple[Application, Sight]:
        found = target.current()
        late = self._is_late(application, job)
        if found != application.plan_hash:
            return application, Sight(found=found, is_late=late)
        judged = self._accepted(application)
        if judged is None:
            judged = canary.judge(job.spec, plan, target.observe(), self._elapsed_s(application))
        if self._around.is_halted():  # unrenewed, the target goes back by itself
            return application, Sight(found=found, is_late=late)
        if judged.verdict != "fail":
            for_good = judged.verdict == "pass"
            target.apply(plan, None if for_good else job.spec.apply.canary.lease_s)
        return application, Sight(found=target.current(), canary=judged, is_late=late)

    def _look_live(
        self, application: Application, job: Job, plan: Plan, target: Target
    ) -> tuple[Application, Sight]:
        if application.wish is ApplicationWish.ROLL_BACK:
            return application, Sight(found=target.current())
        sighting = target.observe()
        if sighting.state in ("waiting", "ended"):
            return application, Sight()
        judged = canary.judge(job.spec, plan, sighting, 0.0)
        _, fails = self._looked.get(application.id, (None, 0))
        fails = fails + 1 if judged.verdict == "fail" else 0
        self._looked[application.id] = (self._clock.now(), fails)
        is_sure = fails >= LIVE_FAILS or (fails > 0 and sighting.state == "failed")
        return application, Sight(canary=judged if is_sure else None)

    def _look_rolling_back(
        self, application: Application, job: Job, plan: Plan, target: Target
    ) -> tuple[Application, Sight]:
        found = target.current()
        if found in (application.plan_hash, None, DAMAGED):
            target.restore(application.before_hash)
            found = target.current()
        return application, Sight(found=found, is_late=self._is_late(application, job))

    def _accepted(self, application: Application) -> Judgement | None:
        """A person's word for a canary that told nothing clear."""
        if application.state is not S.PAUSED:
            return None
        for event in self._store.events(application.job_id):
            is_it = (event.action, event.subject) == (policy.APPROVE, application.id)
            if is_it and event.at >= application.updated_at:
                return Judgement(verdict="pass", why=f"accepted by {event.actor}")
        return None

    def _expired(self, application: Application, job: Job, plan: Plan) -> str:
        changes = () if application.is_stale else self._around.changes(plan)
        return policy.expired(job.spec, plan, application, changes, self._clock.now())

    def _elapsed_s(self, application: Application) -> float:
        return (self._clock.now() - application.updated_at) / timedelta(seconds=1)

    def _is_late(self, application: Application, job: Job) -> bool:
        limits = job.spec.apply.canary
        allowed_s = limits.pause_s if application.state is S.PAUSED else limits.max_s
        return self._elapsed_s(application) > allowed_s

    # Others on the same target

    def _before_of(self, application: Application) -> str | None:
        for other in self._in_force(application):
            if other.plan_hash == application.plan_hash:
                return other.before_hash
        return None

    def _in_force(self, application: Application) -> list[Application]:
        """Other applications whose plan is on the same target."""
        return [
            other
            for other in self._store.applications()
            if other.state.is_on_target
            and other.target_path == application.target_path
            and other.id != application.id
        ]

    def _superseded(self, application: Application) -> list[Application]:
        now = self._clock.now()
        return [
            replace(
                other, state=S.SUPERSEDED, updated_at=now, message="another plan took its place"
            )
            for other in self._in_force(application)
        ]

    def _back_in_force(self, application: Application) -> list[Application]:
        """The superseded application whose plan is on the target again."""
        earlier = [
            other
            for other in self._store.applications()
            if other.state is S.SUPERSEDED
            and other.target_path == application.target_path
            and other.plan_hash == application.before_hash
        ]
        now = self._clock.now()
        return [
            replace(
                other,
                state=S.CANARY if other.live_at is None else S.LIVE,
                updated_at=now,
                message="on the target again",
            )
            for other in earlier[-1:]
        ]

    def _plan(self, application: Application) -> Plan:
        plans = self._store.plans(application.job_id)
        return next(plan for plan in plans if plan.id == application.plan_id)

    def _move(self, application: Application, move: Move) -> None:
        if move.state is application.state:  # something to tell; it stays where it is
            self._store.save(replace(application, message=move.message), epoch=self._epoch)
            return
        now = self._clock.now()
        live_at = now if move.state is S.LIVE else application.live_at
        moved = replace(
            application,
            state=move.state,
            message=move.message,
            updated_at=now,
            live_at=live_at,
            tries=0,
        )
        others: list[Application] = []
        if move.state is S.CANARY:
            others = self._superseded(application)
        elif move.state is S.ROLLED_BACK:
            others = self._back_in_force(application)
        self._store.save(moved, *others, self._event(application, move), epoch=self._epoch)

    def _event(self, application: Application, move: Move) -> AuditEvent:
        return AuditEvent(
            at=self._clock.now(),
            actor="controller",
            action=f"application.{move.state}",
            job_id=application.job_id,
            subject=application.id,
            detail=move.message,
            evidence=application.plan_id,
            before_hash=application.before_hash or "",
            after_hash=application.plan_hash,
        )


_LOOKS = {
    S.PROPOSED: Rollout._look_proposed,
    S.VERIFYING: Rollout._look_verifying,
    S.VERIFIED: Rollout._look_for_approval,
    S.AWAITING_APPROVAL: Rollout._look_for_approval,
    S.ARMED: Rollout._look_armed,
    S.APPLYING: Rollout._look_applying,
    S.CANARY: Rollout._look_canary,
    S.PAUSED: Rollout._look_canary,
    S.LIVE: Rollout._look_live,
    S.ROLLING_BACK: Rollout._look_rolling_back,
}
