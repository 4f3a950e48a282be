"""Money: exact decimal numbers. Stores keep every digit as text; everywhere else JSON shows a plain
number, rounded to a billionth."""

from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

EXACT = {"exact": True}
"""The context in which pydantic writes money as text with every digit."""

_BILLIONTH = Decimal("1e-9")


class _AsNumber:
    """How pydantic, where it is used at the edges, writes and describes an amount of money."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        from pydantic_core import core_schema

        written = core_schema.plain_serializer_function_ser_schema(
            _written, info_arg=True, when_used="json"
        )
        return core_schema.chain_schema([handler(source)], serialization=written)

    def __get_pydantic_json_schema__(
        self, schema: "CoreSchema", handler: "GetJsonSchemaHandler"
    ) -> "JsonSchemaValue":
        return {"type": "number"}


Money = Annotated[Decimal, _AsNumber()]


def _written(amount: Decimal, info: "SerializationInfo[dict[str, bool] | None]") -> str | float:
    if info.context is not None and info.context.get("exact"):
        return str(amount)
    return float(round(amount, 9))


def decimal(value: float) -> Decimal:
    """A measured number as the decimal that it is written as."""
    return Decimal(str(value))


def charged(amount: Decimal) -> Decimal:
    """An amount as it is put down: to a billionth, never less than it is."""
    return amount.quantize(_BILLIONTH, rounding=ROUND_CEILING)
