"""Applications with a canary and what people wish of them; the audit as a chain."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# What was written to a plan file counts as live, as it was in force.
STATES = {
    "requested": "proposed",
    "applied": "live",
    "rollback_requested": "rolling_back",
}


def upgrade() -> None:
    text = sa.Text()
    op.add_column(
        "applications",
        sa.Column("wish", sa.String(32), nullable=False, server_default="carry_on"),
    )
    op.add_column(
        "applications",
        sa.Column("is_stale", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column("applications", sa.Column("applied_at", sa.DateTime(timezone=True)))
    op.add_column("applications", sa.Column("live_at", sa.DateTime(timezone=True)))
    op.add_column(
        "applications", sa.Column("tries", sa.Integer(), nullable=False, server_default="0")
    )
    table = sa.table(
        "applications",
        sa.column("state", sa.Text),
        sa.column("live_at", sa.DateTime),
        sa.column("updated_at", sa.DateTime),
    )
    connection = op.get_bind()
    for old, new in STATES.items():
        connection.execute(sa.update(table).where(table.c.state == old).values(state=new))
    was_live = table.c.state.in_(("live", "superseded"))
    connection.execute(sa.update(table).where(was_live).values(live_at=table.c.updated_at))
    for name in ("evidence", "before_hash", "after_hash"):
        column = sa.Column(name, text, nullable=False, server_default="")
        op.add_column("audit_events", column)
    op.add_column(
        "audit_events", sa.Column("link", sa.String(64), nullable=False, server_default="")
    )
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("num_events", sa.Integer(), nullable=False),
        sa.Column("link", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
    )
    events = sa.table("audit_events", sa.column("seq", sa.Integer))
    count = connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one()
    connection.execute(sa.insert(head).values(id=1, num_events=count, link=""))
