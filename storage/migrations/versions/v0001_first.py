"""The first schema."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _jobs()
    _trials()
    _plans()
    _control()


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("wish", sa.String(length=32), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_jobs"),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
    )


def _trials() -> None:
    op.create_table(
        "trials",
        sa.Column("job_id", sa.String(length=128), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("predicted", sa.Text(), nullable=False),
        sa.Column("measurement", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_trials_jobs"),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_trials"),
    )
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.String(length=128), nullable=False),
        sa.Column("trial_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("pair", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("placement", sa.Text(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("measurement", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("spend", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id", "trial_number"],
            ["trials.job_id", "trials.number"],
            name="fk_attempts_trials",
        ),
        sa.PrimaryKeyConstraint("job_id", "trial_number", "number", name="pk_attempts"),
    )
    op.create_table(
        "metric_points",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(length=128), nullable=False),
        sa.Column("trial_number", sa.Integer(), nullable=False),
        sa.Column("attempt_number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("t_s", sa.Double(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id", "trial_number", "attempt_number"],
            ["attempts.job_id", "attempts.trial_number", "attempts.number"],
            name="fk_metric_points_attempts",
        ),
        sa.PrimaryKeyConstraint("seq", name="pk_metric_points"),
    )
    op.create_index(
        "ix_metric_points_name",
        "metric_points",
        ["job_id", "trial_number", "name", "attempt_number", "t_s"],
        unique=False,
    )


def _plans() -> None:
    op.create_table(
        "plans",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("job_id", sa.String(length=128), nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=False),
        sa.Column("trial_number", sa.Integer(), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("baseline_params", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("placement", sa.Text(), nullable=False),
        sa.Column("gain_pct", sa.Double(), nullable=True),
        sa.Column("gain_low_pct", sa.Double(), nullable=True),
        sa.Column("gain_high_pct", sa.Double(), nullable=True),
        sa.Column("pairs", sa.Text(), nullable=False),
        sa.Column("baseline_metrics", sa.Text(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("learning_changes", sa.Text(), nullable=False),
        sa.Column("quality_ok", sa.Boolean(), nullable=True),
        sa.Column("search_spend", sa.Text(), nullable=False),
        sa.Column("payback_samples", sa.Double(), nullable=True),
        sa.Column("payback_s", sa.Double(), nullable=True),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_plans_jobs"),
        sa.PrimaryKeyConstraint("seq", name="pk_plans"),
        sa.UniqueConstraint("id", name="uq_plans_id"),
    )
    op.create_index("ix_plans_job_id", "plans", ["job_id"], unique=False)
    op.create_table(
        "applications",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("plan_id", sa.String(length=128), nullable=False),
        sa.Column("job_id", sa.String(length=128), nullable=False),
        sa.Column("target_kind", sa.String(length=32), nullable=False),
        sa.Column("target_path", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("plan_hash", sa.String(length=64), nullable=False),
        sa.Column("before_hash", sa.String(length=64), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_applications_plans"),
        sa.PrimaryKeyConstraint("seq", name="pk_applications"),
        sa.UniqueConstraint("id", name="uq_applications_id"),
    )
    op.create_index("ix_applications_job_id", "applications", ["job_id"], unique=False)
    op.create_index("ix_applications_plan_id", "applications", ["plan_id"], unique=False)


def _control() -> None:
    op.create_table(
        "audit_events",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=128), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_job_id", "audit_events", ["job_id"], unique=False)
    lease = op.create_table(
        "controller_lease",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("ttl_s", sa.Double(), nullable=False),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=False),
        sa.Column("monotonic_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_controller_lease"),
    )
    op.bulk_insert(
        lease,
        [
            {
                "id": 1,
                "holder": None,
                "epoch": 0,
                "ttl_s": 0.0,
                "renewed_at": datetime(1970, 1, 1, tzinfo=UTC),
                "boot_id": "",
                "monotonic_s": 0.0,
            }
        ],
    )
