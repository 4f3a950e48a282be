"""Billing exports to price books: what counts, what is left out and why."""

import csv
import gzip
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from tuner import focus, pricefile
from tuner.errors import UserError
from tuner.focus import Imported
from tuner.prices import Exchange, NodeType, Rate

ROW = {
    "BillingCurrency": "USD",
    "ChargeCategory": "Usage",
    "ChargeClass": "",
    "ChargePeriodStart": "2026-10-31T23:00:00Z",
    "ChargePeriodEnd": "2026-11-01T00:00:00Z",
    "CommitmentDiscountStatus": "",
    "EffectiveCost": "0.4",
    "ListUnitPrice": "0.5",
    "PricingCategory": "Standard",
    "PricingQuantity": "1",
    "PricingUnit": "Hours",
    "RegionName": "north",
    "ServiceCategory": "Compute",
    "SkuId": "sku-1",
    "SkuPriceDetails": json.dumps({"InstanceType": "n8", "CoreCount": 8, "x_Local": True}),
}


def imported(
    folder: Path,
    *changes: Mapping[str, str],
    region: str | None = None,
    exchange: Exchange | None = None,
) -> Imported:
    path = folder / "export.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.DictWriter(stream, list(ROW))
        writer.writeheader()
        writer.writerows({**ROW, **change} for change in changes)
    return focus.read_export(path, region=region, exchange=exchange)


def test_an_hour_costs_what_all_hours_cost_together(tmp_path: Path) -> None:
    found = imported(
        tmp_path,
        {},
        {"EffectiveCost": "0.5", "PricingQuantity": "2"},
        {"PricingCategory": "Dynamic", "EffectiveCost": "0.1"},
        {"PricingCategory": "Committed", "EffectiveCost": "1.0", "PricingQuantity": "3"},
    )
    rate = Rate(on_demand=Decimal("0.3"), spot=Decimal("0.1"), reserved=Decimal("0.333333333"))
    assert found.book.node_types == {"n8": NodeType(cores=8, per_hour=rate)}
    assert found.book.as_of == "2026-10-31", "the end of a period is exclusive"
    assert "4 charges" in found.book.source
    assert (found.rows_used, found.rows_skipped) == (4, {})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ChargeCategory": "Tax"}, "ChargeCategory is not Usage"),
        ({"ServiceCategory": "Storage"}, "ServiceCategory is not Compute"),
        ({"ChargeClass": "Correction"}, "corrects an earlier period"),
        ({"CommitmentDiscountStatus": "Unused"}, "an unused commitment"),
        ({"PricingCategory": "Other"}, "PricingCategory is not Standard, Dynamic or Committed"),
        ({"PricingUnit": "GB-Hours"}, "not priced by time"),
        ({"PricingUnit": ""}, "not priced by time"),
        ({"PricingQuantity": "0"}, "no quantity"),
        ({"EffectiveCost": "much"}, "a number that cannot be read"),
        ({"ChargePeriodEnd": "now"}, "a time that cannot be read"),
        ({"SkuPriceDetails": "{"}, "SkuPriceDetails that cannot be read"),
        (
            {"SkuPriceDetails": "", "SkuId": ""},
            "neither SkuPriceDetails.InstanceType nor SkuMeter nor SkuId",
        ),
        (
            {"EffectiveCost": "0", "SkuPriceDetails": "", "SkuId": "free"},
            "free on_demand comes to no cost",
        ),
    ],
)
def test_what_is_no_price_is_counted_by_its_reason(
    tmp_path: Path, change: dict[str, str], why: str
) -> None:
    found = imported(tmp_path, {}, change)
    assert found.rows_skipped == {why: 1}
    assert list(found.book.node_types) == ["n8"]


def test_units_of_time_devices_and_counts(tmp_path: Path) -> None:
    found = imported(
        tmp_path,
        {"PricingUnit": "100 Hours", "PricingQuantity": "0.01"},
        {"PricingUnit": "Seconds", "PricingQuantity": "3600"},
        {"PricingUnit": "Core-Hours", "EffectiveCost": "0.04"},
        {"PricingUnit": "GPU-Hours", "EffectiveCost": "2", "PricingCategory": "Dynamic"},
    )
    assert found.book.node_types["n8"].per_hour.on_demand == Decimal("0.4")
    assert found.book.per_core_hour == Rate(on_demand=Decimal("0.04"))
    assert found.book.per_gpu_hour == {"any": Rate(spot=Decimal(2))}


def test_regions_have_prices_of_their_own(tmp_path: Path) -> None:
    south = {"RegionName": "south", "EffectiveCost": "0.6"}
    both = imported(tmp_path, {}, south)
    assert {n: t.per_hour.on_demand for n, t in both.book.node_types.items()} == {
        "n8 north": Decimal("0.4"),
        "n8 south": Decimal("0.6"),
    }
    one = imported(tmp_path, {}, south, region="south")
    assert one.book.node_types["n8"].per_hour.on_demand == Decimal("0.6")
    assert one.rows_skipped == {"another region": 1}


def test_gpus_of_a_node_and_unknown_cores(tmp_path: Path) -> None:
    found = imported(
        tmp_path,
        {"SkuPriceDetails": '{"InstanceType": "g4", "CoreCount": "48", "GpuCount": 4}'},
        {"SkuPriceDetails": "", "SkuId": "sku-9"},
    )
    assert (found.book.node_types["g4"].cores, found.book.node_types["g4"].gpus) == (48, 4)
    assert found.book.node_types["sku-9"].cores is None


@pytest.mark.parametrize(("unit", "kind"), [("GPU-Hours", "gpu"), ("Core-Hours", "core")])
def test_devices_of_several_skus_have_no_common_price(tmp_path: Path, unit: str, kind: str) -> None:
    rows = ({"PricingUnit": unit, "SkuId": "T4"}, {"PricingUnit": unit, "SkuId": "H100"})
    with pytest.raises(UserError, match=rf"{kind}-hours of several SKUs \(H100, T4\).*Remedy"):
        imported(tmp_path, {}, *rows)
    spot = {**rows[1], "PricingCategory": "Dynamic"}
    assert imported(tmp_path, {}, rows[0], rows[0], spot).rows_used == 4, "spot is billed apart"


def test_another_currency_needs_its_rate(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"bills in EUR.*--usd-per-unit"):
        imported(tmp_path, {"BillingCurrency": "EUR"})
    rate = Exchange(usd_per_unit=Decimal("1.1"), as_of="2026-11-01")
    book = imported(tmp_path, {"BillingCurrency": "EUR"}, exchange=rate).book
    assert (book.currency, book.exchange) == ("EUR", rate)
    with pytest.raises(UserError, match="bills in EUR, USD"):
        imported(tmp_path, {}, {"BillingCurrency": "EUR"}, exchange=rate)


def test_an_export_without_prices_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2: ServiceCategory is not Compute"):
        imported(tmp_path, {"ServiceCategory": "AI"}, {"ServiceCategory": "AI"})
    with pytest.raises(UserError, match="no cost above 0"):
        imported(tmp_path, {"EffectiveCost": "0"})


def test_files_that_are_no_export_are_named_with_a_remedy(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"lacks BillingCurrency, .*Remedy"):
        focus.read_export(other, region=None, exchange=None)
    with pytest.raises(UserError, match="Parquet is not read"):
        focus.read_export(tmp_path / "x.parquet", region=None, exchange=None)
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(b"no gzip")
    with pytest.raises(UserError, match="cannot be read"):
        focus.read_export(broken, region=None, exchange=None)
    packed = bytearray(gzip.compress(bytes(range(256)) * 400))
    packed[12:400] = b"\xff" * 388
    broken.write_bytes(packed)
    with pytest.raises(UserError, match="cannot be read"):
        focus.read_export(broken, region=None, exchange=None)
    with pytest.raises(UserError, match="cannot be read"):
        focus.read_export(tmp_path / "missing.csv", region=None, exchange=None)


def test_a_compressed_export_reads_the_same_and_the_book_comes_back(tmp_path: Path) -> None:
    plain = imported(tmp_path, {}, {"PricingCategory": "Dynamic", "EffectiveCost": "0.05"})
    packed = tmp_path / "export.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "export.csv").read_bytes()))
    again = focus.read_export(packed, region=None, exchange=None)
    assert again.book.node_types == plain.book.node_types
    file = tmp_path / "prices.yaml"
    file.write_text(pricefile.dump_prices(plain.book), encoding="utf-8")
    assert pricefile.load_prices(file) == plain.book
