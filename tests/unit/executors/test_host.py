"""What this computer is, in words that are equal as long as figures may be compared."""

import sys
import time
from pathlib import Path

from tests.unit.builders import spec
from tuner.executors.host import LocalHost


def test_a_fingerprint_names_what_matters_and_is_the_same_again(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("1")
    workload = {"command": [sys.executable, "train.py"], "working_dir": str(tmp_path)}
    found = LocalHost().fingerprint(spec(workload=workload))
    assert {"machine", "cpu", "cores", "memory_gib", "kernel", "python", "torch"} <= set(found)
    assert {"trimtab", "workload"} <= set(found)
    assert all(found.values())
    assert LocalHost().fingerprint(spec(workload=workload)) == found


def test_torch_is_that_of_the_commands_own_environment(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.12" / "site-packages"
    (packages / "torch-2.99.0+cu130.dist-info").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "torchrun"
    program.write_text("#!/bin/sh")
    program.chmod(0o755)
    found = LocalHost().fingerprint(spec(workload={"command": [str(program), "train.py"]}))
    assert (found["python"], found["torch"]) == ("3.12", "2.99.0+cu130")
    unknown = LocalHost().fingerprint(spec(workload={"command": ["/nowhere/run", "train.py"]}))
    assert "torch" not in unknown


def test_a_fingerprint_costs_a_launch_next_to_nothing() -> None:
    host, job = LocalHost(), spec(workload={"name": "dlrm"})
    host.fingerprint(job)
    taken_s = []
    for _ in range(10):
        began_s = time.thread_time()
        host.fingerprint(job)
        taken_s.append(time.thread_time() - began_s)
    assert min(taken_s) < 0.01
