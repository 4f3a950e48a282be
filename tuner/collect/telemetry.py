"""Files that monitoring tools write beside the log of a gang, to what the gang used."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tuner import tally
from tuner.collect.monitors import Dcgm, GpuReading, NvidiaSmi, Parser
from tuner.collect.slurm import Accounting
from tuner.collect.sources import Span
from tuner.spec import LogFile
from tuner.tally import Track

_RATES = ("nvlink_tx_bytes_per_s", "nvlink_rx_bytes_per_s")


class UsageFile(Protocol):
    """A file that says what the gang used."""

    span: Span
    """The lines that said something."""

    def read(self, text: str, t_s: float | None, source: str) -> None:
        """Takes in a line, and the second by which it was there."""
        ...

    def usage(self) -> dict[str, float]:
        """Over the run so far; unknown is absent."""
        ...

    def notes(self) -> list[str]: ...


USAGE_FORMATS: Mapping[str, Callable[[Sequence[str]], UsageFile]] = {
    "nvidia_smi": lambda columns: GpuFile(NvidiaSmi(columns)),
    "dcgm": lambda columns: GpuFile(Dcgm(columns)),
    "sacct": Accounting,
}
"""By name; each is made with the names of the columns, if the file does not tell them."""


def usage_file(file: LogFile) -> UsageFile | None:
    """The reader of a file of usage; None where its format is one of logs."""
    make = USAGE_FORMATS.get(file.format)
    return make(file.columns) if make is not None else None


class GpuFile:
    """Readings of GPUs, each dated by when its line was there."""

    def __init__(self, parse: Parser) -> None:
        self.span = Span()
        self._parse = parse
        self._tallies: dict[str, dict[str, Track]] = {}
        self._latest_s = 0.0
        self._xid: dict[str, tuple[float, int]] = {}
        """GPU -> its latest error and how many came."""

    def read(self, text: str, t_s: float | None, source: str) -> None:
        """A line without a time counts as written at the time of the one before."""
        self._latest_s = max(self._latest_s, t_s or 0.0)
        found = self._parse(text)
        if found:
            self.span.add(source)
        for reading in found:
            self._add(reading)

    def _add(self, reading: GpuReading) -> None:
        tracks = self._tallies.setdefault(reading.gpu, {})
        if reading.name == "xid":
            before, count = self._xid.get(reading.gpu, (reading.value, 0))
            is_new = reading.value not in (0.0, before)
            self._xid[reading.gpu] = reading.value, count + is_new
            return
        tracks.setdefault(reading.name, Track()).add(self._latest_s, reading.value)
        if reading.name in _RATES:
            moved = sum(tracks[rate].integral for rate in _RATES if rate in tracks)
            tracks.setdefault("nvlink_bytes", Track()).add(self._latest_s, moved)

    def usage(self) -> dict[str, float]:
        used = tally.over_run(list(self._tallies.values()))
        if self._xid:
            used["gpu_xid_errors"] = float(sum(count for _, count in self._xid.values()))
        return used

    def notes(self) -> list[str]:
        return []
