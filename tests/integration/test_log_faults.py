"""Logs that try everything: floods, endless lines, bytes of all kinds, disks without room."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gangs import end_everything, left_of, make_gang, python, wait_for, wait_for_end
from tuner.collect.diagnose import diagnose
from tuner.collect.reader import RecordReader
from tuner.collect.standing import Standings
from tuner.executors import processes
from tuner.executors.files import GangFolder
from tuner.executors.local import LocalExecutor
from tuner.gang import Record, RunState
from tuner.model import FailureKind, LaunchCommand
from tuner.spec import LogSource

pytestmark = pytest.mark.slow

CODE = str(Path(__file__).parents[2])
MIB = 2**20
COMMAND = LaunchCommand(argv=(), env={}, working_dir="/", nnodes=1, nproc_per_node=1, per_rank=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "gangs"


@pytest.fixture
def executor(root: Path) -> Iterator[LocalExecutor]:
    executor = LocalExecutor(root, None)
    yield executor
    end_everything(executor, root)


FLOOD = f"""
import os, sys, time
sys.path.insert(0, {CODE!r})
from tuner import report
block = (b"step 1 loss 0.5 " * 256)[:-1] + b"\\n"
block *= 256
longest_s, began_s, size = 0.0, time.monotonic(), 0
while size < 700 * 2**20:
    before_s = time.monotonic()
    size += os.write(1, block)
    longest_s = max(longest_s, time.monotonic() - before_s)
    report.step(samples=1)
rate = size / 2**20 / (time.monotonic() - began_s)
report.value(longest_s=longest_s, mib_per_s=rate)
"""
READ = """
import sys, time
from pathlib import Path
from tests.integration.test_log_faults import COMMAND, records_of
from tuner.executors.local import LocalExecutor
from tuner.spec import LogSource
peak = lambda: int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
executor, before = LocalExecutor(Path(sys.argv[1]), None), peak()
records = records_of(executor, "job-0-0", LogSource())
print(peak() - before, sum(r.steps for r in records))
"""


def records_of(executor: LocalExecutor, handle: str, log: LogSource) -> list[Record]:
    """Everything that a gang tells until it has ended."""
    reader, records = RecordReader(log, {}, COMMAND), []
    while True:
        ended = executor.poll(handle).state is RunState.EXITED
        while chunks := executor.output(handle, reader.cursor):
            for chunk in chunks:
                records += reader.feed(chunk)
        if ended:
            return records
        time.sleep(0.05)


def test_a_flood_costs_neither_disk_nor_memory_nor_the_trial(
    executor: LocalExecutor, root: Path
) -> None:
    executor.launch(make_gang("job-0-0", python(FLOOD)))
    argv = [sys.executable, "-c", READ, str(root)]
    reader = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=CODE)
    folder, log = GangFolder(root / "job-0-0"), GangFolder(root / "job-0-0").log(0)
    most, supervisor_kib = 0, 0
    while executor.poll("job-0-0").state is not RunState.EXITED:
        most = max(most, log.stat().st_blocks * 512 if log.exists() else 0)
        supervisor_kib = max(supervisor_kib, _supervisor_kib(folder))
        time.sleep(0.02)
    said, _ = reader.communicate(timeout=60)
    grown_kib, steps = map(int, said.split())
    values: dict[str, float] = {}
    for line in folder.metrics(0).read_text().splitlines():
        values |= json.loads(line)["values"]
    assert executor.poll("job-0-0").reason == "exited"
    assert steps == log.stat().st_size // MIB
    # Twice the bound: what comes while the middle is given back.
    assert most < 512 * MIB
    assert log.stat().st_blocks * 512 <= 257 * MIB
    assert 0 < supervisor_kib < 64 * 1024
    assert grown_kib < 64 * 1024
    assert values["mib_per_s"] > 50
    assert values["longest_s"] < 2


def _supervisor_kib(folder: GangFolder) -> int:
    found = processes.read_identity(folder.supervisor)
    try:
        status = Path(f"/proc/{found.pid}/status").read_text() if found else ""
        return int(status.partition("VmRSS:")[2].split()[0])
    except (OSError, IndexError):
        return 0


def test_bytes_of_all_kinds_hide_no_line_after_them(executor: LocalExecutor) -> None:
    code = f"""
import os, sys
sys.path.insert(0, {CODE!r})
os.environ.pop("TRIMTAB_METRICS_FILE")
from tuner import report
for _ in range(256):
    os.write(1, b"x" * 2**22)
os.write(1, b"\\n" + os.urandom(2**22) + b"\\n" + b"\\x1b[31m\\x1b]0;title" * 100_000 + b"\\n")
report.step(samples=8, loss=0.5)
os.write(1, b"\\xff\\xfe" * 100)
"""
    executor.launch(make_gang("job-0-0", python(code)))
    began_s = time.monotonic()
    records = records_of(executor, "job-0-0", LogSource())
    assert time.monotonic() - began_s < 30
    assert [(record.steps, record.values) for record in records] == [(1, {"loss": 0.5})]
    assert executor.poll("job-0-0").reason == "exited"
    assert len(executor.tail("job-0-0", 0, 4096)) <= 4096


# Disks without room


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


FILL = f"""
import os, sys, time
sys.path.insert(0, {CODE!r})
from tuner import report
report.step(samples=1)
time.sleep(0.05)
try:
    while True:
        os.write(1, b"x" * 65536)
except OSError as error:
    last = error
"""


def run_on(disk: Path, last: str, stop: str = "") -> tuple[object, FailureKind | None, str]:
    """How a gang that fills the disk of its log ends, and how that is judged."""
    executor = LocalExecutor(disk / "gangs", None)
    try:
        executor.launch(make_gang("job-0-0", python(FILL + last)))
        if stop:
            wait_for(lambda: os.statvfs(disk).f_bfree * 4096 < 65536)
            executor.stop("job-0-0", stop)
        ended = wait_for_end(executor, "job-0-0")
        assert left_of(disk / "gangs") == []
        standings = Standings()
        standings.note(records_of(executor, "job-0-0", LogSource()))
        failure = diagnose(ended, {0: executor.tail("job-0-0", 0, 4096)}, standings)
        assert ended.disk_full
        kind, cause = (failure.kind, failure.cause) if failure else (None, "")
        return ended.reason, kind, cause
    finally:
        end_everything(executor, disk / "gangs")


def test_a_trial_that_fails_on_a_full_disk_is_said_to(small_disk: Path) -> None:
    reason, kind, cause = run_on(small_disk, "raise last")
    assert reason == "rank_failed"
    assert kind is FailureKind.INFRASTRUCTURE
    assert "disk full" in cause or "No space left" in cause


def test_a_trial_that_lives_with_a_full_disk_goes_on(small_disk: Path) -> None:
    last = "for _ in range(20):\n    report.step(samples=1); time.sleep(0.03)\n"
    assert run_on(small_disk, last) == ("exited", None, "")


def test_a_gang_can_be_stopped_on_a_full_disk(small_disk: Path) -> None:
    reason, kind, _ = run_on(small_disk, "time.sleep(600)", stop="enough")
    assert (reason, kind) == ("enough", FailureKind.INFRASTRUCTURE)


def test_a_log_that_takes_no_more_ends_only_who_writes_to_it(executor: LocalExecutor) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
    executor.launch(make_gang("job-0-0", python(f"{limit}{FILL}\nraise last")))
    ended = wait_for_end(executor, "job-0-0")
    assert (ended.reason, ended.ranks[0].exit_code) == ("rank_failed", 1)
    assert ended.usage["cpu_s"] > 0
