"""Slurm's accounting of a job: `sacct --parsable2` (or `--parsable`), written when it has ended."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from tuner.collect.sources import Span

_SCALE = {"": 1.0, "K": 2.0**10, "M": 2.0**20, "G": 2.0**30, "T": 2.0**40, "P": 2.0**50}
_AMOUNT = re.compile(r"(\d+(?:\.\d*)?)([KMGTP]?)[nc]?")
_TIME = re.compile(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+(?:\.\d+)?)")
_UNKNOWN = frozenset({2.0**32 - 2, 2.0**32 - 1, 2.0**64 - 2, 2.0**64 - 1})
"""How Slurm writes a number that it does not know."""
_GOING_ON = ("PENDING", "RUNNING", "SUSPENDED", "REQUEUED", "RESIZING", "CONFIGURING", "COMPLETING")

Row = Mapping[str, str]
Figure = Callable[[Row], float | None]


class Accounting:
    """Rows of one job, the latest of each name.

    The job's own row counts for time, CPU and what was allocated. Memory is known of steps only
    (the largest counts; `.extern` is Slurm's own). Energy is that of the numbered steps, one after
    the other; without them that of the batch script, or of the job.
    """

    def __init__(self, columns: Sequence[str] = ()) -> None:
        self.span = Span()
        self._columns = list(columns)
        self._rows: dict[str, Row] = {}

    def read(self, text: str, t_s: float | None, source: str) -> None:
        cells = [cell.strip() for cell in text.split("|")]
        if "JobID" in cells:
            self._columns = cells
            return
        if "JobID" not in self._columns or len(cells) != len(self._columns):
            return
        row = dict(zip(self._columns, cells, strict=True))
        if row["JobID"] and not row.get("State", "").startswith(_GOING_ON):
            self._rows[row["JobID"]] = row
            self.span.add(source)

    def usage(self) -> dict[str, float]:
        job, steps = self._job(), self._steps()
        found = {
            "elapsed_s": _first(job, _elapsed_s),
            "cpu_s": _first(job, _cpu_s) or _total(steps, _cpu_s),
            "energy_j": self._energy_j(),
            "rank_peak_memory_gib": max(_all(steps, _max_rss_gib), default=None),
        }
        if all(row.get("NTasks") in ("", "1") for row in steps):
            # With a single task its memory is that of them all.
            found["peak_memory_gib"] = found["rank_peak_memory_gib"]
        usage = {name: value for name, value in found.items() if value is not None}
        cores = _allocated(job.get("AllocTRES", "")).get("cpu") if job else None
        if cores and usage.get("elapsed_s") and "cpu_s" in usage:
            usage["cpu_utilization_pct"] = 100 * usage["cpu_s"] / (usage["elapsed_s"] * cores)
        return usage

    def notes(self) -> list[str]:
        """How the job ended, where it did not end well."""
        job = self._job() or {}
        state = job.get("State", "").split(" ")[0]
        if state in ("", "COMPLETED"):
            return []
        code = f" with exit code {job['ExitCode']}" if job.get("ExitCode") else ""
        return [f"Slurm says that job {job['JobID']} ended as {state}{code}"]

    def _job(self) -> Row | None:
        return next((row for name, row in self._rows.items() if "." not in name), None)

    def _steps(self) -> list[Row]:
        named = ((name.partition(".")[2], row) for name, row in self._rows.items())
        return [row for step, row in named if step and step != "extern"]

    def _energy_j(self) -> float | None:
        by_step = {name.partition(".")[2]: row for name, row in self._rows.items()}
        numbered = [row for step, row in by_step.items() if step.isdigit()]
        return (
            _total(numbered, _joules)
            or _first(by_step.get("batch"), _joules)
            or _first(self._job(), _joules)
        )


def _all(rows: Iterable[Row], figure: Figure) -> list[float]:
    return [value for row in rows if (value := figure(row)) is not None]


def _total(rows: Iterable[Row], figure: Figure) -> float | None:
    values = _all(rows, figure)
    return sum(values) if values else None


def _first(row: Row | None, figure: Figure) -> float | None:
    return figure(row) if row is not None else None


def _elapsed_s(row: Row) -> float | None:
    raw = row.get("ElapsedRaw", "")
    return float(raw) if raw.isdigit() else _seconds(row.get("Elapsed", ""))


def _cpu_s(row: Row) -> float | None:
    """User and system time; 0 is what Slurm says when it took no account."""
    return _seconds(row.get("TotalCPU", "")) or None


def _max_rss_gib(row: Row) -> float | None:
    """Of the largest task; a number without a unit is in bytes."""
    size = _amount(row.get("MaxRSS", ""))
    return size / 2**30 if size else None


def _joules(row: Row) -> float | None:
    """0 is what Slurm says where nothing measures energy."""
    stated = row.get("ConsumedEnergyRaw") or _allocated(row.get("AllocTRES", "")).get("energy")
    value = _amount(stated) if isinstance(stated, str) else stated
    return None if not value or value in _UNKNOWN else value


def _allocated(tres: str) -> dict[str, float]:
    """`cpu=20,mem=40000M,gres/gpu=1` as numbers."""
    pairs = (part.partition("=") for part in tres.split(","))
    return {name: size for name, _, text in pairs if (size := _amount(text)) is not None}


def _amount(text: str) -> float | None:
    match = _AMOUNT.fullmatch(text)
    return float(match[1]) * _SCALE[match[2]] if match else None


def _seconds(text: str) -> float | None:
    """`[[days-]hours:]minutes:seconds`."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 86400 * days + 3600 * hours + 60 * minutes + seconds
