"""The price book: what computing costs whom, and when that was read.

The figures are the user's: Trimtab knows no price by itself. What is left out is unknown, never 0;
a price of 0 has to be written down.
"""

import math
import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import ClassVar, Literal

from tuner.money import Money

_CONFIG: dict[str, object] = {"extra": "forbid", "use_attribute_docstrings": True}

Purchase = Literal["on_demand", "spot", "reserved"]

ANY_GPU = "any"
"""The name under which `per_gpu_hour` holds the price of GPUs that it does not name."""

OLD_DAYS = 90
"""A price book older than that is called old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A price for an hour, by how it is bought. What is left out is unknown."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    on_demand: Money | None = None
    spot: Money | None = None
    reserved: Money | None = None

    def __post_init__(self) -> None:
        for name in ("on_demand", "spot", "reserved"):
            price = self.of(name)
            if price is not None:
                _check(name, price)

    def of(self, purchase: Purchase) -> Decimal | None:
        """The price of one way to buy; None where it is unknown."""
        match purchase:
            case "on_demand":
                return self.on_demand
            case "spot":
                return self.spot
            case "reserved":
                return self.reserved


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeType:
    """A kind of node with a price of its own."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    cores: int | None = None
    """Cores of the whole node: a gang is then charged the share of it that it holds, the larger of
    its shares of cores and GPUs. Without it every node of a gang is charged as a whole one."""
    gpus: int = 0
    """GPUs of the whole node."""
    per_hour: Rate = field(default_factory=Rate)
    """Price of the whole node."""
    cpu_share: float = 1.0
    """Where this computer stands for such nodes (parameter `node_type`): the share of the time of
    its cores that a node gets."""
    link_mbit_per_s: float | None = None
    """Likewise the speed of the links between nodes; that of the slowest counts."""

    def __post_init__(self) -> None:
        if self.cores is not None and self.cores < 1:
            raise ValueError(f"cores must be at least 1, not {self.cores}")
        if self.gpus < 0:
            raise ValueError(f"gpus cannot be {self.gpus}")
        if not 0.01 <= self.cpu_share <= 1:
            raise ValueError(f"cpu_share must be from 0.01 to 1, not {self.cpu_share}")
        if self.link_mbit_per_s is not None and not 1 <= self.link_mbit_per_s < math.inf:
            raise ValueError(f"link_mbit_per_s must be at least 1, not {self.link_mbit_per_s}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What a unit of another currency is worth."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    usd_per_unit: Money
    """Dollars for one unit of the book's currency."""
    as_of: str
    """The day of the rate, as YYYY-MM-DD."""

    def __post_init__(self) -> None:
        date.fromisoformat(self.as_of)
        if not (self.usd_per_unit.is_finite() and self.usd_per_unit > 0):
            raise ValueError(f"usd_per_unit must be above 0, not {self.usd_per_unit}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBook:
    """What computing costs. The figures are yours: Trimtab knows no price by itself, and what is
    left out is unknown, never 0."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    as_of: str
    """The day the prices were read, as YYYY-MM-DD."""
    source: str = ""
    """Where they were read."""
    currency: str = "USD"
    """ISO 4217 code of every price here. All accounts are in USD."""
    exchange: Exchange | None = None
    """Needed where the currency is not USD."""
    per_core_hour: Rate = field(default_factory=Rate)
    """Price of a core."""
    per_gpu_hour: dict[str, Rate] = field(default_factory=dict)
    """Price of a GPU by its name as the driver gives it (`NVIDIA H100 80GB HBM3`), and under `any`
    that of all others."""
    node_types: dict[str, NodeType] = field(default_factory=dict)
    """Prices of whole nodes; `resources.node_type` chooses one, and then prices of cores and GPUs
    do not count."""
    per_kwh: Money | None = None
    """Price of electricity, added for the energy that is measured (that of GPUs). Leave it out
    where the hourly prices include energy, as those of clouds do."""
    pue: Money = Decimal(1)
    """Power usage effectiveness: energy of the whole site for each unit that computers take."""

    def __post_init__(self) -> None:
        date.fromisoformat(self.as_of)
        if not re.fullmatch(r"[A-Z]{3}", self.currency):
            raise ValueError(f"currency {self.currency!r}: use an ISO 4217 code such as EUR")
        if (self.exchange is None) != (self.currency == "USD"):
            raise ValueError(
                "a currency other than USD, and no other, needs `exchange`: its dated rate"
            )
        if self.per_kwh is not None:
            _check("per_kwh", self.per_kwh)
        if not (self.pue.is_finite() and self.pue >= 1):
            raise ValueError(f"pue must be at least 1, not {self.pue}")

    def in_usd(self, amount: Decimal) -> Decimal:
        """An amount of the book's currency in dollars."""
        return amount if self.exchange is None else amount * self.exchange.usd_per_unit

    def gpu_hour(self, name: str, purchase: Purchase) -> Decimal | None:
        """Price of a GPU by its name, in the book's currency; None where it is unknown."""
        rate = self.per_gpu_hour.get(name) or self.per_gpu_hour.get(ANY_GPU)
        return None if rate is None else rate.of(purchase)

    def age_days(self, today: date) -> int:
        """Days since the oldest of its figures (prices, exchange rate) was read."""
        days = [date.fromisoformat(self.as_of)]
        if self.exchange is not None:
            days.append(date.fromisoformat(self.exchange.as_of))
        return (today - min(days)).days


def _check(name: str, price: Decimal) -> None:
    if not (math.isfinite(price) and price >= 0):
        raise ValueError(f"{name} cannot be {price}")
