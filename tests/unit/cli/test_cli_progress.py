"""Lines per event, and the live panel."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from tests.unit.cli.fake_service import FakeService, make_job, make_measurement
from tuner.cli import progress
from tuner.cli.progress import Snapshot
from tuner.model import JobState, TrialState


@pytest.fixture
def fake() -> FakeService:
    return FakeService(make_job(JobState.SEARCHING))


@pytest.fixture
def now(fake: FakeService) -> Snapshot:
    return progress.look(fake, "job_aa11")


def test_the_first_look_is_one_line(now: Snapshot) -> None:
    assert progress.events(None, now) == ["job dlrm (job_aa11) searching, 3 of 4 trials done"]


def test_a_trial_that_finished_is_a_line_with_figures_and_position(now: Snapshot) -> None:
    before = replace(now, trials=now.trials[:1])
    assert progress.events(before, now) == [
        "trial 1 complete: 62,345 samples/s ± 2.0 %, +275 % against the baseline"
        " | shard_strategy=table_wise nnodes=2"
        " | 3 of 4 done, ETA 2 min 10 s, spent 4 min 12 s and $0.00560",
        "trial 2 failed: out_of_memory: rank 1 needed more than 4 GiB"
        " | shard_strategy=table_wise nnodes=2 global_batch_size=4096"
        " | 3 of 4 done, ETA 2 min 10 s, spent 4 min 12 s and $0.00560",
    ]


def test_nothing_new_is_no_line(now: Snapshot) -> None:
    assert progress.events(now, now) == []


def test_a_pair_and_a_change_of_state_are_lines(now: Snapshot) -> None:
    later = replace(
        now,
        job=replace(now.job, state=JobState.CONFIRMING, message="trial 1 leads"),
        progress=replace(now.progress, pairs_done=1),
    )
    assert progress.events(now, later) == [
        "confirming pair 1 of 6 done | ETA 2 min 10 s, spent 4 min 12 s and $0.00560",
        "job dlrm (job_aa11) confirming, 3 of 4 trials done: trial 1 leads",
    ]


def test_a_new_message_is_a_line_except_while_pairs_tell_it(now: Snapshot) -> None:
    resumed = replace(now, job=replace(now.job, message="resumed"))
    assert len(progress.events(now, resumed)) == 1
    confirming = replace(now, job=replace(now.job, state=JobState.CONFIRMING, message="pair 1"))
    next_pair = replace(confirming, job=replace(confirming.job, message="pair 2"))
    assert progress.events(confirming, next_pair) == []


def test_money_without_prices_is_not_mentioned(now: Snapshot) -> None:
    assert progress.spent(replace(now.progress.spend, usd=None)) == "spent 4 min 12 s"


def test_unstable_and_beaten_are_said(now: Snapshot) -> None:
    measurement = replace(make_measurement(9000.0), is_stable=False, stopped="beaten")
    trial = replace(now.trials[1], measurement=measurement)
    said = progress.trial_result(trial, "samples_per_s", now.trials[0])
    assert said.endswith("unstable, stopped early: clearly beaten")


def test_the_best_follows_the_direction_of_the_objective(now: Snapshot) -> None:
    slow = replace(now.trials[1], number=7, measurement=make_measurement(100.0))
    several = replace(now, trials=(*now.trials, slow))
    assert [trial.number for trial in progress.best(several)] == [1, 7]
    objective = replace(now.job.spec.objectives[0], direction="minimize")
    spec = replace(now.job.spec, objectives=(objective,))
    down = replace(several, job=replace(now.job, spec=spec))
    assert [trial.number for trial in progress.best(down)] == [7, 1]


def test_the_panel_puts_running_trials_first(now: Snapshot) -> None:
    text = io.StringIO()
    Console(file=text, width=120).print(progress.panel(now))
    lines = text.getvalue().splitlines()
    assert "3 of 4 trials" in lines[0]
    assert "ETA 2 min 10 s" in lines[0]
    labels = [line.split()[0] for line in lines[2:]]
    assert labels == ["running", "baseline", "best", "failed"]
    assert "nnodes=2" in lines[2]


def test_the_panel_counts_pairs_while_confirming(now: Snapshot) -> None:
    text = io.StringIO()
    confirming = replace(now, job=replace(now.job, state=JobState.CONFIRMING))
    Console(file=text, width=120).print(progress.panel(confirming))
    assert "0 of 6 pairs" in text.getvalue()


def test_a_trial_that_was_finished_before_is_not_told_again(now: Snapshot) -> None:
    ended = replace(now.trials[3], state=TrialState.CANCELLED)
    later = replace(now, trials=(*now.trials[:3], ended))
    lines = progress.events(now, later)
    assert len(lines) == 1
    assert lines[0].startswith("trial 3 cancelled: no measurement")
