"""The analytic model of a job's work as a prior of its search."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storage.memory import MemoryStore
from tests.unit.builders import NOON
from tests.unit.search.search_cases import ended
from tuner.jobfile import load_job_file
from tuner.model import Job
from tuner.search.analytic import AnalyticPrior, can_expect
from tuner.search.remembered import Remembering
from tuner.spec import Objective

SPEC = load_job_file(Path(__file__).parents[3] / "examples" / "dlrm.yaml")
DEFAULT = SPEC.space.default()
LARGE = {**DEFAULT, "global_batch_size": 16384}
SMALL = {**DEFAULT, "global_batch_size": 256}


def test_larger_batches_are_expected_to_be_faster_and_the_default_is_the_origin() -> None:
    mean, columns = AnalyticPrior(SPEC, []).at([DEFAULT, LARGE, SMALL])
    assert mean[0] == pytest.approx(0.0)
    assert mean[1] > 0 > mean[2]
    assert columns.shape == (3, 1)


def test_every_member_of_the_space_has_a_finite_expectation() -> None:
    members = list(SPEC.space.members())
    mean, _ = AnalyticPrior(SPEC, []).at(members)
    assert np.isfinite(mean).all()
    assert len(mean) == len(members)


def test_the_trials_of_the_job_calibrate_it() -> None:
    trials = [
        ended(0, DEFAULT, samples_per_s=70_000.0),
        ended(1, LARGE, samples_per_s=71_000.0),
        ended(2, SMALL, samples_per_s=30_000.0),
    ]
    before, _ = AnalyticPrior(SPEC, []).at([LARGE, SMALL])
    after, _ = AnalyticPrior(SPEC, trials).at([LARGE, SMALL])
    truth = np.log(np.array([71_000.0, 30_000.0]) / 70_000.0)
    assert np.abs(after - truth).max() < np.abs(before - truth).max()


def test_what_does_not_go_by_the_rate_is_not_expected() -> None:
    assert can_expect(SPEC)
    assert not can_expect(replace(SPEC, estimate=None))
    memory = (Objective(metric="peak_memory_gib", direction="minimize"),)
    assert not can_expect(replace(SPEC, objectives=memory))


def test_it_begins_the_search_of_a_job_without_history() -> None:
    store = MemoryStore()
    store.save(Job(id="job", spec=SPEC, created_at=NOON))
    trials = [ended(0, DEFAULT, samples_per_s=70_000.0)]
    asked = Remembering(store)(SPEC, trials, None).ask(1)[0]
    assert asked.reason == "expected to be the best by the model of the job's work"
    assert int(asked.params["global_batch_size"]) > 1024
