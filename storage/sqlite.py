"""What is particular to SQLite: how its file is opened, locked, written and checkpointed.

SQLite before 3.51.3 can corrupt a database in WAL mode when one connection writes at the very
moment another checkpoints. So automatic checkpoints are off, and every write and every checkpoint
of every process happens under one lock between processes (`<file>.lock`). The checkpoint that
SQLite makes when the last connection closes needs the file for itself, so it meets no writer.
"""

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from tuner.errors import StoreError

log = logging.getLogger(__name__)

WAL_LIMIT_BYTES = 4 * 2**20
"""The write-ahead log is checkpointed once it is longer, and cut to a quarter when it restarts."""

_POLL_S = 0.001
"""A lock that is waited for is asked for so often; a write takes about as long."""

_PRAGMAS = (
    "foreign_keys = ON",
    "synchronous = FULL",
    "mmap_size = 0",
    "wal_autocheckpoint = 0",
    f"journal_size_limit = {WAL_LIMIT_BYTES // 4}",
)

_REMEDIES = {
    "SQLITE_BUSY": "another program keeps it locked; end that program, or try again",
    "SQLITE_LOCKED": "another program keeps it locked; end that program, or try again",
    "SQLITE_FULL": "the disk is full; free some space",
    "SQLITE_IOERR": "the disk does not read or write; look at its space and health",
    "SQLITE_READONLY": "it is read-only; give this user the right to write it and its folder",
    "SQLITE_CANTOPEN": "it cannot be opened; look at its path and rights",
    "SQLITE_NOTADB": "it is not a database; move the file away or name another",
    "SQLITE_CORRUPT": "it is damaged; restore a copy",
}


class SqliteFile:
    """One database file: short reads by any thread, and writes one at a time across processes."""

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        self._pid = os.getpid()
        self._is_closed = False
        with self._plain_errors():
            _create(path)
            self._engine = _engine(path, busy_timeout_s)
            self._use_wal()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state of the database."""
        self._check_usable()
        with self._plain_errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: all of it, durable, or nothing."""
        self._check_usable()
        with self._plain_errors(), self._lock():
            with self._engine.connect() as connection:
                yield from _transaction(connection)
            if self._wal_bytes() > WAL_LIMIT_BYTES:
                self._checkpoint()

    @contextmanager
    def migrate(self) -> Iterator[Connection]:
        """As `write`, foreign keys unchecked until its end, so that tables may be built anew."""
        with self._plain_errors(), self._lock(), self._engine.connect() as connection:
            connection.detach()  # it never returns to the pool
            _pragma(connection, "foreign_keys = OFF")
            yield from _transaction(connection, check_foreign_keys=True)

    def close(self) -> None:
        """Closes every connection; may be repeated."""
        if not self._is_closed and os.getpid() == self._pid:
            self._engine.dispose()
        self._is_closed = True

    def _check_usable(self) -> None:
        if self._is_closed:
            raise StoreError(f"the store {self.path} is closed")
        if os.getpid() != self._pid:
            raise StoreError(f"the store {self.path} was opened before a fork; open it again")

    def _use_wal(self) -> None:
        with self._engine.connect() as connection:
            if _pragma(connection, "journal_mode") == "wal":
                return
            with self._lock():
                mode = _pragma(connection, "journal_mode = WAL")
        if mode != "wal":
            raise StoreError(
                f"the store {self.path} cannot use a write-ahead log; keep it on a local disk"
            )

    def _checkpoint(self) -> None:
        # Passive: it never waits for readers. What they still need is left for the next time, as
        # is everything where it fails: what was written is durable already.
        try:
            with self._engine.connect() as connection:
                _pragma(connection, "wal_checkpoint(PASSIVE)")
        except (sqlite3.Error, SQLAlchemyError) as error:
            log.warning("the checkpoint of %s is put off: %s", self.path, error)

    def _wal_bytes(self) -> int:
        try:
            return self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    @contextmanager
    def _lock(self) -> Iterator[None]:
        path = self.path.with_name(f"{self.path.name}.lock")
        # A descriptor of its own for each write, so that the lock also holds between threads.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._await_lock(descriptor)
            yield
        finally:
            # Closing alone would leave the lock with a child that was forked meanwhile.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _await_lock(self, descriptor: int) -> None:
        deadline_s = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline_s:
                    raise StoreError(self._locked_message()) from None
                time.sleep(_POLL_S)
            else:
                return

    def _locked_message(self) -> str:
        remedy = _REMEDIES["SQLITE_BUSY"]
        return f"the store {self.path} could not be locked for {self._busy_timeout_s:g} s: {remedy}"

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StoreError(self._message(error.orig)) from error
        except sqlite3.Error as error:
            raise StoreError(self._message(error)) from error
        except (SQLAlchemyError, OSError) as error:
            cause = getattr(error, "orig", error)
            raise StoreError(f"the store {self.path}: {cause}") from error
        except (ValueError, LookupError) as error:
            raise StoreError(
                f"the store {self.path} holds what this version cannot read; "
                f"upgrade trimtab, or restore a copy: {error}"
            ) from error

    def _message(self, error: BaseException | None) -> str:
        name = str(getattr(error, "sqlite_errorname", ""))
        if name.startswith("SQLITE_BUSY"):
            return self._locked_message()
        for prefix, remedy in _REMEDIES.items():
            if name.startswith(prefix):
                return f"the store {self.path}: {error}: {remedy}"
        return f"the store {self.path}: {error}"


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Made without being opened: closing a descriptor of the file would drop every lock that
    # SQLite holds on it in this process.
    with suppress(FileExistsError):
        os.mknod(path, 0o600)


def _engine(path: Path, busy_timeout_s: float) -> Engine:
    # The pool lends a connection to one thread at a time; threads beyond its size get new ones.
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": busy_timeout_s},
        pool_size=5,
        max_overflow=-1,
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin in `_begin`, not in the driver
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    is_write = connection.get_execution_options().get("is_write", False)
    # A writer that begins as a reader could fail half-way: it could not get the lock any more.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


def _transaction(
    connection: Connection, *, check_foreign_keys: bool = False
) -> Iterator[Connection]:
    with connection.execution_options(is_write=True).begin():
        yield connection
        if check_foreign_keys and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
            raise StoreError("a migration left rows that belong to nothing; nothing was changed")


def _pragma(connection: Connection, text: str) -> object:
    """Outside any transaction, where some pragmas alone work."""
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(f"PRAGMA {text}")
        row = cursor.fetchone()
    return None if row is None else row[0]
