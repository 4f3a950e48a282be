"""What `trimtab job cost` prints."""

from collections.abc import Sequence

from tuner.cli import output, text
from tuner.cli.output import Format
from tuner.ledger import Ledger
from tuner.model import Spend


def show(ledger: Ledger, form: Format) -> None:
    """The ledger: sums and launches for people, whole as JSON, a launch a row otherwise."""
    if form in (Format.TABLE, Format.JSON):
        output.show_one(ledger, form, lambda: lines(ledger))
    else:
        output.print_data([output.to_data(line) for line in ledger.lines], form)


def lines(ledger: Ledger) -> list[str]:
    """Sums by purpose, then every launch, then what is unknown."""
    sums = [(t.purpose, str(t.launches), *_cells(t.spend)) for t in ledger.totals]
    sums.append(("all", str(len(ledger.lines)), *_cells(ledger.spend)))
    launches = [
        (
            f"{line.trial_number}.{line.attempt_number}",
            f"{line.purpose}, running" if line.is_running else line.purpose,
            *_cells(line.spend),
        )
        for line in ledger.lines
    ]
    return [
        *_facts(ledger),
        "",
        *_table(("Purpose", "Launches"), sums),
        "",
        *_table(("Launch", "Purpose"), launches),
        *_unknown(ledger),
    ]


def _facts(ledger: Ledger) -> list[str]:
    rows = [
        ("Spent", text.spend(ledger.spend)),
        ("Budget", _cap(ledger)),
        ("Prices", f"of {ledger.prices_as_of}" if ledger.prices_as_of else "none given"),
    ]
    return output.aligned(output.Table(columns=("", ""), rows=rows))


def _cap(ledger: Ledger) -> str:
    cap, spent = ledger.budget_usd, ledger.spend.usd
    if cap is None:
        return "no cap in money"
    left = text.UNKNOWN if spent is None else text.money(cap - spent)
    return f"{text.money(cap)}, of which {left} left"


def _cells(spend: Spend) -> tuple[str, ...]:
    energy = spend.energy_j
    return (
        text.duration(spend.wall_s),
        text.number(spend.core_s / 3600),
        text.number(spend.gpu_s / 3600),
        text.UNKNOWN if energy is None else text.number(energy / 3.6e6),
        text.money(spend.usd),
    )


def _table(first: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    columns = (*first, "Took", "Core-hours", "GPU-hours", "kWh", "Cost")
    right = frozenset(columns[2:]) | {"Launches"}
    return output.aligned(output.Table(columns=columns, rows=rows, right=right))


def _unknown(ledger: Ledger) -> list[str]:
    if not ledger.unknown:
        return []
    found = [f"Unknown: {line}" for line in ledger.unknown]
    if ledger.spend.usd is None and ledger.known.usd is not None:
        found.append(f"Known:   money of the others: {text.money(ledger.known.usd)}")
    return ["", *found]
