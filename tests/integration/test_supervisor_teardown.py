"""How a gang ends: all of it, whoever is to blame, and within bounded time."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gangs import (
    end_everything,
    is_running,
    left_of,
    make_gang,
    python,
    wait_for,
    wait_for_end,
    wait_for_text,
)
from tuner.executors import files, processes
from tuner.executors.files import GangFolder
from tuner.executors.local import LocalExecutor
from tuner.gang import RunState

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "gangs"


@pytest.fixture
def executor(root: Path) -> Iterator[LocalExecutor]:
    executor = LocalExecutor(root)
    yield executor
    end_everything(executor, root)


def family(pids: Path, last: str) -> tuple[str, ...]:
    """A rank with a grandchild in its own session that holds the log and ignores SIGTERM."""
    grandchild = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    return python(f"""
import os, subprocess, sys, time
rank = os.environ["RANK"]
grandchild = subprocess.Popen([sys.executable, "-S", "-c", {grandchild + "time.sleep(600)"!r}],
    start_new_session=True)
with open({str(pids)!r}, "a") as file:
    file.write(f"{{os.getpid()}}\\n{{grandchild.pid}}\\n")
{last}
""")


def pids_in(path: Path, count: int) -> list[int]:
    text = wait_for(
        lambda: path.read_text() if path.exists() and path.read_text().count("\n") == count else ""
    )
    return [int(line) for line in text.split()]


def test_one_rank_killed_ends_everything(executor: LocalExecutor, tmp_path: Path) -> None:
    handle = executor.launch(
        make_gang("job-0-0", family(tmp_path / "pids", "time.sleep(600)"), nproc_per_node=3)
    )
    pids = pids_in(tmp_path / "pids", 6)
    wait_for(lambda: executor.poll(handle).state is RunState.RUNNING)
    victim = next(pid for pid in pids[::2] if rank_of(pid) == "2")
    os.kill(victim, signal.SIGKILL)
    status = wait_for_end(executor, handle)
    assert (status.reason, status.first_failed_rank) == ("rank_failed", 2)
    assert status.ranks[2].exit_code == -9
    assert status.elapsed_s < 30
    assert not any(is_running(pid) for pid in pids)


def rank_of(pid: int) -> str:
    environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(v.decode() for k, _, v in (e.partition(b"=") for e in environ) if k == b"RANK")


def test_the_death_of_a_peer_is_not_blamed_on_who_reports_it(executor: LocalExecutor) -> None:
    code = """
import os, signal, time
if os.environ["RANK"] == "1":
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(0.5)
raise SystemExit("connection closed by peer")
"""
    handle = executor.launch(make_gang("job-0-0", python(code), nproc_per_node=2))
    status = wait_for_end(executor, handle)
    assert status.first_failed_rank == 1
    assert [rank.exit_code for rank in status.ranks] == [1, -9]


def test_what_ranks_leave_behind_goes_with_them(
    executor: LocalExecutor, root: Path, tmp_path: Path
) -> None:
    handle = executor.launch(make_gang("job-0-0", family(tmp_path / "pids", "")))
    status = wait_for_end(executor, handle)
    assert (status.reason, status.ranks[0].exit_code) == ("exited", 0)
    assert left_of(root) == []
    assert not any(is_running(pid) for pid in pids_in(tmp_path / "pids", 2))


def test_a_rank_that_ignores_sigterm_is_killed(executor: LocalExecutor, tmp_path: Path) -> None:
    code = f"""
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open({str(tmp_path / "up")!r}, "w").write("up\\n")
time.sleep(600)
"""
    handle = executor.launch(make_gang("job-0-0", python(code)))
    wait_for_text(tmp_path / "up")
    began_s = time.monotonic()
    executor.stop(handle, "beaten")
    assert time.monotonic() - began_s < 1
    status = wait_for_end(executor, handle)
    assert (status.reason, status.ranks[0].exit_code) == ("beaten", -9)
    assert time.monotonic() - began_s < 15


def test_a_stopped_rank_may_tidy_up(executor: LocalExecutor, tmp_path: Path) -> None:
    code = f"""
import signal, sys, time
def tidy(*_):
    time.sleep(0.5)
    print("tidied", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, tidy)
open({str(tmp_path / "up")!r}, "w").write("up\\n")
time.sleep(600)
"""
    handle = executor.launch(make_gang("job-0-0", python(code)))
    wait_for_text(tmp_path / "up")
    executor.stop(handle, "beaten")
    assert wait_for_end(executor, handle).ranks[0].exit_code == 0
    assert executor.tail(handle, 0, 100) == "tidied\n"


def test_stop_before_the_start_runs_nothing(executor: LocalExecutor, root: Path) -> None:
    gang = make_gang("job-0-0", python("print('ran')"))
    folder = GangFolder(root / "job-0-0")
    folder.path.mkdir(parents=True)
    files.write_gang(folder, gang)
    executor.stop("job-0-0", "changed my mind")
    handle = executor.launch(gang)
    status = wait_for_end(executor, handle)
    assert (status.reason, status.ranks[0].exit_code) == ("changed my mind", None)
    assert executor.tail(handle, 0, 100) == ""


def test_nothing_outlives_the_lease(executor: LocalExecutor, root: Path, tmp_path: Path) -> None:
    gang = make_gang("job-0-0", family(tmp_path / "pids", "time.sleep(600)"), lease_s=1.0)
    handle = executor.launch(gang)
    pids = pids_in(tmp_path / "pids", 2)
    # No poll: only looking from outside, as if no controller were there.
    wait_for(lambda: (root / handle / "exit.json").exists(), limit_s=20)
    assert not any(is_running(pid) for pid in pids)
    assert executor.poll(handle).reason == "controller_lost"


def test_too_much_memory_ends_the_gang(executor: LocalExecutor) -> None:
    code = """
import time
time.sleep(0.5)
held = []
while True:
    held.append(bytearray(8 * 2**20))
    time.sleep(0.02)
"""
    gang = make_gang("job-0-0", python(code), memory_limit_gib=0.1)
    status = wait_for_end(executor, executor.launch(gang))
    assert (status.reason, status.ranks[0].exit_code) == ("memory_limit", -9)
    assert 0.1 < status.usage["peak_memory_gib"] < 2


def test_a_supervisor_told_to_end_takes_the_gang_with_it(
    executor: LocalExecutor, root: Path, tmp_path: Path
) -> None:
    handle = executor.launch(make_gang("job-0-0", family(tmp_path / "pids", "time.sleep(600)")))
    pids = pids_in(tmp_path / "pids", 2)
    supervisor = processes.read_identity(root / handle / "supervisor.json")
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGTERM)
    wait_for(lambda: not supervisor.is_alive)
    assert not any(is_running(pid) for pid in pids)
    assert executor.poll(handle).state is RunState.LOST


def test_cpu_time_of_the_whole_family_is_counted(executor: LocalExecutor) -> None:
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    code = f"""
import subprocess, sys, time
{burn}
subprocess.run([sys.executable, "-S", "-c", {burn!r}])
"""
    status = wait_for_end(executor, executor.launch(make_gang("job-0-0", python(code))))
    assert 0.75 <= status.usage["cpu_s"] <= 1.5
    assert 0 < status.usage["cpu_utilization_pct"] <= 101
    assert 0 <= status.usage["other_cpu_pct"] <= 100
    assert not [name for name in status.usage if "gpu" in name or "energy" in name]


def test_a_gang_too_short_to_be_sampled_is_counted(executor: LocalExecutor) -> None:
    code = "import time\nwhile time.process_time() < 0.2: pass"
    status = wait_for_end(executor, executor.launch(make_gang("job-0-0", python(code))))
    assert status.usage["cpu_s"] >= 0.2


def test_usage_is_known_before_the_end(executor: LocalExecutor) -> None:
    held = "held = bytearray(64 * 2**20)\nimport time\ntime.sleep(600)"
    handle = executor.launch(make_gang("job-0-0", python(held)))
    wait_for(lambda: executor.poll(handle).usage.get("peak_memory_gib", 0) > 0.06)
    assert executor.poll(handle).state is RunState.RUNNING
