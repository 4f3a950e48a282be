"""A training run that is changed while it lives: real ranks, real checkpoints, real kills."""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.unit.builders import NOON
from tests.unit.plans import a_plan
from tuner.expression import Value
from tuner.jobfile import load_job
from tuner.model import LaunchCommand, Placement, Plan
from tuner.spec import JobSpec
from tuner.spec_apply import TrainTarget
from tuner.targets.train import TrainingRun

JOB = """
name: live
workload: {name: factorization}
space: {params: {global_batch_size: {options: [256, 512]}, nnodes: {low: 1, high: 2}}}
apply: {mode: auto, target: {kind: train, path: PATH, checkpoint_s: 60}}
"""


ROOT = Path(__file__).parents[2]


def with_words(*words: str, ranks: int = 1) -> Plan:
    command = LaunchCommand(
        argv=(sys.executable, *words),
        env={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        working_dir=str(ROOT),
        nnodes=ranks,
        nproc_per_node=1,
        per_rank=True,
    )
    placement = Placement(cores=tuple((0,) for _ in range(ranks)), gpus=((),) * ranks)
    params: dict[str, Value] = {"global_batch_size": 256, "nnodes": ranks}
    return replace(a_plan(), params=params, command=command, placement=placement, created_at=NOON)


def factorization(ranks: int) -> Plan:
    return with_words("-m", "workloads.factorization", "--global-batch-size=256", ranks=ranks)


def resumable(word: str) -> Plan:
    """The same life without torch, whose import takes seconds."""
    return with_words(str(ROOT / "tests" / "programs" / "resumable.py"), word)


SMALL, LARGE, BROKEN = resumable("10"), resumable("20"), resumable("broken")


def processes_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(folder) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def until(condition: Callable[[], bool], what: str, seconds: float = 40) -> None:
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.1)


@pytest.fixture
def spec(tmp_path: Path) -> JobSpec:
    return load_job(JOB.replace("PATH", str(tmp_path / "run")), "test")


@pytest.fixture
def run(spec: JobSpec, tmp_path: Path) -> Iterator[TrainingRun]:
    target = spec.apply.target
    assert isinstance(target, TrainTarget)
    (tmp_path / "run").mkdir()
    opened = TrainingRun(target, spec)
    yield opened
    opened.restore(None)
    until(lambda: not processes_of(tmp_path / "run"), "the run outlived its end", 30)


def losses(folder: Path) -> list[tuple[float, float]]:
    """(samples trained, loss) of every generation, in order of time."""
    found = []
    for path in sorted((folder / "run" / "runs").glob("run-*/rank-0.metrics.jsonl")):
        for line in path.read_text().splitlines():
            values = json.loads(line)["values"]
            if "trained_samples" in values:
                found.append((values["trained_samples"], values["loss"]))
    return found


def shows(run: TrainingRun, wanted: Plan, steps: int = 50) -> bool:
    seen = run.observe()
    return seen.plan_hash == wanted.hash and seen.state == "running" and seen.steps >= steps


def begin(run: TrainingRun, first: Plan) -> None:
    run.apply(first, None)
    until(lambda: shows(run, first), "it never ran")


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_live_run_goes_on_with_another_number_of_ranks(run: TrainingRun, tmp_path: Path) -> None:
    one, two = factorization(1), factorization(2)
    begin(run, one)
    run.apply(two, 60.0)
    until(lambda: shows(run, two), "it was not seen with the new plan")
    run.restore(one.hash)
    until(lambda: shows(run, one), "the plan before did not come back")
    curve = losses(tmp_path)
    samples = [s for s, _ in curve]
    assert samples == sorted(set(samples)), "nothing was trained twice"
    text = "".join(path.read_text() for path in logs(tmp_path))
    begins = re.findall(r"begins after ([\d,]+) samples on (\d) rank", text)
    assert [ranks for _, ranks in begins] == ["1", "2", "1"]
    assert [after == "0" for after, _ in begins] == [True, False, False]
    later = [loss for s, loss in curve if s > samples[len(samples) // 3]]
    assert max(later) < curve[0][1], "no generation began anew"


def logs(folder: Path) -> list[Path]:
    return sorted((folder / "run" / "runs").glob("run-*/rank-0.log"))


@pytest.mark.slow
def test_a_plan_that_fails_is_taken_back_without_any_controller(run: TrainingRun) -> None:
    begin(run, SMALL)
    run.apply(BROKEN, 60.0)
    until(lambda: run.current() == BROKEN.hash, "it was never tried")
    until(lambda: shows(run, SMALL), "the run did not go back by itself")


@pytest.mark.slow
def test_a_canary_that_nobody_renews_is_taken_back(run: TrainingRun) -> None:
    def renewed() -> bool:
        run.apply(LARGE, 1.0)
        return shows(run, LARGE, steps=10)

    begin(run, SMALL)
    until(renewed, "it was never tried")
    until(lambda: run.current() == SMALL.hash, "the run did not go back by itself")
    until(lambda: shows(run, SMALL), "the plan before does not run")


@pytest.mark.slow
def test_killed_keepers_change_nothing(run: TrainingRun, tmp_path: Path) -> None:
    begin(run, SMALL)
    run.apply(LARGE, None)
    killed = 0
    while not shows(run, LARGE):  # whoever looks next starts another keeper
        keeper = keeper_of(tmp_path)
        if keeper is not None and killed < 3:
            keeper.kill()
            keeper.wait(10)
            killed += 1
    assert killed == 3
    runs = (tmp_path / "run" / "runs").glob("run-*")
    alive = [path.name for path in runs if not (path / "exit.json").exists()]
    assert len(alive) == 1, "one plan runs, not two"


def keeper_of(folder: Path) -> psutil.Process | None:
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "tuner.targets.keeping" in words and str(folder / "run") in words:
            return process
    return None
