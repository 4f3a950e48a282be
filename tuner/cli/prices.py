"""`trimtab prices ...`: price books."""

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli import output, session
from tuner.cli.output import Format, FormatOption
from tuner.errors import UserError

if TYPE_CHECKING:
    from tuner.prices import Exchange, PriceBook, Rate

app = typer.Typer(help="Make and look at price books.", no_args_is_help=True)


@app.command("import")
def import_prices(
    export: Annotated[Path, typer.Argument(help="A FOCUS 1.2 billing export: .csv or .csv.gz.")],
    file: Annotated[Path, typer.Option("--file", "-f", help="Where to write the price book.")],
    region: Annotated[
        str | None, typer.Option("--region", help="Only charges of this RegionName.")
    ] = None,
    usd_per_unit: Annotated[
        str | None, typer.Option("--usd-per-unit", help="Dollars for one unit of its currency.")
    ] = None,
    rate_as_of: Annotated[
        str | None, typer.Option("--rate-as-of", help="The day of that rate, YYYY-MM-DD.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite.")] = False,
) -> None:
    """Make a price book of what computing has cost, by a billing export."""
    from tuner import focus, pricefile

    if file.exists() and not force:
        raise UserError(f"{file} exists. Remedy: --force overwrites it, --file names another")
    found = focus.read_export(export, region=region, exchange=_exchange(usd_per_unit, rate_as_of))
    pricefile.write_prices(found.book, file)
    typer.echo(str(file))
    skipped = sum(found.rows_skipped.values())
    session.narrate(f"{found.rows_used} charges used, {skipped} rows or sums left out")
    for why, count in sorted(found.rows_skipped.items(), key=lambda pair: -pair[1]):
        session.narrate(f"  {count}: {why}")


def _exchange(usd_per_unit: str | None, as_of: str | None) -> "Exchange | None":
    from tuner.prices import Exchange

    if usd_per_unit is None and as_of is None:
        return None
    if usd_per_unit is None or as_of is None:
        raise UserError("an exchange rate needs both --usd-per-unit and --rate-as-of")
    try:
        return Exchange(usd_per_unit=Decimal(usd_per_unit), as_of=as_of)
    except (ValueError, InvalidOperation) as error:
        raise UserError(f"not an exchange rate: {error}") from error


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(help="A price book.")], form: FormatOption = Format.TABLE
) -> None:
    """Show a price book and how old it is."""
    from tuner import pricefile

    book = pricefile.load_prices(file)
    output.show_one(book, form, lambda: _lines(book, datetime.now(UTC).date()))


def _lines(book: "PriceBook", today: date) -> list[str]:
    from tuner import pricefile

    facts = [
        ("As of", f"{book.as_of}, {pricefile.age(book, today)}"),
        ("Source", book.source or "not given"),
        ("Currency", _currency(book)),
        ("Electricity", _electricity(book)),
    ]
    prices = [("core", "", "", book.per_core_hour)]
    prices += [(f"GPU {name}", "", "", rate) for name, rate in book.per_gpu_hour.items()]
    prices += [
        (name, str(kind.cores or "whole"), str(kind.gpus), kind.per_hour)
        for name, kind in book.node_types.items()
    ]
    columns = ("Price of an hour", "Cores", "GPUs", "On demand", "Spot", "Reserved")
    rows = [(name, cores, gpus, *_rate(rate)) for name, cores, gpus, rate in prices]
    table = output.Table(columns=columns, rows=rows, right=frozenset(columns[1:]))
    return [
        *output.aligned(output.Table(columns=("", ""), rows=facts)),
        "",
        *output.aligned(table),
    ]


def _rate(rate: "Rate") -> tuple[str, str, str]:
    prices = (rate.on_demand, rate.spot, rate.reserved)
    on_demand, spot, reserved = ("unknown" if price is None else f"{price:f}" for price in prices)
    return on_demand, spot, reserved


def _currency(book: "PriceBook") -> str:
    if book.exchange is None:
        return book.currency
    return f"{book.currency}, {book.exchange.usd_per_unit} USD each on {book.exchange.as_of}"


def _electricity(book: "PriceBook") -> str:
    if book.per_kwh is None:
        return "included in the prices of hours"
    return f"{book.per_kwh:f} a kWh, power usage effectiveness {book.pue:f}"
