"""Every figure of an attempt can be traced to the lines it was read from."""

from tests.fakes import FakeClock, FakeExecutor, FakeOutcome
from tests.unit.builders import NOON, spec
from tuner.gang import Gang, RunState
from tuner.launch import launch_command
from tuner.model import Attempt, Measurement, MetricPoint, Placement, Trial
from tuner.observe import Watch

OUTCOME = FakeOutcome(duration_s=10.0, auc=0.75)


def watched() -> tuple[Measurement, list[MetricPoint], FakeExecutor, str]:
    """What an attempt showed that ran to its end in fake time."""
    clock = FakeClock()
    executor = FakeExecutor(lambda _: OUTCOME, clock)
    job, placement = spec(), Placement(cores=((0, 1),), gpus=((),))
    trial = Trial(
        job_id="j", number=0, params=job.space.default(), reason="default", created_at=NOON
    )
    attempt = Attempt(job_id="j", trial_number=0, number=0, placement=placement, created_at=NOON)
    command = launch_command(job, trial.params)
    gang = Gang(launch_key=attempt.launch_key, command=command, placement=placement)
    watch = Watch.of(job, trial, attempt, executor.launch(gang))
    clock.sleep(60.0)
    status = executor.poll(watch.handle)
    assert status.state is RunState.EXITED
    while not watch.read(executor):
        pass
    found, failure = watch.result(executor, status)
    assert failure is None
    assert found is not None
    return found, watch.points(), executor, watch.handle


def test_a_measurement_names_the_lines_of_its_window() -> None:
    found, _, executor, handle = watched()
    assert {"samples_per_s", "loss", "auc"} <= set(found.sources) <= set(found.metrics)
    stream, _, offsets = found.sources["samples_per_s"].rpartition(":")
    first, last = (int(offset) for offset in offsets.split("-"))
    assert stream == "rank-0.metrics.jsonl"
    assert 0 < first < last
    for end in (first, last):
        assert '"samples": 100.0' in executor.line(handle, stream, end)
    end = int(found.sources["auc"].rpartition(":")[2])
    assert '"auc": 0.75' in executor.line(handle, stream, end)


def test_a_point_names_its_lines() -> None:
    _, points, executor, handle = watched()
    assert {point.name for point in points} >= {"samples_per_s", "loss", "auc"}
    assert all(point.source.startswith("rank-0.metrics.jsonl:") for point in points)
    [auc] = [point for point in points if point.name == "auc"]
    stream, _, end = auc.source.rpartition(":")
    assert '"auc": 0.75' in executor.line(handle, stream, int(end))
