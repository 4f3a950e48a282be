"""Results on standard output: tables for people, JSON and CSV for programs.

JSON keys are the fields of the dataclasses; they are only ever added to.
"""

import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


FormatOption = Annotated[
    Format, typer.Option("--output", "-o", help="How the result is printed.", show_default=True)
]

_STYLES = {
    "complete": "green",
    "succeeded": "green",
    "live": "green",
    "canary": "green",
    "better": "green",
    "ok": "green",
    "running": "cyan",
    "searching": "cyan",
    "confirming": "cyan",
    "failed": "red",
    "fail": "red",
    "warn": "yellow",
    "cancelled": "yellow",
    "paused": "yellow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under headings; `right` names the columns aligned to the right."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    right: frozenset[str] = frozenset()


def show_all(items: Sequence[object], form: Format, table: Callable[[], Table]) -> None:
    """Prints a list of dataclasses."""
    if form is Format.TABLE:
        print_table(table())
    else:
        print_data([to_data(item) for item in items], form)


def show_one(item: object, form: Format, lines: Callable[[], Sequence[str]]) -> None:
    """Prints one dataclass: as a JSON object, a CSV row, or the given lines."""
    if form is Format.TABLE:
        print_lines(lines())
    elif form is Format.CSV:
        print_data([to_data(item)], form)
    else:
        indent = 2 if form is Format.JSON else None
        typer.echo(json.dumps(to_data(item), indent=indent))


def to_data(item: object) -> dict[str, object]:
    """The fields of a dataclass as JSON knows them; what is not finite becomes null."""
    from pydantic import TypeAdapter

    data: dict[str, object] = json.loads(TypeAdapter(type(item)).dump_json(item))
    return data


def print_data(rows: Sequence[dict[str, object]], form: Format) -> None:
    """Prints objects as a JSON list, as a line each, or as CSV with dotted columns."""
    if form is Format.JSON:
        typer.echo(json.dumps(rows, indent=2))
    elif form is Format.JSONL:
        for row in rows:
            typer.echo(json.dumps(row))
    else:
        _print_csv(rows)


def _print_csv(rows: Sequence[dict[str, object]]) -> None:
    import pandas as pd

    frame = pd.json_normalize(list(rows))
    # A part that some rows lack leaves an empty column beside those of its fields.
    nested = [c for c in frame.columns if any(o.startswith(f"{c}.") for o in frame.columns)]
    frame = frame.drop(columns=nested)
    for name in frame.columns:
        frame[name] = [_csv_cell(cell) for cell in frame[name]]
    typer.echo(frame.to_csv(index=False), nl=False)


def _csv_cell(cell: object) -> object:
    return json.dumps(cell) if isinstance(cell, list | dict) else cell


def print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        typer.echo(line)


def print_table(table: Table) -> None:
    """Fitted to a terminal and coloured there; elsewhere as wide as it is, one row a line."""
    if not table.rows:
        typer.echo("nothing to show", err=True)
        return
    if sys.stdout.isatty():
        console(sys.stdout).print(rich_table(table))
    else:
        print_lines(aligned(table))


def aligned(table: Table) -> list[str]:
    """A table as plain lines, never cut."""
    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=10_000, no_color=True, highlight=False).print(rich_table(table))
    return [line.rstrip() for line in text.getvalue().splitlines()]


def rich_table(table: Table) -> "RichTable":
    from rich.table import Table as RichTable
    from rich.text import Text

    headed = any(table.columns)
    rich = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=headed)
    for index, column in enumerate(table.columns):
        justify: Literal["left", "right"] = "right" if column in table.right else "left"
        last = index == len(table.columns) - 1
        rich.add_column(Text(column, "bold"), justify=justify, no_wrap=not last, overflow="fold")
    for row in table.rows:
        rich.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))
    return rich


def console(stream: TextIO) -> "Console":
    """Rich decides by itself about colour: TTY, NO_COLOR, TERM."""
    from rich.console import Console

    return Console(file=stream, highlight=False, soft_wrap=False)
