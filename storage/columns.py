"""Column types: nested nouns as JSON, times in UTC, words of an enumeration, readings."""

import json
import math
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import DateTime, Double, Enum, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from tuner.money import EXACT


@cache
def _adapter(noun: Any) -> TypeAdapter[Any]:
    return TypeAdapter(noun)


def nested_json(noun: Any, value: object) -> str:
    """A value of the type `noun` as JSON. NaN and infinities are written as Python writes them,
    money as text with every digit."""
    plain = _adapter(noun).dump_python(value, mode="json", context=EXACT)
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def nested_value(noun: Any, text: str) -> Any:
    """The value back. Raises ValueError where the text is not a `noun`."""
    return _adapter(noun).validate_json(text)


class Nested(TypeDecorator[Any]):
    """A noun within a noun, as JSON text."""

    impl = Text
    cache_ok = True

    def __init__(self, noun: Any) -> None:
        self.noun = noun
        super().__init__()

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else nested_json(self.noun, value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else nested_value(self.noun, value)


class Utc(TypeDecorator[datetime]):
    """An aware moment. Databases without time zones keep it as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Reading(TypeDecorator[float]):
    """A measured number. NaN, which a diverged loss may be, is kept as NULL: SQLite has none."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        return None if value is None or math.isnan(value) else value

    def process_result_value(self, value: float | None, dialect: Dialect) -> float:
        return math.nan if value is None else value


def words(enumeration: type[StrEnum]) -> Enum:
    """A column of the values of an enumeration."""
    return Enum(
        enumeration,
        native_enum=False,
        create_constraint=False,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )
