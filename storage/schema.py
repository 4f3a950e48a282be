"""The version of the schema, and how a database is brought up to it."""

from pathlib import Path

from sqlalchemy import Connection, String, column, inspect, select, table

from storage.sqlite import SqliteFile
from tuner.errors import StoreError

HEAD = "0006"
"""The newest migration. Versions are numbers of four digits, so they can be compared as text."""

VERSION_TABLE = "trimtab_version"


def bring_up(database: SqliteFile) -> None:
    """Migrates an older (or empty) database; raises StoreError for a newer one."""
    with database.read() as connection:
        version = stored_version(connection)
    if _is_at_head(database.path, version):
        return
    with database.migrate() as connection:
        # Another process may have migrated it while this one waited for the lock.
        if not _is_at_head(database.path, stored_version(connection)):
            migrate(connection, HEAD)


def stored_version(connection: Connection) -> str | None:
    """The version of a database; None where it is empty."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    versions = table(VERSION_TABLE, column("version_num", String))
    return connection.execute(select(versions.c.version_num)).scalar()


def migrate(connection: Connection, target: str) -> None:
    """Runs the migrations up to `target` within the transaction of `connection`."""
    # Imported late: 0.3 s that only a migration is worth.
    from alembic import command
    from alembic.config import Config

    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, target)


def _is_at_head(path: Path, stored: str | None) -> bool:
    if stored is not None and stored > HEAD:
        raise StoreError(
            f"the store {path} has schema {stored}, newer than {HEAD}, the newest that this "
            "version knows; upgrade trimtab"
        )
    return stored == HEAD
