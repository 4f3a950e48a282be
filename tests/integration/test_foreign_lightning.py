"""A script of PyTorch Lightning that knows nothing of Trimtab is tuned by its progress bar."""

import importlib.util
import re
import threading
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tuner.jobfile import load_job_file
from tuner.model import Attempt, Job, JobState
from tuner.service import Service
from tuner.space import Choice, Space
from tuner.spec import Budget, JobSpec, Measuring
from tuner.spec_apply import Apply

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(150),
    pytest.mark.skipif(
        importlib.util.find_spec("pytorch_lightning") is None,
        reason="PyTorch Lightning is not installed: pip install -e '.[dev]' brings it",
    ),
]

EXAMPLE = Path(__file__).parents[2] / "examples" / "lightning.yaml"
BATCHES = (256, 4096)
BAR = re.compile(
    r"^Epoch (?P<epoch>\d+): +\d+%\|[^|]*\| *(?P<step>\d+)/\d+ "
    r"\[[\d:]+<[\d:?]+, *(?P<rate>[\d.]+)it/s",
    re.M,
)


def short_job() -> JobSpec:
    """The example with two configurations, measured for some seconds each, nothing confirmed."""
    spec = load_job_file(EXAMPLE)
    return replace(
        spec,
        space=Space(params={"batch_size": Choice(options=BATCHES)}),
        workload=replace(spec.workload, env={"OMP_NUM_THREADS": "1"}),
        budget=Budget(trials=len(BATCHES)),
        measuring=Measuring(min_window_s=1.5, max_window_s=3.0, precision_pct=20.0),
        apply=Apply(mode="off"),
    )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("lightning")) as service:
        yield service


@pytest.fixture(scope="module")
def job(service: Service) -> Job:
    """The job once it has ended: the tests below look at what came out."""
    created = service.create_job(short_job(), actor="test")
    assert service.run(threading.Event(), until_finished=[created.id])
    return service.job(created.id)


def script_clock(service: Service, attempt: Attempt) -> tuple[list[float], list[float]]:
    """(seconds of training, steps) by the script's own clock, from its first line of progress on.

    The bar shows steps per second since its epoch began, so it tells when it was written. Of lines
    that show the same step the first counts: later ones are written after validation.
    """
    log = service.log(
        attempt.job_id, attempt.trial_number, attempt=attempt.number, max_bytes=10_000_000
    )
    lines = {
        (int(bar["epoch"]), int(bar["step"])): float(bar["rate"])
        for bar in reversed(list(BAR.finditer(log)))
        if float(bar["rate"]) > 0
    }
    seconds, steps = [], []
    epoch, before, last = 0, (0.0, 0), (0.0, 0)
    for (number, step), rate in sorted(lines.items()):
        if number != epoch:
            epoch, before = number, last
        last = before[0] + step / rate, before[1] + step
        seconds.append(last[0])
        steps.append(last[1])
    return [s - seconds[0] for s in seconds], [float(n - steps[0]) for n in steps]


def test_it_ends_with_a_plan_for_the_larger_batch(service: Service, job: Job) -> None:
    assert job.state is JobState.SUCCEEDED, job.message
    (plan,) = service.plans(job.id)
    assert plan.params == {"batch_size": 4096}
    assert "--batch-size=4096" in plan.command.argv


@pytest.mark.parametrize("number", range(len(BATCHES)))
def test_the_rate_is_that_of_the_scripts_own_clock(service: Service, job: Job, number: int) -> None:
    attempt = service.attempts(job.id, number)[-1]  # the last where others disturbed the first
    measured = attempt.measurement
    assert measured is not None
    seconds, steps = script_clock(service, attempt)
    after_warmup = bisect_left(seconds, measured.warmup_s)
    window_s = seconds[-1] - seconds[after_warmup]
    own_rate = (steps[-1] - steps[after_warmup]) / window_s * BATCHES[number]
    assert window_s == pytest.approx(measured.window_s, rel=0.1)
    assert measured.metrics["samples_per_s"] == pytest.approx(own_rate, rel=0.1)
    assert measured.steps == pytest.approx(steps[-1], abs=20)
    assert "loss" in measured.metrics
