"""Lines of one log, or of the logs of all ranks: by the job file's patterns, then by its format."""

from collections import defaultdict
from dataclasses import dataclass

from tuner import expression
from tuner.collect.formats import FORMATS, PROGRESS, Format, Readings
from tuner.collect.patterns import UserPatterns
from tuner.collect.progress import Progress
from tuner.gang import Record
from tuner.model import LaunchCommand
from tuner.space import Params
from tuner.spec import LogSource

MAX_FORMAT_CHARS = 16 * 1024
"""Longer lines are no progress; it bounds what a format's expression can cost."""

_PER_RANK = "_per_rank"
_PLACES = frozenset({"step", "steps", "samples", "total", "pause", "pause_s"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a log line was found."""

    rank: int
    t_s: float | None
    source: str


class LogReading:
    """A log speaks for the whole gang, whichever rank printed it: samples are those of the first
    rank that told of progress, so that ranks that print the same lines are not counted twice.

    Where something else counts the steps, it only adds values.
    """

    def __init__(
        self, log: LogSource, params: Params, command: LaunchCommand, *, counts: bool = True
    ) -> None:
        self._patterns = UserPatterns(log.patterns)
        make = FORMATS.get(log.format)
        self._format = make() if make is not None else None
        self._detector = _Detector() if log.format == "auto" else None
        self._samples_per_step = _samples_per_step(log, params)
        self._world_size = command.nnodes * command.nproc_per_node
        self._counts = counts
        self._ranks: dict[int, Progress] = {}
        self._leader: int | None = None

    @property
    def bad_lines(self) -> int:
        unsound = sum(progress.bad_lines for progress in self._ranks.values())
        return self._patterns.timeouts + unsound

    def notes(self) -> list[str]:
        return self._patterns.notes()

    def records(self, text: str, at: Place) -> list[Record]:
        if len(text) > MAX_FORMAT_CHARS:
            return []
        found = self._patterns.read(text)
        if found is not None:
            return self._recorded([(found, at)])
        if self._detector is not None:
            return self._recorded(self._detector.read(text, at))
        readings = self._format(text) if self._format is not None else None
        return self._recorded([(readings, at)]) if readings else []

    def _recorded(self, found: list[tuple[Readings, Place]]) -> list[Record]:
        records = [self._record(readings, at) for readings, at in found]
        return [record for record in records if record is not None]

    def _record(self, readings: Readings, at: Place) -> Record | None:
        if not self._counts:
            readings = {name: v for name, v in readings.items() if name not in _PLACES}
        counts = not {"step", "steps", "samples"}.isdisjoint(readings)
        if self._leader is None:
            self._leader = at.rank
        rank = at.rank if counts else self._leader
        if rank not in self._ranks:
            per_step = self._samples_per_step if rank == self._leader else None
            self._ranks[rank] = Progress(rank, per_step)
        if rank != self._leader:
            readings = {name: v for name, v in readings.items() if name not in ("samples",)}
        return self._ranks[rank].record(self._of_gang(readings), at.t_s, at.source)

    def _of_gang(self, readings: Readings) -> Readings:
        return {
            name.removesuffix(_PER_RANK): value * self._world_size
            if name.endswith(_PER_RANK)
            else value
            for name, value in readings.items()
        }


def _samples_per_step(log: LogSource, params: Params) -> float | None:
    if log.samples_per_step is None:
        return None
    value = expression.evaluate(log.samples_per_step, params)
    if not isinstance(value, int | float):
        raise ValueError(f"samples_per_step {log.samples_per_step!r} is {value!r}, not a number")
    return float(value)


class _Detector:
    """Finds out the format of a log: the first that recognises two lines of progress is kept."""

    def __init__(self) -> None:
        self._chosen: Format | None = None
        self._tried = {name: make() for name, make in FORMATS.items()}
        self._seen: defaultdict[str, list[tuple[Readings, Place]]] = defaultdict(list)

    def read(self, text: str, at: Place) -> list[tuple[Readings, Place]]:
        """The readings of a line; with the second line of a format, those of both."""
        if self._chosen is not None:
            found = self._chosen(text)
            return [(found, at)] if found else []
        for name, format_ in self._tried.items():
            found = format_(text)
            if found and not PROGRESS.isdisjoint(found):
                self._seen[name].append((found, at))
                if len(self._seen[name]) == 2:
                    self._chosen = format_
                    return self._seen[name]
                return []
        return []
