"""What attempts were launched on, and what the evidence of plans was measured on."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for table in ("attempts", "plans"):
        op.add_column(
            table, sa.Column("fingerprint", sa.Text(), nullable=False, server_default="{}")
        )
