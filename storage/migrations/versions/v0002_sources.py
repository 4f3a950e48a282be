"""Where the value of a metric point was read."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "metric_points", sa.Column("source", sa.Text(), nullable=False, server_default="")
    )
