"""What both stores know of facts: identity, what they belong to, the order to write them in."""

from collections.abc import Iterable
from operator import attrgetter

from tuner.application import Application
from tuner.interfaces import Fact
from tuner.model import Attempt, AuditEvent, Job, MetricPoint, Plan, Trial

Key = tuple[object, ...]

ORDER: tuple[type[Fact], ...] = (Job, Trial, Attempt, MetricPoint, Plan, Application, AuditEvent)
"""Parents first, so that a save may name its facts in any order."""

IDENTITY: dict[type[Fact], tuple[str, ...]] = {
    Job: ("id",),
    Trial: ("job_id", "number"),
    Attempt: ("job_id", "trial_number", "number"),
    Plan: ("id",),
    Application: ("id",),
}
"""Metric points and events have none: they are added."""

PARENT: dict[type[Fact], tuple[type[Fact], tuple[str, ...]]] = {
    Trial: (Job, ("job_id",)),
    Attempt: (Trial, ("job_id", "trial_number")),
    MetricPoint: (Attempt, ("job_id", "trial_number", "attempt_number")),
    Plan: (Job, ("job_id",)),
    Application: (Plan, ("plan_id",)),
}
"""Events belong to nothing, so that what was done can always be written down."""


def parents_first(facts: Iterable[Fact]) -> list[Fact]:
    """Facts in an order in which each comes after what it belongs to; otherwise as given."""
    return sorted(facts, key=lambda fact: ORDER.index(type(fact)))


def values(fact: Fact, names: tuple[str, ...]) -> Key:
    """The values of the named fields."""
    return tuple(attrgetter(name)(fact) for name in names)


def kind_and_parent(fact: Fact) -> tuple[type[Fact], Key]:
    """Facts that share it can be written, and refused, together."""
    _, names = PARENT.get(type(fact), (type(fact), ()))
    return type(fact), values(fact, names)


def orphan_message(fact: Fact) -> str:
    """Why a fact that belongs to nothing cannot be saved."""
    kind, names = PARENT[type(fact)]
    missing = "/".join(str(value) for value in values(fact, names))
    noun = type(fact).__name__
    return f"cannot save a {noun} of {kind.__name__} {missing}, which is not in the store"
