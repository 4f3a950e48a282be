"""The controller is killed with SIGKILL again and again, with real gangs and the real store."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tuner.application import ApplicationState
from tuner.jobfile import load_job
from tuner.model import AttemptState, Job, JobState
from tuner.service import Service
from tuner.targets.file import read_plan_file

JOB = """
name: killed
workload:
  command:
    - ${python}
    - -c
    - |
      import sys, time
      from tuner import report
      batch = int(sys.argv[1])
      while True:
          time.sleep(0.01)
          report.step(samples=batch)
    - ${batch}
space: {params: {batch: {options: [10, 20, 30]}}}
search: {method: grid}
budget: {trials: 3}
measuring: {min_window_s: 0.8, precision_pct: 25, confirm_precision_pct: 25}
resources: {lease_s: 30}
apply: {pairs: 3, report_pairs: 0, mode: next_start, target: {path: plan.json}}
"""

CONTROL = """
import sys, threading
from pathlib import Path
from tuner.service import Service
with Service(Path(sys.argv[1])) as service:
    while not service.run(threading.Event(), until_finished=[sys.argv[2]]):
        threading.Event().wait(0.1)
"""


def gangs() -> set[int]:
    """Processes of this job that are alive, whoever started them."""
    return {
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if "report.step" in " ".join(process.info["cmdline"] or [])
        and process.info["status"] != psutil.STATUS_ZOMBIE
    }


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    before = gangs()
    yield tmp_path / "home"
    deadline_s = time.monotonic() + 20
    while (left := gangs() - before) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert left == set(), "gangs outlived their job"


def control(home: Path, job: Job) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CONTROL, str(home), job.id])


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_sigkill_at_any_moment_loses_and_doubles_nothing(home: Path) -> None:
    chance = random.Random(4)
    kills = 0
    with Service(home) as service:
        job = service.create_job(load_job(JOB, "test"), actor="test")
        while not service.job(job.id).state.is_finished:
            controller = control(home, job)
            try:
                controller.wait(timeout=chance.uniform(0.8, 3.0) if kills < 10 else None)
            except subprocess.TimeoutExpired:
                os.kill(controller.pid, signal.SIGKILL)
                controller.wait()
                kills += 1
        assert kills == 10
        control(home, job).wait(timeout=60)  # the application, if the last kill came before it

        assert service.job(job.id).state is JobState.SUCCEEDED
        attempts = service.attempts(job.id)
        assert [a.state for a in attempts] == [AttemptState.COMPLETE] * len(attempts)
        # Controllers that start again and again are a load: runs that it disturbed are made again.
        measured = [a for a in attempts if a.purpose == "measure"]
        confirmed = [a for a in attempts if a.purpose == "confirm"]
        assert {a.trial_number for a in measured} == {0, 1, 2}
        assert len({(a.trial_number, a.pair) for a in confirmed}) == 6
        repeats = [a for a in attempts if a.measurement and a.measurement.is_disturbed]
        assert len(attempts) <= 3 + 6 + len(repeats)
        folders = [p.name for p in (home / "attempts").iterdir() if p.is_dir()]
        assert sorted(folders) == sorted(a.launch_key for a in attempts)
        (plan,) = service.plans(job.id)
        assert plan.params == {"batch": 30}
        assert plan.verdict == "better"
        (application,) = service.applications(job.id)
        assert application.state is ApplicationState.CANARY
        assert read_plan_file(home / "plan.json").plan_hash == plan.hash
