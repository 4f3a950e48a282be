"""How the SQLite file is opened and kept, and what its errors say."""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.sql import SqlStore
from storage.sqlite import WAL_LIMIT_BYTES, SqliteFile
from tests import store_facts as facts
from tuner.errors import StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "trimtab.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqlStore]:
    opened = SqlStore(path, busy_timeout_s=0.05)
    yield opened
    opened.close()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_only_its_owner_can_read_it(path: Path) -> None:
    mask = os.umask(0)
    try:
        store = SqlStore(path)
        store.save(facts.job())
        modes = {file.name: mode(file) for file in path.parent.iterdir()}
        store.close()
    finally:
        os.umask(mask)
    names = ("trimtab.db", "trimtab.db-shm", "trimtab.db-wal", "trimtab.db.lock")
    assert modes == dict.fromkeys(names, 0o600)
    assert mode(path.parent) == 0o700


def test_the_folder_of_others_keeps_its_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    SqlStore(tmp_path / "trimtab.db").close()
    assert mode(tmp_path) == 0o755


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("mmap_size", 0),
        ("foreign_keys", 1),
        ("wal_autocheckpoint", 0),
        ("busy_timeout", 10_000),
    ],
)
def test_every_connection_is_set_up(path: Path, pragma: str, value: object) -> None:
    database = SqliteFile(path, 10.0)
    with database.write() as first, database.read() as second:
        found = [c.exec_driver_sql(f"PRAGMA {pragma}").scalar() for c in (first, second)]
    database.close()
    assert found == [value, value]


def test_a_path_and_a_url_are_the_same(path: Path) -> None:
    store = SqlStore(path)
    store.save(facts.job())
    other = SqlStore(f"sqlite:///{path}")
    assert other.jobs() == [facts.job()]
    store.close()
    other.close()


def test_another_database_is_refused() -> None:
    with pytest.raises(StoreError, match="no store for mysql"):
        SqlStore("mysql://host/name")


def test_the_log_is_cut_once_it_is_long(store: SqlStore, path: Path) -> None:
    wal = path.with_name(f"{path.name}-wal")
    long = replace(facts.event(), detail="x" * WAL_LIMIT_BYTES)
    store.save(long)
    before = wal.stat().st_size
    store.save(facts.event())
    assert before > WAL_LIMIT_BYTES
    assert wal.stat().st_size <= WAL_LIMIT_BYTES // 4
    assert path.stat().st_size > WAL_LIMIT_BYTES
    assert store.events() == [long, facts.event()]


def test_points_are_found_by_index(path: Path, store: SqlStore) -> None:
    query = "SELECT * FROM metric_points WHERE job_id='j' AND trial_number=0 AND name='loss'"
    with sqlite3.connect(path) as connection:
        [row] = connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
    connection.close()
    assert "USING INDEX ix_metric_points_name (job_id=? AND trial_number=? AND name=?)" in row[3]


def test_a_reader_goes_on_while_another_writes(store: SqlStore, path: Path) -> None:
    store.save(facts.job())
    other = SqliteFile(path, 1.0)
    with other.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET message = 'half done'")
        assert store.job("job-1").message == facts.job().message
    assert store.job("job-1").message == "half done"
    other.close()


def test_locked_by_another_program(store: SqlStore, path: Path) -> None:
    store.save(facts.job())
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"could not be locked for 0\.05 s: another program"):
        store.save(facts.event())
    assert store.events() == []
    stranger.execute("ROLLBACK")
    stranger.close()
    store.save(facts.event())
    assert store.events() == [facts.event()]


def test_the_lock_between_processes_is_waited_for(store: SqlStore, path: Path) -> None:
    with open(path.with_name(f"{path.name}.lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="another program keeps it locked"):
            store.save(facts.job())
        assert store.jobs() == []
    store.save(facts.job())


def test_threads_write_one_after_the_other(path: Path) -> None:
    store = SqlStore(path)
    store.save(facts.job())
    errors: list[Exception] = []

    def write(number: int) -> None:
        try:
            for _ in range(10):
                store.save(facts.trial(number), facts.event(f"thread.{number}"))
                assert store.trials("job-1")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store.events()) == 60
    assert len(store.trials("job-1")) == 6
    store.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "trimtab.db"
    path.write_text("a diary, not a database; " * 100)
    with pytest.raises(StoreError, match="not a database"):
        SqlStore(path)


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open database file: it cannot be opened"):
        SqlStore(tmp_path)


def test_a_row_that_cannot_be_read(store: SqlStore, path: Path) -> None:
    store.save(facts.job())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE jobs SET spec = '{}'")
    connection.close()
    with pytest.raises(StoreError, match=r"cannot read; upgrade trimtab.*JobSpec"):
        store.job("job-1")


def test_a_moment_without_a_time_zone_is_refused_whole(store: SqlStore) -> None:
    bare = replace(facts.job("job-2"), created_at=facts.START.replace(tzinfo=None))
    with pytest.raises(StoreError, match=r"has no time zone$"):
        store.save(facts.job(), bare)
    assert store.jobs() == []


def test_a_closed_store_says_so(store: SqlStore) -> None:
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.jobs()
    with pytest.raises(StoreError, match="is closed"):
        store.save(facts.job())


def test_after_a_fork_it_must_be_opened_again(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(StoreError, match="before a fork"):
        store.jobs()
    monkeypatch.undo()
    assert store.jobs() == []
