"""What may befall a gang from outside: kills, stops, floods, full disks, clocks set back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
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

LASTS = "import time; time.sleep(600)"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "gangs"


@pytest.fixture
def executor(root: Path) -> Iterator[LocalExecutor]:
    executor = LocalExecutor(root, None)
    yield executor
    end_everything(executor, root)


def launcher(up: Path, last: str) -> tuple[str, ...]:
    """A launcher such as torchrun: two workers in sessions of their own, which know their rank."""
    return python(f"""
import os, subprocess, sys, time
def start(rank):
    argv = [sys.executable, "-S", "-c", {LASTS!r}]
    env = os.environ | {{"RANK": str(rank)}}
    return subprocess.Popen(argv, start_new_session=True, env=env)
workers = [start(rank) for rank in range(2)]
open({str(up)!r}, "w").write("".join(f"{{w.pid}}\\n" for w in workers))
{last}
""")


def supervisor_of(root: Path, handle: str) -> processes.Identity:
    found = wait_for(lambda: processes.read_identity(GangFolder(root / handle).supervisor))
    assert found is not None
    return found


# Kills


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_launcher_takes_its_workers_along(
    executor: LocalExecutor, root: Path, tmp_path: Path, sign: signal.Signals
) -> None:
    up = tmp_path / "up"
    executor.launch(make_gang("job-0-0", launcher(up, "time.sleep(600)"), per_rank=False))
    wait_for_text(up)
    members = wait_for(lambda: found if len(found := left_of(root)) == 3 else None)
    workers = [int(pid) for pid in up.read_text().split()]
    [main] = [member.pid for member in members if member.pid not in workers]
    os.kill(main, sign)
    ended = wait_for_end(executor, "job-0-0")
    assert (ended.reason, ended.ranks[0].exit_code) == ("rank_failed", -sign)
    assert ended.elapsed_s < 30
    assert not any(map(is_running, workers))


def test_a_gang_whose_folder_is_gone_ends_by_itself(executor: LocalExecutor, root: Path) -> None:
    executor.launch(make_gang("job-0-0", python(LASTS)))
    members = wait_for(lambda: left_of(root))
    # In one step, as the supervisor goes on writing into it.
    (root / "job-0-0").rename(root.parent / "gone")
    wait_for(lambda: not any(is_running(member.pid) for member in members))


CALLER = """
import sys, time
from pathlib import Path
from tuner.executors import files
from tuner.executors.files import GangFolder
from tuner.executors.local import LocalExecutor
LocalExecutor(Path(sys.argv[1]), None).launch(files.read_gang(GangFolder(Path(sys.argv[2]))))
print("launched", flush=True)
time.sleep(600)
"""


def test_the_caller_may_be_killed_with_its_whole_session(
    executor: LocalExecutor, root: Path, tmp_path: Path
) -> None:
    files.publish(tmp_path / "request.json", asdict(make_gang("job-0-0", python(LASTS))))
    argv = [sys.executable, "-c", CALLER, str(root), str(tmp_path)]
    caller = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
    assert caller.stdout is not None
    assert caller.stdout.readline() == b"launched\n"
    os.killpg(caller.pid, signal.SIGKILL)
    caller.communicate()
    assert executor.poll("job-0-0").state is RunState.RUNNING
    executor.stop("job-0-0", "enough")
    assert wait_for_end(executor, "job-0-0").reason == "enough"


def test_a_killed_supervisor_leaves_nothing_though_nobody_looks(
    executor: LocalExecutor, root: Path, tmp_path: Path
) -> None:
    up = tmp_path / "up"
    executor.launch(make_gang("job-0-0", launcher(up, "time.sleep(600)"), per_rank=False))
    workers = [int(pid) for pid in wait_for_text(up).split()]
    folder = GangFolder(root / "job-0-0")
    wait_for(folder.usage.exists)
    supervisor = supervisor_of(root, "job-0-0")
    parent = processes.look(supervisor.pid)
    assert parent is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    wait_for(lambda: not left_of(root) and not any(map(is_running, workers)), limit_s=5)
    wait_for(lambda: not is_running(parent.ppid), limit_s=5)
    lost = executor.poll("job-0-0")
    assert lost.state is RunState.LOST
    # It is charged for what it was seen to run.
    assert 0 < lost.elapsed_s < 30


def test_a_killed_guard_is_not_missed(executor: LocalExecutor, root: Path) -> None:
    executor.launch(make_gang("job-0-0", python(LASTS)))
    supervisor = processes.look(supervisor_of(root, "job-0-0").pid)
    assert supervisor is not None
    os.kill(supervisor.ppid, signal.SIGKILL)
    wait_for(lambda: not is_running(supervisor.ppid))
    assert executor.poll("job-0-0").state is RunState.RUNNING
    executor.stop("job-0-0", "enough")
    assert wait_for_end(executor, "job-0-0").reason == "enough"


def test_who_spawns_while_being_killed_is_ended_all_the_same(
    executor: LocalExecutor, root: Path, tmp_path: Path
) -> None:
    code = f"""
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
open({str(tmp_path / "up")!r}, "w").write("up\\n")
began = time.monotonic()
while time.monotonic() - began < 30:
    if os.fork() == 0:
        os.setsid()
        time.sleep(0.5)
        if os.fork():
            os._exit(0)
        time.sleep(600)
    time.sleep(0.02)
"""
    executor.launch(make_gang("job-0-0", python(code)))
    wait_for_text(tmp_path / "up")
    wait_for(lambda: len(left_of(root)) > 20)
    executor.stop("job-0-0", "enough")
    ended = wait_for_end(executor, "job-0-0")
    assert ended.reason == "enough"
    assert left_of(root) == []


def test_a_stopped_rank_is_named_and_ended_at_once(executor: LocalExecutor, root: Path) -> None:
    executor.launch(make_gang("job-0-0", python(LASTS), nproc_per_node=3))
    ranks = wait_for(lambda: found if len(found := left_of(root)) == 3 else None)
    by_rank = {_variable(process.pid, b"RANK"): process.pid for process in ranks}
    os.kill(by_rank["1"], signal.SIGSTOP)
    executor.stop("job-0-0", "stalled")
    began_s = time.monotonic()
    ended = wait_for_end(executor, "job-0-0")
    assert (ended.reason, ended.stopped_ranks) == ("stalled", (1,))
    assert time.monotonic() - began_s < 3
    assert left_of(root) == []


def test_a_stopped_worker_of_a_launcher_is_named_too(
    executor: LocalExecutor, root: Path, tmp_path: Path
) -> None:
    up = tmp_path / "up"
    executor.launch(make_gang("job-0-0", launcher(up, "time.sleep(600)"), per_rank=False))
    pids = [int(pid) for pid in wait_for_text(up).split()]
    wait_for(lambda: _variable(pids[1], b"RANK") == "1")
    os.kill(pids[1], signal.SIGSTOP)
    executor.stop("job-0-0", "stalled")
    assert wait_for_end(executor, "job-0-0").stopped_ranks == (1,)


def _variable(pid: int, name: bytes) -> str:
    found = [v.partition(b"=")[2] for v in processes.environ_of(pid) if v.startswith(name + b"=")]
    return found[0].decode() if found else ""


def test_who_ended_well_before_the_others_is_told(executor: LocalExecutor) -> None:
    code = """
import os, time
if os.environ["RANK"] == "0":
    time.sleep(0.3)
    raise SystemExit("Connection closed by peer")
"""
    executor.launch(make_gang("job-0-0", python(code), nproc_per_node=2))
    ended = wait_for_end(executor, "job-0-0")
    assert (ended.first_failed_rank, ended.early_ranks) == (0, (1,))


# Clocks


def test_a_lease_file_dated_an_hour_back_is_a_renewal_like_any_other(
    executor: LocalExecutor, root: Path
) -> None:
    executor.launch(make_gang("job-0-0", python(LASTS), lease_s=1.0))
    lease = GangFolder(root / "job-0-0").lease
    began_s = time.monotonic()
    shift_s = 3600.0
    while time.monotonic() - began_s < 2.0:
        shift_s = -shift_s
        moment = time.time() + shift_s
        os.utime(lease, (moment, moment))
        time.sleep(0.1)
    assert executor.poll("job-0-0").state is RunState.RUNNING
    # A file from the future does not keep it for ever.
    moment = time.time() + 1e6
    os.utime(lease, (moment, moment))
    ended = wait_for(lambda: files.read_exit(GangFolder(root / "job-0-0")), limit_s=15)
    assert ended.reason == "controller_lost"
    assert ended.elapsed_s < 15


# Memory


def limited_cgroup(limit_bytes: int) -> Path | None:
    """A cgroup (version 1) with so much memory; None where none can be made."""
    folder = Path("/sys/fs/cgroup/memory") / f"trimtab-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(limit_bytes))
    except OSError:
        return None
    return folder


def test_the_kernels_own_kill_is_counted_and_costs_seconds(
    executor: LocalExecutor, root: Path, tmp_path: Path
) -> None:
    cgroup = limited_cgroup(256 * 2**20)
    if cgroup is None:
        pytest.skip("needs the right to make a memory cgroup (version 1)")
    code = """
import os, time
if os.environ["RANK"] == "0":
    time.sleep(600)
time.sleep(0.3)
held = []
while True:
    held.append(bytearray(8 * 2**20))
"""
    gang = make_gang("job-0-0", python(code), nproc_per_node=2)
    files.publish(tmp_path / "request.json", asdict(gang))
    script = f"open({str(cgroup / 'cgroup.procs')!r}, 'w').write('0')\n{CALLER}"
    argv = [sys.executable, "-c", script, str(root), str(tmp_path)]
    try:
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as caller:
            assert caller.stdout is not None
            caller.stdout.readline()
            ended = wait_for_end(executor, "job-0-0")
            caller.kill()
        assert (ended.reason, ended.first_failed_rank) == ("rank_failed", 1)
        assert ended.ranks[1].exit_code == -9
        assert ended.oom_kills >= 1
        assert ended.elapsed_s < 10
        assert left_of(root) == []
    finally:
        wait_for(lambda: not (cgroup / "cgroup.procs").read_text())
        cgroup.rmdir()
