"""Column types: what goes in comes out."""

import math
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from storage.codec import TABLE, row_of
from storage.columns import Nested, Utc, nested_json, nested_value
from storage.facts import ORDER
from tests import store_facts as facts
from tuner.expression import Value
from tuner.interfaces import Fact
from tuner.model import Failure, FailureKind, Measurement, Plan
from tuner.spec import JobSpec

DIALECTS: tuple[Dialect, ...] = (sqlite.dialect(), postgresql.dialect())  # type: ignore[no-untyped-call]

# A busy computer is no failure.
steady = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
floats = st.floats(allow_nan=False)
params = st.dictionaries(words, st.integers() | floats | st.booleans() | words, max_size=6)
measurements = st.builds(
    Measurement,
    metrics=st.dictionaries(words, floats, max_size=4),
    intervals=st.dictionaries(words, st.tuples(floats, floats), max_size=3),
    window_s=floats,
    warmup_s=floats,
    steps=st.integers(),
    samples=floats,
    is_stable=st.booleans(),
    notes=st.lists(words, max_size=3).map(tuple),
    stopped=st.sampled_from(["precise", "beaten", "finished", "cap"]),
)
failures = st.builds(
    Failure,
    kind=st.sampled_from(FailureKind),
    cause=words,
    remedy=words,
    rank=st.none() | st.integers(),
    log_tail=st.lists(words, max_size=3).map(tuple),
)


def through_json(noun: Any, value: object) -> object:
    kept: object = nested_value(noun, nested_json(noun, value))
    return kept


@steady
@given(params)
def test_params_come_back_with_their_types(given_params: dict[str, Value]) -> None:
    kept = nested_value(dict[str, Value], nested_json(dict[str, Value], given_params))
    assert list(kept.items()) == list(given_params.items())
    assert [type(v) for v in kept.values()] == [type(v) for v in given_params.values()]


@steady
@given(measurements)
def test_measurements_come_back(measurement: Measurement) -> None:
    assert through_json(Measurement, measurement) == measurement


@steady
@given(failures)
def test_failures_come_back(failure: Failure) -> None:
    assert through_json(Failure, failure) == failure


def test_a_specification_comes_back() -> None:
    assert through_json(JobSpec, facts.SPEC) == facts.SPEC


def test_what_is_no_number_stays_none() -> None:
    kept = nested_value(dict[str, float], nested_json(dict[str, float], {"loss": math.nan}))
    assert math.isnan(kept["loss"])


def test_text_that_is_not_the_noun_is_refused() -> None:
    with pytest.raises(ValueError, match="window_s"):
        nested_value(Measurement, '{"metrics": {}}')


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@steady
@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_moments_come_back_in_utc(dialect: Dialect, moment: datetime) -> None:
    there = moment.replace(tzinfo=timezone(timedelta(hours=-7)))
    kept = Utc().process_bind_param(there, dialect)
    assert kept is not None
    # A database without time zones gives the bare time.
    for back in (kept, kept.replace(tzinfo=None)):
        read = Utc().process_result_value(back, dialect)
        assert read == there
        assert read is not None
        assert read.tzinfo is UTC


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Utc().process_bind_param(datetime(2026, 3, 1), DIALECTS[0])  # noqa: DTZ001


@pytest.mark.parametrize("kind", ORDER, ids=lambda kind: kind.__name__)
def test_every_field_has_a_column_and_every_column_a_field(kind: type[Fact]) -> None:
    # Order and link are the store's own.
    columns = {column.name for column in TABLE[kind].columns} - {"seq", "link"}
    assert columns == {field.name for field in fields(kind)}


def test_fields_that_hold_more_than_one_value_are_nested() -> None:
    nested = {c.name for c in TABLE[Plan].columns if isinstance(c.type, Nested)}
    row = row_of(facts.plan())
    scalar = (str, int, float, bool, datetime)
    assert nested == {name for name, value in row.items() if not isinstance(value, scalar)}
