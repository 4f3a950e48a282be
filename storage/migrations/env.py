"""Alembic's environment. `storage.schema` runs it with a connection that is in a transaction."""

from alembic import context

from storage.schema import VERSION_TABLE
from storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
