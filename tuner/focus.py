"""A price book from a billing export in the format FOCUS 1.2 (https://focus.finops.org).

Of every kind of node the price of an hour is what it cost, reductions included (`EffectiveCost`),
over the hours billed, apart for each way to buy it. What cannot be used is counted by reason.
"""

import csv
import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

from tuner.errors import UserError
from tuner.prices import ANY_GPU, Exchange, NodeType, PriceBook, Purchase, Rate

REQUIRED = (
    "BillingCurrency",
    "ChargeCategory",
    "ChargePeriodEnd",
    "EffectiveCost",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ServiceCategory",
)

_PURCHASE: dict[str, Purchase] = {
    "Standard": "on_demand",
    "Dynamic": "spot",
    "Committed": "reserved",
}

_UNIT = re.compile(
    r"(?:(?P<count>\d+) )?(?:(?P<device>core|vcpu|cpu|gpu)-)?"
    r"(?P<time>second|minute|hour|hr|day)s?",
    re.IGNORECASE,
)
_HOURS = {
    "second": Decimal(1) / 3600,
    "minute": Decimal(1) / 60,
    "hour": Decimal(1),
    "hr": Decimal(1),
    "day": Decimal(24),
}
_DIGITS = Decimal("1e-9")

Row = Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """What is billed by the hour: a kind of node, or a core or GPU."""

    kind: str
    """`node`, `core` or `gpu`."""
    name: str
    region: str
    cores: int | None
    gpus: int
    model: str = ""
    """Which cores or GPUs, by what tells their SKU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Charge:
    item: _Item
    purchase: Purchase
    cost: Decimal
    hours: Decimal
    ends: date


Prices = Mapping[tuple[_Item, Purchase], Decimal]
"""What is billed, how it was bought -> price of an hour."""


@dataclass(slots=True)
class _Sum:
    cost: Decimal = Decimal(0)
    hours: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A price book, and how much of the export it rests on."""

    book: PriceBook
    rows_used: int
    rows_skipped: dict[str, int]
    """Reason -> rows."""


@dataclass(slots=True)
class _Tally:
    sums: dict[tuple[_Item, Purchase], _Sum] = field(default_factory=dict)
    currencies: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    used: int = 0
    latest: date = date.min

    def add(self, charge: _Charge, currency: str) -> None:
        found = self.sums.setdefault((charge.item, charge.purchase), _Sum())
        found.cost += charge.cost
        found.hours += charge.hours
        self.currencies[currency] += 1
        self.latest = max(self.latest, charge.ends)
        self.used += 1


class _Skipped(Exception):
    """Why a row says nothing of a price."""


def read_export(path: Path, *, region: str | None, exchange: Exchange | None) -> Imported:
    """The price book of an export, CSV or CSV.gz. Raises UserError where it holds no prices."""
    tally = _Tally()
    for row in _rows(path):
        try:
            charge = _charge(row, region)
        except _Skipped as why:
            tally.skipped[str(why)] += 1
        else:
            tally.add(charge, row["BillingCurrency"] or "")
    if not tally.used:
        raise UserError(f"{path} has no row that prices computing by time: {_said(tally.skipped)}")
    currency = _currency(tally, exchange, path)
    book = _book(tally, currency, exchange, path)
    return Imported(book=book, rows_used=tally.used, rows_skipped=dict(tally.skipped))


def _rows(path: Path) -> Iterator[Row]:
    if path.suffix == ".parquet":
        raise UserError(f"{path}: Parquet is not read. Remedy: export it as CSV or CSV.gz")
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(
                    f"{path} is no FOCUS 1.2 export: it lacks {', '.join(missing)}. Remedy: export "
                    "with these columns"
                )
            yield from reader
    except (OSError, UnicodeDecodeError, csv.Error, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _charge(row: Row, region: str | None) -> _Charge:
    where = row.get("RegionName") or row.get("RegionId") or ""
    _check(row)
    if region is not None and where != region:
        raise _Skipped("another region")
    purchase = _PURCHASE.get(row["PricingCategory"] or "")
    if purchase is None:
        raise _Skipped("PricingCategory is not Standard, Dynamic or Committed")
    unit = _UNIT.fullmatch(row["PricingUnit"] or "")
    if unit is None:
        raise _Skipped("not priced by time")
    cost, quantity = _number(row["EffectiveCost"]), _number(row["PricingQuantity"])
    if not quantity:
        raise _Skipped("no quantity")
    hours = quantity * int(unit["count"] or 1) * _HOURS[unit["time"].lower()]
    item = _item(row, (unit["device"] or "").lower(), where)
    return _Charge(item=item, purchase=purchase, cost=cost, hours=hours, ends=_last_day(row))


def _check(row: Row) -> None:
    """Raises _Skipped for what is no use of computing in its own period."""
    for column, wanted in (("ChargeCategory", "Usage"), ("ServiceCategory", "Compute")):
        if row[column] != wanted:
            raise _Skipped(f"{column} is not {wanted}")
    if row.get("ChargeClass") == "Correction":
        raise _Skipped("corrects an earlier period")
    if row.get("CommitmentDiscountStatus") == "Unused":
        raise _Skipped("an unused commitment")


def _number(text: str | None) -> Decimal:
    try:
        number = Decimal(text or "")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise _Skipped("a number that cannot be read")
    return number


def _last_day(row: Row) -> date:
    try:
        ends = datetime.fromisoformat(row["ChargePeriodEnd"] or "")
    except ValueError as error:
        raise _Skipped("a time that cannot be read") from error
    return (ends - timedelta(microseconds=1)).date()  # the end is exclusive


def _item(row: Row, device: str, region: str) -> _Item:
    if device:
        kind = "gpu" if device == "gpu" else "core"
        model = row.get("SkuMeter") or row.get("SkuId") or ""
        return _Item(kind=kind, name=kind, region=region, cores=None, gpus=0, model=model)
    details = _details(row)
    name = details.get("InstanceType") or row.get("SkuMeter") or row.get("SkuId")
    if not name:
        raise _Skipped("neither SkuPriceDetails.InstanceType nor SkuMeter nor SkuId")
    cores, gpus = _count(details.get("CoreCount")), _count(details.get("GpuCount"))
    return _Item(kind="node", name=str(name), region=region, cores=cores or None, gpus=gpus or 0)


def _details(row: Row) -> Mapping[str, object]:
    try:
        details = json.loads(row.get("SkuPriceDetails") or "{}")
    except ValueError as error:
        raise _Skipped("SkuPriceDetails that cannot be read") from error
    return details if isinstance(details, dict) else {}


def _count(value: object) -> int | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return int(number) if number.is_finite() and number == int(number) else None


def _currency(tally: _Tally, exchange: Exchange | None, path: Path) -> str:
    if len(tally.currencies) > 1:
        found = ", ".join(sorted(tally.currencies))
        raise UserError(f"{path} bills in {found}. Remedy: export one currency at a time")
    (currency,) = tally.currencies
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise UserError(f"{path} bills in {currency!r}, which is no ISO 4217 currency")
    if currency != "USD" and exchange is None:
        raise UserError(f"{path} bills in {currency}. Remedy: add --usd-per-unit and --rate-as-of")
    return currency


def _book(tally: _Tally, currency: str, exchange: Exchange | None, path: Path) -> PriceBook:
    prices = dict(_prices(tally))
    if not prices:
        raise UserError(f"{path} has no cost above 0: {_said(tally.skipped)}")
    gpu = _device(prices, "gpu", path)
    return PriceBook(
        as_of=tally.latest.isoformat(),
        source=f"FOCUS export {path.name}, {tally.used} charges until {tally.latest}",
        currency=currency,
        exchange=exchange if currency != "USD" else None,
        per_core_hour=_device(prices, "core", path) or Rate(),
        per_gpu_hour={} if gpu is None else {ANY_GPU: gpu},
        node_types=dict(sorted(_node_types(prices).items())),
    )


def _device(prices: Prices, kind: str, path: Path) -> Rate | None:
    """The price of cores or GPUs. Raises UserError where there are several, as a book has one."""
    found = {(i, p): price for (i, p), price in prices.items() if i.kind == kind}
    if len({item.region for item, _ in found}) > 1:
        raise UserError(f"{path}: {kind}s of several regions. Remedy: add --region")
    if len({purchase for _, purchase in found}) < len(found):
        models = ", ".join(sorted({item.model or "(unnamed)" for item, _ in found}))
        raise UserError(
            f"{path}: {kind}-hours of several SKUs ({models}) have no common price. Remedy: keep "
            f"the rows of one in the export, and add the others to the book by hand"
        )
    return Rate(**{p: price for (_, p), price in found.items()}) if found else None


def _node_types(prices: Prices) -> dict[str, NodeType]:
    nodes = list(dict.fromkeys(item for item, _ in prices if item.kind == "node"))
    found: dict[str, NodeType] = {}
    for item in nodes:
        is_everywhere = len({other.region for other in nodes if other.name == item.name}) == 1
        name = item.name if is_everywhere else f"{item.name} {item.region}"
        if name in found:
            name = f"{name} ({item.cores or 'unknown'} cores, {item.gpus} GPUs)"
        rate = Rate(**{p: price for (i, p), price in prices.items() if i == item})
        found[name] = NodeType(cores=item.cores, gpus=item.gpus, per_hour=rate)
    return found


def _prices(tally: _Tally) -> Iterator[tuple[tuple[_Item, Purchase], Decimal]]:
    """What costs nothing is left out: a free allowance is no price."""
    for key, found in tally.sums.items():
        if found.hours > 0 and found.cost > 0:
            yield key, (found.cost / found.hours).quantize(_DIGITS).normalize()
        else:
            tally.skipped[f"{key[0].name} {key[1]} comes to no cost"] += 1


def _said(skipped: Mapping[str, int]) -> str:
    return "; ".join(f"{count}: {why}" for why, count in skipped.items()) or "it has no rows"
