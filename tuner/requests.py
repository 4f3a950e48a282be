"""What people ask of plans and applications: wishes, which the controller turns into facts."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from tuner import fingerprint
from tuner.application import Application, ApplicationState, ApplicationWish
from tuner.audit import AuditTrail
from tuner.errors import Conflict, NotFound
from tuner.interfaces import Clock, Host, Store
from tuner.model import AuditEvent, Job, Plan
from tuner.policy import APPROVE, new_application

HALTED = "halted"
"""The kill switch, a file in the home folder."""


class PlanRequests(ABC):
    """The part of the service that is about plans."""

    home: Path
    _store: Store
    _clock: Clock
    _host: Host

    @abstractmethod
    def job(self, ref: str) -> Job:
        """A job by what a person calls it."""

    def plans(self, ref: str | None = None) -> list[Plan]:
        return self._store.plans(None if ref is None else self.job(ref).id)

    def plan(self, ref: str) -> Plan:
        """By id, unique prefix of one, or `@last`; also by a job's id or name: its plan."""
        plans = self._store.plans()
        names = {job.id: job.name for job in self._store.jobs()}
        of_job = [p for p in plans if ref in (p.job_id, names[p.job_id])]
        return of_job[-1] if of_job else found(plans, ref, "plan", "`trimtab plan list`")

    def changes(self, plan_ref: str) -> tuple[str, ...]:
        """What has changed since a plan was measured, in words; empty where its evidence holds."""
        return self.changes_of(self.plan(plan_ref))

    def changes_of(self, plan: Plan) -> tuple[str, ...]:
        """As `changes`, of a plan at hand."""
        here = self._host.fingerprint(self._store.job(plan.job_id).spec)
        return fingerprint.difference(plan.fingerprint, here)

    def apply(self, plan_ref: str, *, actor: str, stale: bool = False) -> Application:
        """Asks for a plan to be put on its job's target; one that was measured under other
        conditions only where `stale` says so."""
        plan = self.plan(plan_ref)
        job = self._store.job(plan.job_id)
        changes = () if stale else self.changes_of(plan)
        if changes:
            raise Conflict(
                f"plan {plan.id} was measured under other conditions: {'; '.join(changes)}. "
                "Remedy: tune again, or apply it all the same as stale (`--stale`)"
            )
        if job.spec.apply.target is None:
            raise Conflict(
                f"job {job.name} has no target; add `apply: {{target: {{path: plan.json}}}}`"
            )
        self._refuse_while_busy(job.spec.apply.target.place)
        now = self._clock.now()
        application = new_application(
            job, plan, actor=actor, now=now, id_suffix=secrets.token_hex(3), is_stale=stale
        )
        event = self._event(actor, "plan.apply", job.id, plan.id, application.id)
        self._store.save(application, event)
        return application

    def _refuse_while_busy(self, path: str) -> None:
        for other in self._store.applications():
            if other.target_path == path and not other.is_settled:
                raise Conflict(f"application {other.id} to the same target is {other.state}")

    def rollback(self, application_ref: str | None, *, actor: str) -> Application:
        """Asks for the plan before to be put back. None: the application that is in force."""
        applications = self._store.applications()
        if application_ref is None:
            in_force = [a for a in applications if a.state.is_on_target]
            if not in_force:
                raise NotFound("no application is in force; see `trimtab plan list`")
            application = max(in_force, key=lambda a: a.updated_at)
        else:
            hint = "`trimtab plan get PLAN`"
            application = found(applications, application_ref, "application", hint)
        if not (application.state.is_on_target or application.state is ApplicationState.APPLYING):
            raise Conflict(f"application {application.id} is {application.state}, not in force")
        return self._ask(application, ApplicationWish.ROLL_BACK, "plan.rollback", actor)

    def reject(self, ref: str, *, actor: str) -> Application:
        """Asks for an application to end before it changes anything."""
        application = self.application(ref)
        if application.state.is_on_target or application.state.is_finished:
            raise Conflict(f"application {application.id} is {application.state} already")
        return self._ask(application, ApplicationWish.REJECT, "plan.reject", actor)

    def _ask(
        self, application: Application, wish: ApplicationWish, action: str, actor: str
    ) -> Application:
        event = self._event(actor, action, application.job_id, application.id, "")
        self._store.save(event)
        self._store.ask(application.id, wish)
        return self.application(application.id)

    def approve(self, ref: str, *, actor: str) -> Application:
        """One person's approval; of an application that has told nothing clear, its acceptance."""
        application = self.application(ref)
        waits = (ApplicationState.AWAITING_APPROVAL, ApplicationState.PAUSED)
        if application.state not in waits:
            raise Conflict(
                f"application {application.id} is {application.state}: nothing to approve"
            )
        if application.actor == actor and application.state is not ApplicationState.PAUSED:
            raise Conflict(f"{actor} asked for it: another person has to approve")
        event = self._event(actor, APPROVE, application.job_id, application.id, "")
        before, after = application.before_hash or "", application.plan_hash
        self._store.save(replace(event, before_hash=before, after_hash=after))
        return application

    def halt(self, *, lift: bool, actor: str) -> None:
        """The kill switch: a file that is looked for before every step of every application."""
        switch = self.home / HALTED
        if lift:
            switch.unlink(missing_ok=True)
        else:
            switch.touch()
        action = "applications.resume" if lift else "applications.halt"
        self._store.save(self._event(actor, action, "", "", ""))

    def audit(self) -> AuditTrail:
        """Every event with its link, for `tuner.audit.verify`."""
        return self._store.audit()

    def applications(self, ref: str | None = None) -> list[Application]:
        return self._store.applications(None if ref is None else self.job(ref).id)

    def application(self, ref: str) -> Application:
        return found(self._store.applications(), ref, "application", "`trimtab plan list`")

    def events(self, ref: str | None = None) -> list[AuditEvent]:
        return self._store.events(None if ref is None else self.job(ref).id)

    def _event(self, actor: str, action: str, job_id: str, subject: str, detail: str) -> AuditEvent:
        return AuditEvent(
            at=self._clock.now(),
            actor=actor,
            action=action,
            job_id=job_id,
            subject=subject,
            detail=detail,
        )


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


_Thing = TypeVar("_Thing", bound=_Identified)


def found(things: Sequence[_Thing], ref: str, noun: str, hint: str) -> _Thing:
    """By id, unique prefix of one, or `@last`. Raises NotFound."""
    if ref == "@last" and things:
        return things[-1]
    exact = [thing for thing in things if thing.id == ref]
    matching = exact or [thing for thing in things if thing.id.startswith(ref) and ref]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise NotFound(f"{ref!r} fits {len(matching)} {noun}s; give more of the id ({hint})")
    raise NotFound(f"there is no {noun} {ref!r}; {hint} lists them")
