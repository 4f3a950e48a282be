"""What a larger batch costs in samples, worked out by hand."""

import pytest

from tests.unit.builders import spec
from tuner.learning import curve_of, in_words, samples_to
from tuner.model import MetricPoint
from tuner.spec import Quality

AUC = Quality(metric="auc", max_loss=0.01)
SMALL = [(1000.0, 0.6), (2000.0, 0.7)]
LARGE = [(1000.0, 0.5), (2000.0, 0.6), (4000.0, 0.7)]


def test_between_two_points_the_line_counts() -> None:
    assert samples_to(AUC, SMALL, 0.65) == pytest.approx(1500)
    assert samples_to(AUC, SMALL, 0.6) == 1000
    assert samples_to(AUC, SMALL, 0.8) is None
    falling = Quality(metric="loss", direction="minimize", max_loss=0.01)
    assert samples_to(falling, [(10.0, 1.0), (20.0, 0.5)], 0.75) == pytest.approx(15)


def test_plain_words_for_more_samples_at_a_higher_rate() -> None:
    job = spec(quality={"metric": "auc"})
    told = in_words(job, SMALL, LARGE, (100.0, 400.0))
    assert "it needs 4,000 samples, the default 2,000: +100 %" in told
    assert "At its rate that is 50 % sooner." in told
    assert "100 % later" in in_words(job, SMALL, LARGE, (100.0, 100.0))


def test_one_evaluation_is_too_few_and_no_quality_says_nothing() -> None:
    job = spec(quality={"metric": "auc"})
    assert "is not known" in in_words(job, SMALL[:1], LARGE, (1.0, 1.0))
    assert in_words(spec(), SMALL, LARGE, (1.0, 1.0)) == ""


def point(attempt: int, name: str, t_s: float, value: float) -> MetricPoint:
    return MetricPoint(
        job_id="job_1", trial_number=0, attempt_number=attempt, name=name, t_s=t_s, value=value
    )


def test_the_curve_is_that_of_the_attempt_that_told_most() -> None:
    points = [
        *(point(0, "auc", 1.0, 0.6), point(0, "quality_samples", 1.0, 1000)),
        *(point(1, "auc", 1.0, 0.6), point(1, "quality_samples", 1.0, 1000)),
        *(point(1, "auc", 2.0, 0.7), point(1, "quality_samples", 2.0, 2000)),
        point(1, "auc", 3.0, 0.9),
    ]
    assert curve_of(points, "auc") == SMALL
