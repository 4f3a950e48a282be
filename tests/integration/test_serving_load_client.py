"""The load on servers of any kind, and what it tells Trimtab of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.gangs import is_running, left_of
from tuner import report

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "examples" / "serve_own.py"
BODY = '--body={"x": 0.5, "y": 0.5}'
STALLING = """
import http.server, sys, threading, time
lock, began = threading.Lock(), time.monotonic()
class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize, stalled = "HTTP/1.1", 65536, False
    def do_GET(self):
        with lock:
            if not Answers.stalled and time.monotonic() - began > 3:
                Answers.stalled = True
                time.sleep(1)
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers()
        self.wfile.write(b"ok")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""


def load(tmp_path: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], list[report.Line]]:
    """Runs a load to its end."""
    metrics = tmp_path / "metrics.jsonl"
    argv = [sys.executable, "-m", "workloads.serving.load", "--url=http://127.0.0.1:{port}/"]
    environ = {**os.environ, report.FILE_VARIABLE: str(metrics)}
    ended = subprocess.run(
        [*argv, *words],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    text = metrics.read_text(encoding="utf-8") if metrics.exists() else ""
    return ended, [line for line in map(report.parse, text.splitlines()) if line]


def last(lines: list[report.Line], name: str) -> float:
    return [line.values[name] for line in lines if name in line.values][-1]


def test_any_server_is_started_loaded_and_ended(tmp_path: Path) -> None:
    command = ("--start", "--", sys.executable, str(SERVER), "--port={port}", "--cache=8")
    ended, lines = load(tmp_path, BODY, "--rate=100", "--max-s=3", "--warmup-s=0.5", *command)
    assert ended.returncode == 0, ended.stderr
    assert last(lines, "error_pct") == 0
    assert last(lines, "p50_latency_ms") > 0
    assert sum(line.samples for line in lines) > 100
    assert sum(line.pause_s for line in lines) > 0, "the warm-up is no measurement"
    assert left_of(tmp_path) == []


def test_a_stall_makes_all_requests_late_that_were_due_meanwhile(tmp_path: Path) -> None:
    """A client that waited for the answer before it sent the next would have seen a single one."""
    command = ("--start", "--", sys.executable, "-c", STALLING, "{port}")
    words = ("--method=GET", "--rate=100", "--slo-ms=200", "--warmup-s=0.1", "--max-s=5")
    ended, lines = load(tmp_path, *words, *command)
    assert ended.returncode == 0, ended.stderr
    assert last(lines, "error_pct") == 0
    # Of the second in which nothing was answered at least a half of the requests waited too long:
    # 50 or more of about 500.
    assert last(lines, "slo_attainment_pct") < 95


def test_a_server_that_ends_is_the_failure_and_not_a_slow_trial(tmp_path: Path) -> None:
    ended, lines = load(tmp_path, "--start", "--", sys.executable, "-c", "exit(3)")
    assert ended.returncode == 1
    assert "the server ended with exit code 3" in ended.stderr
    assert not any(line.steps for line in lines)


def test_a_request_that_the_server_refuses_is_shown(tmp_path: Path) -> None:
    command = ("--start", "--", sys.executable, str(SERVER), "--port={port}")
    ended, _ = load(tmp_path, "--method=GET", *command)
    assert ended.returncode == 1
    assert "the server refuses the request: status 501" in ended.stderr


def test_a_killed_load_leaves_no_server(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "workloads.serving.load", "--url=http://127.0.0.1:{port}/"]
    command = ["--start", "--", sys.executable, "-c", "import time; time.sleep(600)"]
    process = subprocess.Popen([*argv, *command], cwd=ROOT)
    end_s = time.monotonic() + 60
    while not (children := psutil.Process(process.pid).children()) and time.monotonic() < end_s:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    psutil.wait_procs(children, timeout=30)
    assert children
    assert not any(is_running(child.pid) for child in children)
