"""Nouns to rows and back. The column types of `storage.tables` do the nested ones."""

from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import Row, Table

from storage import tables
from storage.lease import LeaseRecord, Moment
from tuner.application import Application
from tuner.interfaces import Fact
from tuner.model import Attempt, AuditEvent, Job, MetricPoint, Plan, Trial

TABLE: dict[type[Fact], Table] = {
    Job: tables.jobs,
    Trial: tables.trials,
    Attempt: tables.attempts,
    MetricPoint: tables.metric_points,
    Plan: tables.plans,
    Application: tables.applications,
    AuditEvent: tables.audit_events,
}

F = TypeVar("F", Job, Trial, Attempt, MetricPoint, Plan, Application, AuditEvent)


def row_of(fact: Fact) -> dict[str, Any]:
    """Column -> value."""
    return {field.name: getattr(fact, field.name) for field in fields(fact)}


def fact_of(kind: type[F], row: Row[Any]) -> F:
    """The noun of a row of its table."""
    return kind(**{field.name: getattr(row, field.name) for field in fields(kind)})


def lease_row(record: LeaseRecord) -> dict[str, Any]:
    """Column -> value."""
    return {
        "holder": record.holder,
        "epoch": record.epoch,
        "ttl_s": record.ttl_s,
        "renewed_at": record.renewed.at,
        "boot_id": record.renewed.boot_id,
        "monotonic_s": record.renewed.monotonic_s,
    }


def lease_of(row: Row[Any]) -> LeaseRecord:
    """The record of the row of `controller_lease`."""
    renewed = Moment(at=row.renewed_at, boot_id=row.boot_id, monotonic_s=row.monotonic_s)
    return LeaseRecord(holder=row.holder, epoch=row.epoch, ttl_s=row.ttl_s, renewed=renewed)
