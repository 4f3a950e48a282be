"""Every workload of the examples that is installed here: some steps on two ranks of CPU."""

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.gangs import end_everything, python
from tuner.executors.host import LocalHost
from tuner.executors.local import LocalExecutor
from tuner.jobfile import load_job_file
from tuner.model import FailureKind
from tuner.smoke import STEPS, Smoke, try_out
from tuner.spec import JobSpec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDED = {
    "horovod_train.py": "horovod",
    "preprocess": "pyarrow",
    "tensorflow_train.py": "tensorflow",
    "torchrec_dlrm": "torchrec",
}
"""What runs -> what it needs beside Trimtab."""
ELSEWHERE = frozenset({"lightning", "serving-fleet"})
"""Those that a test of their own runs for longer."""


def what_runs(spec: JobSpec) -> str:
    """The workload, or the script of a command: one example of each is enough."""
    words = spec.workload.command or ()
    return spec.workload.name or next(word for word in words if word.endswith(".py"))


def distinct() -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(EXAMPLES.glob("*.yaml")):
        spec = load_job_file(file)
        if not spec.resources.gpus_per_node and file.stem not in ELSEWHERE:
            found.setdefault(what_runs(spec), file.stem)
    return found


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExecutor]:
    folder = tmp_path_factory.mktemp("smoke")
    executor = LocalExecutor(folder, warm_package=None)
    yield executor
    end_everything(executor, folder)


def smoke_of(executor: LocalExecutor, spec: JobSpec) -> Smoke:
    cpu = replace(spec.resources, gpus_per_node=0)
    return try_out(executor, LocalHost(), replace(spec, resources=cpu), limit_s=60.0)


@pytest.mark.parametrize(("what", "name"), distinct().items())
def test_it_starts_and_its_figures_are_read(executor: LocalExecutor, what: str, name: str) -> None:
    needed = NEEDED.get(what)
    if needed is not None and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    smoke = smoke_of(executor, load_job_file(EXAMPLES / f"{name}.yaml"))
    assert smoke.failure is None, smoke.failure
    assert smoke.command.num_processes == (2 if smoke.command.per_rank else 1)
    assert min(smoke.steps.values(), default=STEPS) >= STEPS


def test_a_log_that_is_not_understood_is_told(executor: LocalExecutor) -> None:
    spec = load_job_file(EXAMPLES / "own-command.yaml")
    command = python("print('epoch 1, loss 0.5')")
    smoke = smoke_of(executor, replace(spec, workload=replace(spec.workload, command=command)))
    assert smoke.failure is not None
    assert smoke.failure.kind is FailureKind.NO_METRICS
    assert smoke.failure.log_tail == ("epoch 1, loss 0.5",)
    assert smoke.steps == {}
