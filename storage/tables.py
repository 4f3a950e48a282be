"""The tables. Columns are called as the fields of the nouns in `tuner.model`; `seq` is the order of
creation. A change here needs a migration under `migrations/versions/`."""

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
)

from storage.columns import Nested, Reading, Utc, words
from tuner.application import ApplicationState, ApplicationWish
from tuner.expression import Value
from tuner.model import (
    AttemptState,
    Failure,
    JobState,
    LaunchCommand,
    Measurement,
    Pair,
    Placement,
    Spend,
    TrialState,
    Wish,
)
from tuner.spec import JobSpec

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String(128), nullable=False, unique=True),
    Column("spec", Nested(JobSpec), nullable=False),
    Column("state", words(JobState), nullable=False),
    Column("wish", words(Wish), nullable=False),
    Column("message", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("started_at", Utc),
    Column("ended_at", Utc),
    Column("search_ended", Text, nullable=False, server_default=""),
)

trials = Table(
    "trials",
    metadata,
    Column("job_id", String(128), ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("params", Nested(dict[str, Value]), nullable=False),
    Column("state", words(TrialState), nullable=False),
    Column("reason", Text, nullable=False),
    Column("predicted", Nested(dict[str, float]), nullable=False),
    Column("expected_gain", Double),
    Column("measurement", Nested(Measurement)),
    Column("failure", Nested(Failure)),
    Column("created_at", Utc, nullable=False),
    Column("ended_at", Utc),
)

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", String(128), primary_key=True),
    Column("trial_number", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("purpose", String(32), nullable=False),
    Column("pair", Integer),
    Column("state", words(AttemptState), nullable=False),
    Column("placement", Nested(Placement), nullable=False),
    Column("handle", Text),
    Column("created_at", Utc, nullable=False),
    Column("ended_at", Utc),
    Column("measurement", Nested(Measurement)),
    Column("failure", Nested(Failure)),
    Column("spend", Nested(Spend), nullable=False),
    Column("fingerprint", Nested(dict[str, str]), nullable=False, server_default="{}"),
    ForeignKeyConstraint(["job_id", "trial_number"], ["trials.job_id", "trials.number"]),
)

metric_points = Table(
    "metric_points",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("job_id", String(128), nullable=False),
    Column("trial_number", Integer, nullable=False),
    Column("attempt_number", Integer, nullable=False),
    Column("name", String(128), nullable=False),
    Column("t_s", Double, nullable=False),
    Column("value", Reading),
    Column("source", Text, nullable=False, server_default=""),
    ForeignKeyConstraint(
        ["job_id", "trial_number", "attempt_number"],
        ["attempts.job_id", "attempts.trial_number", "attempts.number"],
    ),
    Index("ix_metric_points_name", "job_id", "trial_number", "name", "attempt_number", "t_s"),
)

plans = Table(
    "plans",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String(128), nullable=False, unique=True),
    Column("job_id", String(128), ForeignKey("jobs.id"), nullable=False, index=True),
    Column("verdict", String(32), nullable=False),
    Column("trial_number", Integer, nullable=False),
    Column("params", Nested(dict[str, Value]), nullable=False),
    Column("baseline_params", Nested(dict[str, Value]), nullable=False),
    Column("command", Nested(LaunchCommand), nullable=False),
    Column("placement", Nested(Placement), nullable=False),
    Column("gain_pct", Double),
    Column("gain_low_pct", Double),
    Column("gain_high_pct", Double),
    Column("pairs", Nested(tuple[Pair, ...]), nullable=False),
    Column("baseline_metrics", Nested(dict[str, float]), nullable=False),
    Column("metrics", Nested(dict[str, float]), nullable=False),
    Column("learning_changes", Nested(tuple[str, ...]), nullable=False),
    Column("quality_ok", Boolean),
    Column("search_spend", Nested(Spend), nullable=False),
    Column("payback_samples", Double),
    Column("payback_s", Double),
    Column("explanation", Nested(tuple[str, ...]), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("fingerprint", Nested(dict[str, str]), nullable=False, server_default="{}"),
)

applications = Table(
    "applications",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String(128), nullable=False, unique=True),
    Column("plan_id", String(128), ForeignKey("plans.id"), nullable=False, index=True),
    Column("job_id", String(128), nullable=False, index=True),
    Column("target_kind", String(32), nullable=False),
    Column("target_path", Text, nullable=False),
    Column("state", words(ApplicationState), nullable=False),
    Column("wish", words(ApplicationWish), nullable=False, server_default="carry_on"),
    Column("actor", Text, nullable=False),
    Column("is_stale", Boolean, nullable=False, server_default=false()),
    Column("plan_hash", String(64), nullable=False),
    Column("before_hash", String(64)),
    Column("message", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    Column("applied_at", Utc),
    Column("live_at", Utc),
    Column("tries", Integer, nullable=False, server_default="0"),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", String(64), nullable=False),
    Column("job_id", String(128), index=True),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("evidence", Text, nullable=False, server_default=""),
    Column("before_hash", Text, nullable=False, server_default=""),
    Column("after_hash", Text, nullable=False, server_default=""),
    Column("link", String(64), nullable=False, server_default=""),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("num_events", Integer, nullable=False),
    Column("link", String(64), nullable=False),
)
"""One row: how many events there are, and the link of the last. Put there by a migration."""

controller_lease = Table(
    "controller_lease",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("holder", Text),
    Column("epoch", Integer, nullable=False),
    Column("ttl_s", Double, nullable=False),
    Column("renewed_at", Utc, nullable=False),
    Column("boot_id", String(64), nullable=False),
    Column("monotonic_s", Double, nullable=False),
)
"""One row, put there by the first migration."""
