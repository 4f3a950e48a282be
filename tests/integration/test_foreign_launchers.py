"""Jobs of other frameworks: what their ranks are told, and the words that launchers are given."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.gangs import end_everything, make_gang, python, wait_for_end
from tuner.executors.host import LocalHost
from tuner.executors.local import LocalExecutor
from tuner.jobfile import load_job_file
from tuner.launch import launch_command
from tuner.smoke import STEPS, try_out

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
LISTENING = """
import json, os, socket
config = json.loads(os.environ["TF_CONFIG"])
host, port = config["cluster"]["worker"][config["task"]["index"]].split(":")
with socket.socket() as listening:
    listening.bind((host, int(port)))
    print(os.environ["TF_CONFIG"], flush=True)
"""


def test_each_worker_of_tensorflow_is_told_of_all_and_of_its_own_place(tmp_path: Path) -> None:
    spec = load_job_file(ROOT / "examples" / "tensorflow.yaml")
    command = launch_command(spec, {**spec.space.default(), "nproc_per_node": 2})
    executor = LocalExecutor(tmp_path, warm_package=None)
    try:
        gang = make_gang("workers", python(LISTENING), nproc_per_node=2, env=command.env)
        handle = executor.launch(gang)
        assert wait_for_end(executor, handle).reason == "exited"
        told = [json.loads(executor.tail(handle, rank, 1000)) for rank in range(2)]
    finally:
        end_everything(executor, tmp_path)
    assert [config["task"] for config in told] == [
        {"type": "worker", "index": 0},
        {"type": "worker", "index": 1},
    ]
    assert told[0]["cluster"] == told[1]["cluster"]
    assert len(set(told[0]["cluster"]["worker"])) == 2


@pytest.fixture
def horovod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in on the paths, with the words of `horovodrun`."""
    stand_in = ROOT / "tests" / "programs" / "horovod_stand_in"
    program = tmp_path / "bin" / "horovodrun"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{stand_in / "launcher.py"}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(stand_in))


def test_horovodrun_starts_the_ranks_and_its_log_is_read(tmp_path: Path, horovod: None) -> None:
    spec = load_job_file(ROOT / "examples" / "horovod.yaml")
    executor = LocalExecutor(tmp_path / "gangs", warm_package=None)
    try:
        smoke = try_out(executor, LocalHost(), spec)
    finally:
        end_everything(executor, tmp_path / "gangs")
    assert smoke.failure is None, smoke.failure
    assert "--num-proc=2" in smoke.command.argv
    assert smoke.steps[0] >= STEPS
    # Batches of 256 on two ranks, counted by the log of one.
    assert smoke.samples % 512 == 0
    assert smoke.metrics["loss"] < 1
