"""A gang at a terminal: `run_in_foreground`, as a process of its own."""

import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.gangs import left_of, make_gang, python, wait_for, wait_for_text
from tuner.executors import files
from tuner.gang import Gang

pytestmark = pytest.mark.slow

RUN = """
import sys
from pathlib import Path
from tuner.executors import files
from tuner.executors.files import GangFolder
from tuner.executors.foreground import run_in_foreground
sys.exit(run_in_foreground(files.read_gang(GangFolder(Path(sys.argv[1]))), Path(sys.argv[2])))
"""


def start(folder: Path, gang: Gang) -> subprocess.Popen[str]:
    files.publish(folder / "request.json", asdict(gang))
    argv = [sys.executable, "-c", RUN, str(folder), str(folder / "gangs")]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print('hello')", 0),
        ("print('hello'); raise SystemExit(3)", 3),
        ("print('hello', flush=True); import os; os.kill(os.getpid(), 9)", 137),
    ],
)
def test_log_is_shown_and_the_exit_code_passed_on(tmp_path: Path, code: str, expected: int) -> None:
    process = start(tmp_path, make_gang("plan-1", python(code)))
    shown, _ = process.communicate(timeout=30)
    assert shown == "hello\n"
    assert process.returncode == expected


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_gang(tmp_path: Path, sign: signal.Signals) -> None:
    code = f"open({str(tmp_path / 'up')!r}, 'w').write('up\\n'); import time; time.sleep(600)"
    process = start(tmp_path, make_gang("plan-1", python(code)))
    wait_for_text(tmp_path / "up")
    process.send_signal(sign)
    process.communicate(timeout=30)
    assert process.returncode == 128 + sign
    wait_for(lambda: not left_of(tmp_path / "gangs"))


def test_a_program_that_is_not_there_is_127(tmp_path: Path) -> None:
    process = start(tmp_path, make_gang("plan-1", ("/no/such/program",)))
    shown, _ = process.communicate(timeout=30)
    assert "/no/such/program" in shown
    assert process.returncode == 127
