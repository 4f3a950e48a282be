"""What a trial was expected to gain, and why a search ended."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("trials", sa.Column("expected_gain", sa.Double(), nullable=True))
    op.add_column("jobs", sa.Column("search_ended", sa.Text(), nullable=False, server_default=""))
