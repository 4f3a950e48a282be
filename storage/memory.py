"""A store in memory, for tests: the contract of `tuner.interfaces.Store` without durability."""

import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from storage.facts import IDENTITY, PARENT, Key, orphan_message, parents_first, values
from storage.lease import HostClock, LeaseRecord, host_now
from tuner.application import Application, ApplicationWish
from tuner.audit import START, AuditTrail, link
from tuner.errors import NotFound, StaleLease, StoreError
from tuner.interfaces import Fact
from tuner.model import Attempt, AuditEvent, Job, Lease, MetricPoint, Plan, Trial, Wish

F = TypeVar("F", Job, Trial, Attempt, Plan, Application)


class MemoryStore:
    """Facts in dictionaries behind one lock."""

    def __init__(self, now: HostClock = host_now) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._facts: dict[type[Fact], dict[Key, Fact]] = {kind: {} for kind in IDENTITY}
        self._points: list[MetricPoint] = []
        self._events: list[AuditEvent] = []
        self._lease = LeaseRecord(renewed=now())

    def save(self, *facts: Fact, epoch: int | None = None) -> None:
        ordered = parents_first(facts)
        with self._lock:
            if epoch is not None:
                self._check_epoch(epoch)
            self._check_parents(ordered)
            for fact in ordered:
                self._put(fact)

    def wish(self, job_id: str, wish: Wish) -> None:
        with self._lock:
            self._facts[Job][(job_id,)] = replace(self.job(job_id), wish=wish)

    def ask(self, application_id: str, wish: ApplicationWish) -> None:
        with self._lock:
            kept = self._facts[Application]
            found = kept.get((application_id,))
            if not isinstance(found, Application):
                raise NotFound(f"there is no application {application_id!r}")
            kept[(application_id,)] = replace(found, wish=wish)

    def job(self, job_id: str) -> Job:
        with self._lock:
            for job in self.jobs():
                if job.id == job_id:
                    return job
            raise NotFound(f"there is no job {job_id!r} among {len(self._facts[Job])}")

    def jobs(self) -> list[Job]:
        return self._all(Job)

    def trials(self, job_id: str) -> list[Trial]:
        return sorted(self._of(Trial, job_id), key=lambda trial: trial.number)

    def attempts(self, job_id: str, trial_number: int | None = None) -> list[Attempt]:
        found = [a for a in self._of(Attempt, job_id) if trial_number in (None, a.trial_number)]
        return sorted(found, key=lambda attempt: (attempt.trial_number, attempt.number))

    def points(self, job_id: str, trial_number: int, name: str | None) -> list[MetricPoint]:
        with self._lock:
            found = [
                point
                for point in self._points
                if (point.job_id, point.trial_number) == (job_id, trial_number)
                and name in (None, point.name)
            ]
        return sorted(found, key=lambda point: (point.attempt_number, point.t_s))

    def plans(self, job_id: str | None = None) -> list[Plan]:
        return self._of(Plan, job_id)

    def applications(self, job_id: str | None = None) -> list[Application]:
        return self._of(Application, job_id)

    def events(self, job_id: str | None = None) -> list[AuditEvent]:
        with self._lock:
            return [event for event in self._events if job_id in (None, event.job_id)]

    def audit(self) -> AuditTrail:
        with self._lock:
            before, links = START, []
            for event in self._events:
                before = link(before, event)
                links.append((event, before))
        return AuditTrail(links=links, head_count=len(links), head_link=before)

    def lease(self) -> Lease | None:
        with self._lock:
            return self._lease.in_force(self._now())

    def acquire_lease(self, holder: str, ttl_s: float) -> Lease | None:
        with self._lock:
            acquired = self._lease.acquired(holder, ttl_s, self._now())
            if acquired is None:
                return None
            self._lease = acquired
            return acquired.held()

    def release_lease(self, holder: str) -> None:
        with self._lock:
            if self._lease.holder == holder:
                self._lease = self._lease.released()

    def close(self) -> None:
        """Nothing is open."""

    def _check_epoch(self, epoch: int) -> None:
        if self._lease.holder is None or self._lease.epoch != epoch:
            raise StaleLease(self._lease.refusal(epoch))

    def _check_parents(self, facts: Iterable[Fact]) -> None:
        new: dict[type[Fact], set[Key]] = {kind: set() for kind in IDENTITY}
        for fact in facts:
            if type(fact) in PARENT:
                kind, names = PARENT[type(fact)]
                key = values(fact, names)
                if key not in self._facts[kind] and key not in new[kind]:
                    raise StoreError(orphan_message(fact))
            if type(fact) in IDENTITY:
                new[type(fact)].add(values(fact, IDENTITY[type(fact)]))

    def _put(self, fact: Fact) -> None:
        if isinstance(fact, MetricPoint):
            self._points.append(fact)
            return
        if isinstance(fact, AuditEvent):
            self._events.append(fact)
            return
        kept = self._facts[type(fact)]
        key = values(fact, IDENTITY[type(fact)])
        earlier = kept.get(key)
        if isinstance(fact, Job) and isinstance(earlier, Job):
            fact = replace(fact, wish=earlier.wish)
        if isinstance(fact, Application) and isinstance(earlier, Application):
            fact = replace(fact, wish=earlier.wish)
        kept[key] = fact

    def _all(self, kind: type[F]) -> list[F]:
        with self._lock:
            return [fact for fact in self._facts[kind].values() if isinstance(fact, kind)]

    def _of(self, kind: type[F], job_id: str | None) -> list[F]:
        found = self._all(kind)
        return [f for f in found if job_id is None or values(f, ("job_id",)) == (job_id,)]
