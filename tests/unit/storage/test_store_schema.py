"""The schema: the tables are what the migrations make, old databases open, newer ones do not."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

import storage
from storage import schema
from storage.sql import SqlStore
from storage.sqlite import SqliteFile
from storage.tables import metadata
from tests import store_facts as facts
from tuner import cost
from tuner.errors import StoreError
from tuner.model import Placement, Wish
from tuner.spec import Limit

DATA = Path(__file__).parents[2] / "data"
RECORDED = sorted(DATA.glob("store_schema_*.sql"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteFile]:
    opened = SqliteFile(tmp_path / "trimtab.db", 1.0)
    schema.bring_up(opened)
    yield opened
    opened.close()


def migrations() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", f"{Path(storage.__file__).parent}/migrations")
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def set_version(path: Path, version: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = ?", (version,))
    connection.close()


def test_the_constant_is_the_newest_migration() -> None:
    assert migrations().get_current_head() == schema.HEAD


def test_versions_are_numbers_that_rise_as_text() -> None:
    newest_first = [script.revision for script in migrations().walk_revisions()]
    assert newest_first == sorted(newest_first, reverse=True)
    assert all(len(version) == 4 and version.isdigit() for version in newest_first)


def test_the_migrations_make_the_tables(database: SqliteFile) -> None:
    options = {"compare_type": True, "version_table": schema.VERSION_TABLE}
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_the_comparison_sees_differences() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) != []
    engine.dispose()


def test_there_is_a_recording_of_every_schema() -> None:
    versions = sorted(script.revision for script in migrations().walk_revisions())
    assert [path.stem.removeprefix("store_schema_") for path in RECORDED] == versions


def opened(recording: Path, folder: Path) -> SqlStore:
    path = folder / "trimtab.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(recording.read_text(encoding="utf-8"))
    connection.close()
    return SqlStore(path)


@pytest.mark.parametrize("recording", RECORDED[:2], ids=lambda path: path.stem)
def test_a_price_of_nothing_beside_another_stays_one(recording: Path, tmp_path: Path) -> None:
    store = opened(recording, tmp_path)
    assert [job.name for job in store.jobs()] == ["dlrm-nightly", "gpu-only"]
    core_only, gpu_only = (job.spec for job in store.jobs())
    place = Placement(cores=((0, 1),), gpus=((0,),), gpu_names={0: "NVIDIA T4"})
    assert cost.usd_per_hour(core_only, place) == Decimal("0.08")
    assert cost.usd_per_hour(gpu_only, place) == Decimal("2.5")
    assert gpu_only.missing_price() is None
    store.close()


def test_a_stored_job_in_money_without_prices_can_be_read(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "trimtab.db")
    limits = (Limit(metric="usd_per_hour", max=1.0),)
    store.save(replace(facts.job(), spec=replace(facts.job().spec, limits=limits, prices=None)))
    (job,) = store.jobs()
    assert job.spec.missing_price() == "a budget, objective or limit in money needs `prices`"
    store.close()


@pytest.mark.parametrize("recording", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_database_opens(recording: Path, tmp_path: Path) -> None:
    store = opened(recording, tmp_path)
    job = store.job("job-1")
    assert (job.name, job.wish, job.created_at) == ("dlrm-nightly", Wish.PAUSE, facts.at(0))
    assert job.spec.prices is not None
    assert job.spec.prices.per_core_hour.on_demand == Decimal("0.04")
    assert store.attempts("job-1")[0].spend.usd == Decimal("0.25")
    assert store.trials("job-1")[0].params == facts.trial().params
    assert store.attempts("job-1")[0].launch_key == "job-1-0-0"
    assert store.points("job-1", 0, "loss")[0].value == 0.5
    assert store.plans("job-1")[0].hash == facts.plan().hash
    assert store.applications("job-1")[0].plan_id == "plan-1"
    assert store.events()[0].action == "plan.apply"
    lease = store.acquire_lease("another", 15.0)
    assert lease is not None
    assert lease.epoch == 2
    store.save(*facts.everything(), epoch=lease.epoch)
    store.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trimtab.db"
    SqlStore(path).close()
    set_version(path, "9999")
    with pytest.raises(StoreError, match=r"9999, newer than \d{4}.*upgrade trimtab"):
        SqlStore(path)


def test_opening_at_head_runs_no_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SqlStore(tmp_path / "trimtab.db").close()
    monkeypatch.setattr(schema, "migrate", lambda *_: pytest.fail("migrated"))
    SqlStore(tmp_path / "trimtab.db").close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trimtab.db"
    migrate = schema.migrate

    def fail(*arguments: object) -> None:
        migrate(*arguments)  # type: ignore[arg-type]
        raise RuntimeError("power cut")

    monkeypatch.setattr(schema, "migrate", fail)
    with pytest.raises(RuntimeError):
        SqlStore(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()


def test_foreign_keys_are_checked_at_the_end_of_a_migration(database: SqliteFile) -> None:
    orphan = (
        "INSERT INTO trials (job_id, number, params, state, reason, predicted, created_at) "
        "VALUES ('j', 0, '{}', 'waiting', '', '{}', '')"
    )
    with pytest.raises(StoreError, match="belong to nothing"), database.migrate() as connection:
        connection.exec_driver_sql(orphan)
    with database.write() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("SELECT count(*) FROM trials").scalar() == 0
