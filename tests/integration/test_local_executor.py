"""Gangs of real processes: how ranks start, what survives, what can be read."""

import json
import os
import signal
import subprocess
import sys
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
from tuner.errors import ExecutorError
from tuner.executors import EXECUTORS, files, processes
from tuner.executors.files import GangFolder
from tuner.executors.local import LocalExecutor
from tuner.gang import RankExit, RunState
from tuner.model import Placement

pytestmark = pytest.mark.slow

TELL = """
import json, os
print(json.dumps({"env": dict(os.environ), "cores": sorted(os.sched_getaffinity(0)),
    "session": os.getsid(0) == os.getpid(), "cwd": os.getcwd()}))
"""
CORES = tuple(sorted(os.sched_getaffinity(0)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "gangs"


@pytest.fixture
def executor(root: Path) -> Iterator[LocalExecutor]:
    executor = LocalExecutor(root)
    yield executor
    end_everything(executor, root)


def told(executor: LocalExecutor, handle: str, rank: int) -> dict[str, object]:
    found: dict[str, object] = json.loads(executor.tail(handle, rank, 65536))
    return found


def supervisor_pid(folder: GangFolder) -> int:
    identity = processes.read_identity(folder.supervisor)
    assert identity is not None
    return identity.pid


def test_executors_are_found_by_name(root: Path) -> None:
    assert isinstance(EXECUTORS["local"](root), LocalExecutor)


def test_ranks_know_their_place(executor: LocalExecutor, root: Path) -> None:
    nodes = ((CORES[0],), (CORES[-1],))
    gang = make_gang(
        "job-0-0",
        python(TELL),
        nnodes=2,
        nproc_per_node=2,
        placement=Placement(cores=nodes, gpus=((0, 1), (4, 5))),
        env={"MINE": "yes", "OMP_WAIT_POLICY": "ACTIVE"},
    )
    handle = executor.launch(gang)
    assert wait_for_end(executor, handle).reason == "exited"
    for rank in range(4):
        seen = told(executor, handle, rank)
        env = seen["env"]
        assert isinstance(env, dict)
        expected = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank % 2),
            "WORLD_SIZE": "4",
            "LOCAL_WORLD_SIZE": "2",
            "GROUP_RANK": str(rank // 2),
            "MASTER_ADDR": "127.0.0.1",
            "CUDA_VISIBLE_DEVICES": ("0,1", "4,5")[rank // 2],
            "TRIMTAB_LAUNCH_KEY": "job-0-0",
            "TRIMTAB_METRICS_FILE": str(root / "job-0-0" / f"rank-{rank}.metrics.jsonl"),
            "MINE": "yes",
            "OMP_WAIT_POLICY": "ACTIVE",
            "PYTHONUNBUFFERED": "1",
        }
        assert expected.items() <= env.items()
        assert seen["cores"] == list(nodes[rank // 2])
        assert seen["session"]
        assert seen["cwd"] == "/"
    ports = {told(executor, handle, rank)["env"]["MASTER_PORT"] for rank in range(4)}  # type: ignore[index]
    assert len(ports) == 1


def test_a_command_of_its_own_is_one_process_on_all_cores(executor: LocalExecutor) -> None:
    gang = make_gang(
        "job-0-0",
        python(TELL),
        nnodes=2,
        nproc_per_node=2,
        per_rank=False,
        placement=Placement(cores=((CORES[0],), (CORES[-1],)), gpus=((), ())),
    )
    handle = executor.launch(gang)
    assert wait_for_end(executor, handle).ranks == (RankExit(rank=0, exit_code=0),)
    seen = told(executor, handle, 0)
    env = seen["env"]
    assert isinstance(env, dict)
    assert not {"RANK", "WORLD_SIZE", "MASTER_PORT"} & set(env)
    assert env.get("CUDA_VISIBLE_DEVICES") == os.environ.get("CUDA_VISIBLE_DEVICES")
    assert env["OMP_WAIT_POLICY"] == "PASSIVE"
    assert seen["cores"] == sorted({CORES[0], CORES[-1]})


def test_what_cannot_be_started_has_no_exit_code(executor: LocalExecutor) -> None:
    handle = executor.launch(make_gang("job-0-0", ("/no/such/program",)))
    status = wait_for_end(executor, handle)
    assert (status.reason, status.first_failed_rank) == ("rank_failed", 0)
    assert status.ranks == (RankExit(rank=0, exit_code=None),)
    assert "/no/such/program" in executor.tail(handle, 0, 4096)


def test_cores_that_are_not_there_are_named(executor: LocalExecutor) -> None:
    placement = Placement(cores=((9999,),), gpus=((),))
    handle = executor.launch(make_gang("job-0-0", python(TELL), placement=placement))
    assert wait_for_end(executor, handle).ranks == (RankExit(rank=0, exit_code=None),)
    assert "[9999]" in executor.tail(handle, 0, 4096)


def test_a_key_must_not_leave_the_folder(executor: LocalExecutor, root: Path) -> None:
    for key in ("../job-0-0", "", ".hidden", "a/b"):
        with pytest.raises(ExecutorError, match="launch key"):
            executor.launch(make_gang(key, python("")))
    assert not root.exists()


def test_a_folder_that_cannot_be_written_is_an_executor_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(ExecutorError, match="job-0-0"):
        LocalExecutor(blocked).launch(make_gang("job-0-0", python("")))


COUNT = "import os; os.write(os.open(os.environ['COUNT'], 1025 | 64), b'ran\\n')"


@pytest.mark.parametrize("written", ["nothing", "lease", "request"])
def test_a_launch_cut_short_is_made_good(
    executor: LocalExecutor, root: Path, tmp_path: Path, written: str
) -> None:
    gang = make_gang("job-0-0", python(COUNT), env={"COUNT": str(tmp_path / "count")})
    folder = GangFolder(root / "job-0-0")
    folder.path.mkdir(parents=True)
    if written != "nothing":
        folder.lease.touch()
    if written == "request":
        files.write_gang(folder, gang)
    handle = executor.launch(gang)
    assert wait_for_end(executor, handle).reason == "exited"
    assert (tmp_path / "count").read_text() == "ran\n"


def test_ten_launches_at_once_run_once(executor: LocalExecutor, root: Path, tmp_path: Path) -> None:
    gang = make_gang("job-0-0", python(COUNT), env={"COUNT": str(tmp_path / "count")})
    folder = GangFolder(root / "job-0-0")
    folder.path.mkdir(parents=True)
    files.write_gang(folder, gang)
    argv = [sys.executable, "-m", "tuner.executors.supervisor", str(folder.path)]
    starters = [subprocess.Popen(argv) for _ in range(10)]
    assert [starter.wait(30) for starter in starters] == [0] * 10
    assert executor.launch(gang) == "job-0-0"
    assert wait_for_end(executor, "job-0-0").reason == "exited"
    assert (tmp_path / "count").read_text() == "ran\n"


LAUNCHER = """
import json, sys
from pathlib import Path
from tuner.executors import files
from tuner.executors.files import GangFolder
from tuner.executors.local import LocalExecutor
print("ready", flush=True)
LocalExecutor(Path(sys.argv[1])).launch(files.read_gang(GangFolder(Path(sys.argv[2]))))
print("launched", flush=True)
"""


def test_a_launcher_killed_at_any_moment_can_be_followed_up(
    executor: LocalExecutor, root: Path, tmp_path: Path
) -> None:
    for number in range(8):
        count = tmp_path / f"count-{number}"
        gang = make_gang(f"job-{number}-0", python(COUNT), env={"COUNT": str(count)})
        asked = tmp_path / f"asked-{number}"
        asked.mkdir()
        files.publish(asked / "request.json", asdict(gang))
        launcher = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(root), str(asked)], stdout=subprocess.PIPE
        )
        assert launcher.stdout is not None
        launcher.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            launcher.wait(0.01 * number)
        launcher.kill()
        launcher.communicate()
        handle = executor.launch(gang)
        assert wait_for_end(executor, handle).reason == "exited"
        assert count.read_text() == "ran\n"


def test_a_dead_supervisor_means_lost_and_nothing_left(
    executor: LocalExecutor, root: Path, tmp_path: Path
) -> None:
    # A grandchild in its own session: the kernel does not end it with the supervisor.
    code = f"""
import os, subprocess, sys, time
subprocess.Popen(["sleep", "600"], start_new_session=True)
open({str(tmp_path / "up")!r}, "w").write("up\\n")
time.sleep(600)
"""
    handle = executor.launch(make_gang("job-0-0", python(code)))
    wait_for_text(tmp_path / "up")
    assert len(left_of(root)) == 2
    os.kill(supervisor_pid(GangFolder(root / handle)), signal.SIGKILL)
    # All of it goes even when nobody asks.
    wait_for(lambda: not left_of(root), limit_s=5)
    status = wait_for_end(executor, handle)
    assert (status.state, status.reason) == (RunState.LOST, "its supervisor died")
    assert executor.launch(make_gang("job-0-0", python(code))) == handle
    assert executor.poll(handle).state is RunState.LOST
    assert left_of(root) == []


def test_the_same_key_elsewhere_is_left_alone(
    executor: LocalExecutor, root: Path, tmp_path: Path
) -> None:
    elsewhere = LocalExecutor(tmp_path / "elsewhere")
    lasting = python("import time; time.sleep(600)")
    for one in (executor, elsewhere):
        one.launch(make_gang("job-0-0", lasting))
    wait_for(lambda: left_of(root) and left_of(tmp_path / "elsewhere"))
    os.kill(supervisor_pid(GangFolder(root / "job-0-0")), signal.SIGKILL)
    assert wait_for_end(executor, "job-0-0").state is RunState.LOST
    elsewhere.stop("job-0-0", "enough")
    assert wait_for_end(elsewhere, "job-0-0").ranks == (RankExit(rank=0, exit_code=-15),)


def test_a_gang_from_before_a_restart_of_the_computer_is_lost(
    executor: LocalExecutor, root: Path
) -> None:
    handle = executor.launch(make_gang("job-0-0", python("import time; time.sleep(600)")))
    folder = GangFolder(root / handle)
    now = files.read(folder.supervisor)
    assert now is not None
    files.publish(folder.supervisor, {**now, "boot_id": "another"})
    assert executor.poll(handle).reason == "the computer was restarted"
    files.publish(folder.supervisor, now)


def test_a_reused_pid_does_not_pass_for_the_supervisor(executor: LocalExecutor, root: Path) -> None:
    handle = executor.launch(make_gang("job-0-0", python("")))
    folder = GangFolder(root / handle)
    wait_for_end(executor, handle)
    wait_for(lambda: not is_running(supervisor_pid(folder)))
    folder.exit.unlink()
    content = files.read(folder.supervisor)
    assert content is not None
    files.publish(folder.supervisor, {**content, "pid": os.getpid()})
    assert executor.poll(handle).state is RunState.LOST


def test_the_supervisor_is_no_child_of_its_caller(executor: LocalExecutor, root: Path) -> None:
    handle = executor.launch(make_gang("job-0-0", python("import time; time.sleep(600)")))
    supervisor = processes.look(supervisor_pid(GangFolder(root / handle)))
    assert supervisor is not None
    assert supervisor.ppid != os.getpid()
    assert supervisor.session == supervisor.pid


def test_progress_bars_and_colours_are_plain_in_a_tail(executor: LocalExecutor) -> None:
    code = r"import sys; sys.stdout.write('10%\r20%\r\n\x1b[31mred\x1b[0m \x00\x07done\n')"
    handle = executor.launch(make_gang("job-0-0", python(code)))
    wait_for_end(executor, handle)
    assert executor.tail(handle, 0, 4096) == "10%\n20%\nred done\n"


def test_lines_without_time_are_dated_closely(executor: LocalExecutor) -> None:
    code = """
import time
for _ in range(4):
    print(f"{time.monotonic():016.6f}", flush=True)
    time.sleep(0.3)
"""
    handle = executor.launch(make_gang("job-0-0", python(code)))
    wait_for_end(executor, handle)
    [log] = [c for c in executor.output(handle, {}) if c.stream == "rank-0.log"]
    lines = log.data.decode().splitlines()
    for number, line in enumerate(lines):
        second = next(s for offset, s in log.marks if offset >= 17 * (number + 1))
        assert 0 <= second - float(line) < 0.5
    assert len(lines) == 4


def test_nobody_else_can_read_what_a_gang_writes(executor: LocalExecutor, root: Path) -> None:
    handle = executor.launch(make_gang("job-0-0", python("print('secret')")))
    wait_for_end(executor, handle)
    assert (root / handle).stat().st_mode & 0o777 == 0o700
