"""Templates: when they are there, when they go, and what becomes of launches meanwhile."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.gangs import (
    PROGRAMS,
    end_everything,
    is_running,
    left_of,
    make_gang,
    program,
    template_sockets,
    templates,
    wait_for,
    wait_for_end,
    wait_for_text,
    warm_executor,
)
from tuner.executors import files, local, processes, warm
from tuner.executors.files import GangFolder
from tuner.executors.local import LocalExecutor
from tuner.gang import RunState

pytestmark = pytest.mark.slow

LASTS = "import time; time.sleep(600)"
COUNT = "import os; os.write(os.open(os.environ['TRIMTAB_COUNT'], 1025 | 64), b'ran\\n')"
FORKED = "print(chr(0) + 'tuner.executors.template' in open('/proc/self/cmdline').read())"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "gangs"


@pytest.fixture
def executor(root: Path) -> Iterator[LocalExecutor]:
    with warm_executor(root) as executor:
        yield executor


def is_warm(executor: LocalExecutor, key: str) -> bool:
    """Whether a gang that is launched now is forked."""
    executor.launch(make_gang(key, program(FORKED)))
    assert wait_for_end(executor, key).reason == "exited"
    return executor.tail(key, 0, 100) == "True\n"


def launch_lasting(executor: LocalExecutor) -> None:
    executor.launch(make_gang("job-0-0", program(LASTS)))
    wait_for(lambda: executor.poll("job-0-0").state is RunState.RUNNING)


def test_the_first_start_is_cold_and_the_next_warm(root: Path) -> None:
    executor = LocalExecutor(root, PROGRAMS)
    assert not is_warm(executor, "first")
    wait_for(lambda: template_sockets(root))
    assert is_warm(executor, "second")
    end_everything(executor, root)


def test_nobody_else_can_reach_a_template(executor: LocalExecutor, root: Path) -> None:
    [socket] = template_sockets(root)
    assert socket.stat().st_mode & 0o777 == 0o600
    assert socket.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_with_a_long_name_will_do(tmp_path: Path) -> None:
    root = tmp_path / ("long" * 30) / "gangs"
    with warm_executor(root) as executor:
        assert is_warm(executor, "job-0-0")


def test_close_ends_the_template_and_no_gang(executor: LocalExecutor, root: Path) -> None:
    launch_lasting(executor)
    [pid] = templates(root)
    executor.close()
    wait_for(lambda: not is_running(pid), limit_s=5)
    assert not (root / ".templates").exists() or not list((root / ".templates").iterdir())
    assert executor.poll("job-0-0").state is RunState.RUNNING
    executor.stop("job-0-0", "enough")
    assert wait_for_end(executor, "job-0-0").reason == "enough"


def test_a_killed_template_takes_no_gang_along(executor: LocalExecutor, root: Path) -> None:
    launch_lasting(executor)
    [pid] = templates(root)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_running(pid))
    assert executor.poll("job-0-0").state is RunState.RUNNING
    assert not is_warm(executor, "job-0-1")
    wait_for(lambda: templates(root))
    wait_for(lambda: is_warm(executor, f"job-0-{len(list(root.iterdir()))}"))
    assert executor.poll("job-0-0").state is RunState.RUNNING


CONTROLLER = """
import sys, time
from pathlib import Path
from tuner.executors import files
from tuner.executors.files import GangFolder
from tuner.executors.local import LocalExecutor
executor = LocalExecutor(Path(sys.argv[1]), "tests.programs")
executor.launch(files.read_gang(GangFolder(Path(sys.argv[2]))))
print("launched", flush=True)
time.sleep(600)
"""


def test_a_template_ends_when_its_controller_was_killed(root: Path, tmp_path: Path) -> None:
    gang = make_gang("job-0-0", program(""), lease_s=1.0)
    files.publish(tmp_path / "request.json", asdict(gang))
    controller = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, str(root), str(tmp_path)], stdout=subprocess.PIPE
    )
    assert controller.stdout is not None
    assert controller.stdout.readline() == b"launched\n"
    [pid] = wait_for(lambda: templates(root))
    controller.kill()
    controller.communicate()
    wait_for(lambda: not is_running(pid), limit_s=10)


def test_polling_keeps_a_template(root: Path) -> None:
    with warm_executor(root, lease_s=1.0) as executor:
        launch_lasting(executor)
        [pid] = templates(root)
        old = template_sockets(root)[0].stat().st_mtime
        wait_for(
            lambda: (
                executor.poll("job-0-0").elapsed_s > 2.5
                and template_sockets(root)[0].stat().st_mtime == old
            )
        )
        assert templates(root) == [pid]


def test_two_executors_of_a_folder_share_a_template(executor: LocalExecutor, root: Path) -> None:
    [pid] = templates(root)
    other = LocalExecutor(root, PROGRAMS)
    assert is_warm(other, "job-0-0")
    assert is_warm(executor, "job-0-1")
    for _ in range(3):
        other._templates.find(make_gang("x", program("")).command).start(60)  # type: ignore[union-attr]
    assert is_warm(other, "job-0-2")
    assert templates(root) == [pid]


def test_changed_code_has_a_new_template(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    (code / "plain").mkdir(parents=True)
    (code / "tuner").symlink_to(Path(local.__file__).parents[1])
    script = code / "plain" / "script.py"
    monkeypatch.setattr(warm, "_CODE_ROOT", code)
    monkeypatch.setenv("PYTHONPATH", str(code))
    executor = LocalExecutor(root, "plain")

    def says(key: str) -> str:
        executor.launch(make_gang(key, (sys.executable, "-m", "plain.script")))
        wait_for_end(executor, key)
        return executor.tail(key, 0, 100)

    script.write_text(FORKED)
    assert says("a-0") == "False\n"
    wait_for(lambda: template_sockets(root))
    [old] = templates(root)
    assert says("a-1") == "True\n"
    script.write_text(f"{FORKED}\nprint('changed')")
    assert says("b-0") == "False\nchanged\n"
    wait_for(lambda: not is_running(old), limit_s=5)
    wait_for(lambda: template_sockets(root))
    assert says("b-1") == "True\nchanged\n"
    assert len(templates(root)) == 1
    end_everything(executor, root)


@pytest.mark.parametrize(
    ("module", "why"),
    [("threaded", "has started 1 threads"), ("broken", "RuntimeError: broken on purpose")],
)
def test_what_cannot_be_forked_always_starts_cold(root: Path, module: str, why: str) -> None:
    executor = LocalExecutor(root, PROGRAMS)
    argv = (sys.executable, "-m", f"{PROGRAMS}.{module}")

    def run(key: str) -> str:
        executor.launch(make_gang(key, argv))
        wait_for_end(executor, key)
        return executor.tail(key, 0, 1000)

    first = run("job-0-0")
    [refused] = wait_for(lambda: list((root / ".templates").glob("*/refused")))
    assert why in wait_for(lambda: refused.read_text())
    wait_for(lambda: not templates(root))
    log = refused.with_name("log").read_text()
    assert run("job-0-1") == first
    assert refused.with_name("log").read_text() == log
    end_everything(executor, root)


def test_a_template_that_does_not_answer_is_not_waited_for(
    executor: LocalExecutor, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "ANSWER_LIMIT_S", 0.3)
    [pid] = templates(root)
    os.kill(pid, signal.SIGSTOP)
    count = tmp_path / "count"
    gang = make_gang("job-0-0", program(COUNT), env={"TRIMTAB_COUNT": str(count)})
    executor.launch(gang)
    assert wait_for_end(executor, "job-0-0").reason == "exited"
    # Now it reads of the request, which must not be run again.
    os.kill(pid, signal.SIGCONT)
    assert is_warm(executor, "job-0-1")
    assert count.read_text() == "ran\n"


def test_a_template_killed_after_it_was_asked(
    executor: LocalExecutor, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [pid] = templates(root)
    os.kill(pid, signal.SIGSTOP)
    ask = warm.ask

    def ask_in_vain(*arguments: object) -> None:
        monkeypatch.setattr(warm, "ANSWER_LIMIT_S", 0.3)
        os.kill(pid, signal.SIGKILL)
        ask(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(local, "ask", ask_in_vain)
    count = tmp_path / "count"
    executor.launch(make_gang("job-0-0", program(COUNT), env={"TRIMTAB_COUNT": str(count)}))
    assert wait_for_end(executor, "job-0-0").reason == "exited"
    assert count.read_text() == "ran\n"


LAUNCHER = CONTROLLER.replace("executor.launch(", "print('ready', flush=True)\nexecutor.launch(")


def test_a_launcher_killed_at_any_moment_can_be_followed_up(
    executor: LocalExecutor, root: Path, tmp_path: Path
) -> None:
    environ = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    for number in range(10):
        count, asked = tmp_path / f"count-{number}", tmp_path / f"asked-{number}"
        asked.mkdir()
        environment = {"TRIMTAB_COUNT": str(count)}
        gang = make_gang(f"job-{number}-0", program(COUNT), env=environment)
        files.publish(asked / "request.json", asdict(gang))
        launcher = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(root), str(asked)],
            env=environ,
            stdout=subprocess.PIPE,
        )
        assert launcher.stdout is not None
        launcher.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            launcher.wait(0.002 * number)
        launcher.kill()
        launcher.communicate()
        handle = executor.launch(gang)
        assert wait_for_end(executor, handle).reason == "exited"
        assert count.read_text() == "ran\n"


def test_a_dead_supervisor_leaves_no_fork_of_a_rank(
    executor: LocalExecutor, root: Path, tmp_path: Path
) -> None:
    # It is in its own session and has not started a program: only the stamp tells whose it is.
    code = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    os.closerange(0, 100)
    time.sleep(600)
open({str(tmp_path / "up")!r}, "w").write("up\\n")
time.sleep(600)
"""
    handle = executor.launch(make_gang("job-0-0", program(code)))
    wait_for_text(tmp_path / "up")
    wait_for(lambda: len(left_of(root)) == 2)
    identity = processes.read_identity(GangFolder(root / handle).supervisor)
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    wait_for(lambda: not left_of(root), limit_s=5)
    assert wait_for_end(executor, handle).state is RunState.LOST


def test_many_in_a_row_leave_nothing(executor: LocalExecutor, root: Path) -> None:
    [pid] = templates(root)

    def held() -> tuple[int, int, int]:
        mine, its = Path("/proc/self/fd"), Path(f"/proc/{pid}/fd")
        shared = len(list(Path("/dev/shm").iterdir()))
        return len(list(mine.iterdir())), len(list(its.iterdir())), shared

    def memory_kib() -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("RssAnon:")[2].split()[0])

    assert is_warm(executor, "before")
    files_before, memory_before = held(), memory_kib()
    for number in range(30):
        gang = make_gang(f"job-{number}", program("print('done')"), nproc_per_node=2)
        executor.launch(gang)
        assert wait_for_end(executor, gang.launch_key).reason == "exited"
    assert held() == files_before
    assert memory_kib() - memory_before < 512
    assert templates(root) == [pid]
    assert left_of(root) == []
    children = Path(f"/proc/{pid}/task/{pid}/children")
    wait_for(lambda: not children.read_text().split(), limit_s=5)
