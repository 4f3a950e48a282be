"""Numbers as people read them."""

import math
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.unit.cli.fake_service import BASELINE, BEST, NOW
from tuner.cli import text
from tuner.model import Spend


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (12345.6, "12,346"),
        (12.3456, "12.3"),
        (0.123456, "0.123"),
        (0.0012345, "0.00123"),
        (1.2e-7, "1.2e-07"),
        (math.nan, "unknown"),
        (-2.5, "-2.50"),
    ],
)
def test_number(value: float, said: str) -> None:
    assert text.number(value) == said


@pytest.mark.parametrize(
    ("usd", "said"),
    [
        (None, "unknown"),
        (0.0, "$0.00"),
        (0.0056, "$0.00560"),
        (0.000357, "$0.000357"),
        (12.345, "$12.35"),
        (1234.5, "$1,234.50"),
    ],
)
def test_money(usd: float | None, said: str) -> None:
    assert text.money(usd) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (274.4, "+274 %"),
        (27.36, "+27.4 %"),
        (-0.4, "-0.40 %"),
        (0.0, "+0.00 %"),
        (None, "unknown"),
        (math.inf, "unknown"),
    ],
)
def test_percent(value: float | None, said: str) -> None:
    assert text.percent(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "unknown"),
        (0.004, "4 ms"),
        (4.21, "4.2 s"),
        (59.7, "1 min 00 s"),
        (192, "3 min 12 s"),
        (7500, "2 h 05 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_duration(seconds: float | None, said: str) -> None:
    assert text.duration(seconds) == said


def test_metric_has_unit_and_interval() -> None:
    assert text.metric("samples_per_s", 12345.0, (12085.0, 12605.0)) == "12,345 samples/s ± 2.1 %"
    assert text.metric("usd_per_million_samples", 0.000357) == "$0.000357"
    assert text.metric("auc", 0.78123) == "0.7812"
    assert text.metric("of_the_job_itself", 3.5) == "3.500"


def test_absent_is_unknown_and_never_zero() -> None:
    assert text.metric("samples_per_s", None) == "unknown"
    assert text.metric("samples_per_s", math.nan) == "unknown"
    assert "unknown" in text.spend(Spend(wall_s=10, core_s=20))


def test_infinite_interval_is_left_out() -> None:
    assert text.metric("samples_per_s", 100.0, (-math.inf, math.inf)) == "100 samples/s"


def test_spend_names_everything_known() -> None:
    used = Spend(wall_s=252, core_s=504, gpu_s=7200, usd=Decimal("0.0056"), energy_j=7.2e6)
    assert text.spend(used) == "4 min 12 s, 0.14 core-hours, 2 GPU-hours, $0.00560, 2 kWh"


def test_count() -> None:
    assert [text.count(n) for n in (950.0, 5.7e6, 1.234e9)] == [
        "950",
        "5.7 million",
        "1.23 billion",
    ]


def test_ago() -> None:
    moments = [None, NOW, NOW - timedelta(minutes=3), NOW - timedelta(days=2, hours=3)]
    assert [text.ago(moment, NOW) for moment in moments] == ["-", "0 s ago", "3 min ago", "2 d ago"]


def test_changed_params_shows_only_differences() -> None:
    assert text.changed_params(BEST, BASELINE) == "shard_strategy=table_wise nnodes=2"
    assert text.changed_params(BASELINE, BASELINE) == "(default)"
    assert text.changed_params({"a": 1}, {"a": 1, "b": True}) == "b=-"


def test_change_pct_without_reference_is_none() -> None:
    assert text.change_pct(3.0, 2.0) == pytest.approx(50.0)
    assert text.change_pct(3.0, 0.0) is None
    assert text.change_pct(0.0, 0.0) == 0.0
    assert text.change_pct(None, 2.0) is None
