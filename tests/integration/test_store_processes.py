"""The store among processes: many writers, killed writers, a full disk, many openers."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storage.sql import SqlStore
from tests import store_facts as facts
from tuner.model import Wish

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

PEOPLE = """
import sys
from storage.sql import SqlStore
from tests import store_facts as facts
from tuner.model import Wish
store = SqlStore(sys.argv[1])
for number in range(int(sys.argv[2])):
    store.wish("job-1", (Wish.RUN, Wish.PAUSE)[number % 2])
    store.save(facts.event(f"person.{number}"))
    store.jobs()
store.wish("job-1", Wish.CANCEL)
store.close()
"""

CONTROLLER = """
import sys
from dataclasses import replace
from storage.sql import SqlStore
from tests import store_facts as facts
store = SqlStore(sys.argv[1])
epoch = store.acquire_lease("controller", 15.0).epoch
print("ready", flush=True)
for number in range(int(sys.argv[2])):
    points = [facts.point(float(t), trial_number=number) for t in range(20)]
    job = replace(store.job("job-1"), message=f"trial {number}")
    store.save(job, facts.trial(number), facts.attempt(0, number), *points, epoch=epoch)
    store.acquire_lease("controller", 15.0)
store.close()
"""

ENDLESS = """
import sys
from storage.sql import SqlStore
from tests import store_facts as facts
store = SqlStore(sys.argv[1])
number = 0
while True:
    points = [facts.point(float(t), trial_number=number) for t in range(200)]
    store.save(facts.trial(number), facts.attempt(0, number), *points)
    print(number, flush=True)
    number += 1
"""

OPEN = """
import sys
from storage.sql import SqlStore
store = SqlStore(sys.argv[1])
store.jobs()
store.close()
"""

FILL = """
import resource, sys
from storage.sql import SqlStore
from tests import store_facts as facts
from tuner.errors import StoreError
store = SqlStore(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
number = 0
try:
    while True:
        store.save(facts.trial(number), *[facts.event(f"{number}")] * 50)
        number += 1
except StoreError as error:
    print(number, error)
"""

GROW = """
import resource, sys
from dataclasses import replace
from storage.sql import SqlStore
from tests import store_facts as facts
from tuner.errors import StoreError
store = SqlStore(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (6 * 2**20, 6 * 2**20))
long = replace(facts.event(), detail="x" * (9 * 2**19))
store.save(long)
store.save(long)
try:
    store.save(long)
except StoreError as error:
    print(error)
"""


def start(script: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> str:
    out, err = process.communicate(timeout=50)
    assert process.returncode == 0, err
    return out


def assert_sound(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    store = SqlStore(tmp_path / "trimtab.db")
    store.save(facts.job())
    store.close()
    return tmp_path / "trimtab.db"


def test_people_and_a_controller_write_at_once(path: Path) -> None:
    trials, wishes = 100, 80
    processes = [start(CONTROLLER, path, trials), *(start(PEOPLE, path, wishes) for _ in range(2))]
    store = SqlStore(path)
    while any(process.poll() is None for process in processes):
        # Whole transactions only: an attempt has its 20 points as soon as it is seen.
        seen = store.trials("job-1")
        if seen:
            assert len(store.points("job-1", seen[-1].number, "loss")) == 20
        time.sleep(0.01)
    for process in processes:
        finish(process)
    job = store.job("job-1")
    assert (job.wish, job.message) == (Wish.CANCEL, f"trial {trials - 1}")
    assert [trial.number for trial in store.trials("job-1")] == list(range(trials))
    assert len(store.attempts("job-1")) == trials
    assert len(store.events()) == 2 * wishes
    store.close()
    assert_sound(path)


@pytest.mark.parametrize("kill", range(4))
def test_a_writer_killed_in_the_middle_leaves_whole_saves(path: Path, kill: int) -> None:
    writer = start(ENDLESS, path)
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(3 + 5 * kill)]
    time.sleep(0.003 * kill)  # another place in the transaction each time; none is waited for
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout.read().split()]
    writer.communicate(timeout=20)
    store = SqlStore(path, busy_timeout_s=2.0)
    numbers = [trial.number for trial in store.trials("job-1")]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) - len(acknowledged) in (0, 1)
    assert all(len(store.points("job-1", number, None)) == 200 for number in numbers)
    store.save(facts.trial(len(numbers)))
    store.close()
    assert_sound(path)


def test_a_full_disk_is_told_and_loses_nothing(path: Path) -> None:
    out = finish(start(FILL, path))
    saved, message = out.split(maxsplit=1)
    assert "the disk" in message
    store = SqlStore(path)
    assert len(store.trials("job-1")) == int(saved) > 0
    assert len(store.events()) == 50 * int(saved)
    store.save(facts.trial(int(saved)))
    store.close()
    assert_sound(path)


def test_a_disk_too_full_for_a_checkpoint_still_takes_what_fits(path: Path) -> None:
    # The second fits into the log but not into the database; the third fits nowhere.
    writer = start(GROW, path)
    out, err = writer.communicate(timeout=50)
    assert writer.returncode == 0, err
    assert "the disk" in out
    assert "checkpoint" in err
    store = SqlStore(path)
    assert [len(event.detail) for event in store.events()] == [9 * 2**19] * 2
    store.close()
    assert_sound(path)


def test_two_stores_of_one_process_keep_their_locks(path: Path) -> None:
    first = SqlStore(path)
    first.jobs()
    SqlStore(path).close()
    # Another process that closes last would delete the log under the first store.
    finish(start(OPEN, path))
    assert path.with_name(f"{path.name}-wal").exists()
    first.close()


def test_several_processes_create_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "trimtab.db"
    for process in [start(OPEN, path) for _ in range(4)]:
        finish(process)
    assert_sound(path)
