"""The store in a database, by SQLAlchemy Core; what is particular to SQLite is elsewhere."""

from itertools import groupby
from pathlib import Path
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from storage.codec import TABLE, fact_of, lease_of, lease_row, row_of
from storage.facts import IDENTITY, kind_and_parent, orphan_message, parents_first
from storage.lease import HostClock, LeaseRecord, host_now
from storage.schema import bring_up
from storage.sqlite import SqliteFile
from storage.tables import (
    applications,
    attempts,
    audit_events,
    audit_head,
    controller_lease,
    jobs,
    metric_points,
    plans,
    trials,
)
from tuner.application import Application, ApplicationWish
from tuner.audit import AuditTrail, link
from tuner.errors import NotFound, StaleLease, StoreError
from tuner.interfaces import Fact
from tuner.model import Attempt, AuditEvent, Job, Lease, MetricPoint, Plan, Trial, Wish

F = TypeVar("F", Job, Trial, Attempt, MetricPoint, Plan, Application, AuditEvent)
Condition = ColumnElement[bool]


class SqlStore:
    """A database, opened at the newest schema. Safe for threads; to be opened anew after a fork."""

    def __init__(
        self, location: str | Path, *, busy_timeout_s: float = 10.0, now: HostClock = host_now
    ) -> None:
        """`location`: a path, or a URL `sqlite:///path`. Raises StoreError."""
        self._now = now
        self._database = SqliteFile(_path(location), busy_timeout_s)
        try:
            bring_up(self._database)
        except BaseException:
            self._database.close()
            raise

    def save(self, *facts: Fact, epoch: int | None = None) -> None:
        with self._database.write() as connection:
            if epoch is not None:
                _check_epoch(connection, epoch)
            for _, group in groupby(parents_first(facts), kind_and_parent):
                _put(connection, list(group))

    def wish(self, job_id: str, wish: Wish) -> None:
        statement = update(jobs).where(jobs.c.id == job_id).values(wish=wish)
        with self._database.write() as connection:
            if connection.execute(statement).rowcount == 0:
                raise _no_such_job(connection, job_id)

    def ask(self, application_id: str, wish: ApplicationWish) -> None:
        table = applications
        statement = update(table).where(table.c.id == application_id).values(wish=wish)
        with self._database.write() as connection:
            if connection.execute(statement).rowcount == 0:
                raise NotFound(f"there is no application {application_id!r}")

    def job(self, job_id: str) -> Job:
        with self._database.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
            if row is None:
                raise _no_such_job(connection, job_id)
            return fact_of(Job, row)

    def jobs(self) -> list[Job]:
        return self._facts(Job, [], [jobs.c.seq])

    def trials(self, job_id: str) -> list[Trial]:
        return self._facts(Trial, [trials.c.job_id == job_id], [trials.c.number])

    def attempts(self, job_id: str, trial_number: int | None = None) -> list[Attempt]:
        where = [attempts.c.job_id == job_id]
        if trial_number is not None:
            where.append(attempts.c.trial_number == trial_number)
        return self._facts(Attempt, where, [attempts.c.trial_number, attempts.c.number])

    def points(self, job_id: str, trial_number: int, name: str | None) -> list[MetricPoint]:
        columns = metric_points.c
        where = [columns.job_id == job_id, columns.trial_number == trial_number]
        if name is not None:
            where.append(columns.name == name)
        return self._facts(MetricPoint, where, [columns.attempt_number, columns.t_s, columns.seq])

    def plans(self, job_id: str | None = None) -> list[Plan]:
        where = [] if job_id is None else [plans.c.job_id == job_id]
        return self._facts(Plan, where, [plans.c.seq])

    def applications(self, job_id: str | None = None) -> list[Application]:
        where = [] if job_id is None else [applications.c.job_id == job_id]
        return self._facts(Application, where, [applications.c.seq])

    def events(self, job_id: str | None = None) -> list[AuditEvent]:
        where = [] if job_id is None else [audit_events.c.job_id == job_id]
        return self._facts(AuditEvent, where, [audit_events.c.seq])

    def audit(self) -> AuditTrail:
        with self._database.read() as connection:
            rows = connection.execute(select(audit_events).order_by(audit_events.c.seq)).all()
            head = connection.execute(select(audit_head)).one()
        links = [(fact_of(AuditEvent, row), row.link) for row in rows]
        return AuditTrail(links=links, head_count=head.num_events, head_link=head.link)

    def lease(self) -> Lease | None:
        with self._database.read() as connection:
            return _lease(connection).in_force(self._now())

    def acquire_lease(self, holder: str, ttl_s: float) -> Lease | None:
        with self._database.write() as connection:
            acquired = _lease(connection, is_write=True).acquired(holder, ttl_s, self._now())
            if acquired is None:
                return None
            connection.execute(update(controller_lease).values(lease_row(acquired)))
            return acquired.held()

    def release_lease(self, holder: str) -> None:
        lease = controller_lease
        with self._database.write() as connection:
            connection.execute(update(lease).where(lease.c.holder == holder).values(holder=None))

    def close(self) -> None:
        self._database.close()

    def _facts(
        self, kind: type[F], where: list[Condition], order: list[ColumnElement[int]]
    ) -> list[F]:
        statement = select(TABLE[kind]).where(*where).order_by(*order)
        with self._database.read() as connection:
            return [fact_of(kind, row) for row in connection.execute(statement)]


def _path(location: str | Path) -> Path:
    text = str(location)
    if "://" not in text:
        return Path(text)
    if not text.startswith("sqlite:///"):
        raise StoreError(f"no store for {text.split('://')[0]}; give a path or sqlite:///PATH")
    return Path(text.removeprefix("sqlite:///"))


def _check_epoch(connection: Connection, epoch: int) -> None:
    lease = controller_lease
    # The row stays locked until the commit, so that no other controller can take over in between.
    present = select(lease.c.epoch).where(lease.c.epoch == epoch, lease.c.holder.is_not(None))
    if connection.execute(present.with_for_update()).first() is None:
        raise StaleLease(_lease(connection).refusal(epoch))


def _lease(connection: Connection, *, is_write: bool = False) -> LeaseRecord:
    statement = select(controller_lease)
    row = connection.execute(statement.with_for_update() if is_write else statement).one()
    return lease_of(row)


def _put(connection: Connection, facts: list[Fact]) -> None:
    """Facts of one kind and parent."""
    try:
        if type(facts[0]) in IDENTITY:
            for fact in facts:
                _replace(connection, fact)
        else:
            _add(connection, facts)
    except IntegrityError as error:
        if "foreign key" not in str(error.orig).lower():
            raise
        raise StoreError(orphan_message(facts[0])) from error


def _replace(connection: Connection, fact: Fact) -> None:
    table, row = TABLE[type(fact)], row_of(fact)
    identity = [table.c[name] == row[name] for name in IDENTITY[type(fact)]]
    # A person may have written the wish since this was read.
    kept = {*IDENTITY[type(fact)], "wish"}
    changed = {name: value for name, value in row.items() if name not in kept}
    found = connection.execute(update(table).where(*identity).values(changed)).rowcount
    if found == 0:
        _add(connection, [fact])


def _add(connection: Connection, facts: list[Fact]) -> None:
    rows = [row_of(fact) for fact in facts]
    events = [fact for fact in facts if isinstance(fact, AuditEvent)]
    if events:
        rows = _linked(connection, events)
    connection.execute(insert(TABLE[type(facts[0])]), rows)


def _linked(connection: Connection, events: list[AuditEvent]) -> list[dict[str, object]]:
    """The rows of events, each with the link that follows the last one; moves the head along."""
    head = connection.execute(select(audit_head).with_for_update()).one()
    before, rows = head.link, []
    for event in events:
        before = link(before, event)
        rows.append({**row_of(event), "link": before})
    moved = {"num_events": head.num_events + len(events), "link": before}
    connection.execute(update(audit_head).values(moved))
    return rows


def _no_such_job(connection: Connection, job_id: str) -> NotFound:
    count = connection.execute(select(func.count()).select_from(jobs)).scalar_one()
    return NotFound(f"there is no job {job_id!r} among {count}")
