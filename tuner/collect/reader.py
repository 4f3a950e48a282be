"""From what the ranks of a gang wrote to records, as the job file says that it is to be read."""

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field

from tuner import expression, report
from tuner.collect import usage
from tuner.collect.formats import FORMATS, PROGRESS, Format, Readings
from tuner.collect.lines import Cut, LineCutter, split_rank
from tuner.collect.patterns import UserPatterns
from tuner.collect.progress import Progress
from tuner.gang import Chunk, Record, UsageSample
from tuner.model import LaunchCommand
from tuner.space import Params
from tuner.spec import LogSource

MAX_FORMAT_CHARS = 16 * 1024
"""Longer lines are no progress; it bounds what a format's expression can cost."""

_STREAM = re.compile(r"rank-(\d+)\.(log|metrics\.jsonl)")
_PER_RANK = "_per_rank"


class RecordReader:
    """Reads the streams of one attempt. The same bytes give the same records, however cut.

    A log speaks for the whole gang, whichever rank printed it: samples are those of the first rank
    that told of progress, so that ranks that print the same lines are not counted twice. Lines of
    `tuner.report` speak for their rank.
    """

    def __init__(self, log: LogSource, params: Params, command: LaunchCommand) -> None:
        self.cursor: dict[str, int] = {}
        """Stream -> next byte wanted."""
        self.usage: list[UsageSample] = []
        """What the gang used by when, as far as it was read."""
        self._cutters: defaultdict[str, LineCutter] = defaultdict(LineCutter)
        self._log = _LogReading(log, params, command)
        self._reported = _Reported(log.format)

    @property
    def bad_lines(self) -> int:
        """Lines that were dropped, wholly or in part: too long, not sound, or out of order."""
        cut = sum(cutter.bad_lines for cutter in self._cutters.values())
        return cut + self._log.bad_lines + self._reported.bad_lines

    def feed(self, chunk: Chunk) -> list[Record]:
        """The records that a chunk completes."""
        cutter = self._cutters[chunk.stream]
        name = _STREAM.fullmatch(chunk.stream)
        lines = list(cutter.cut(chunk))
        self.cursor[chunk.stream] = cutter.offset
        if chunk.stream == usage.STREAM:
            self.usage += [found for cut in lines if (found := usage.parse(cut.text))]
        if name is None:
            return []
        if name[2] == "log":
            return self._of_log(chunk.stream, int(name[1]), lines)
        sources = ((cut.text, f"{chunk.stream}:{cut.end}") for cut in lines)
        return [r for text, source in sources if (r := self._reported.record(text, source))]

    def _of_log(self, stream: str, rank: int, lines: list[Cut]) -> list[Record]:
        records: list[Record] = []
        for cut in lines:
            source = f"{stream}:{cut.end}"
            prefix, text = split_rank(cut.text)
            if text.startswith(report.PREFIX):
                found = self._reported.record(text, source)
                records += [found] if found else []
            elif not self._reported.speaks_alone:
                at = _Place(rank if prefix is None else prefix, cut.t_s, source)
                records += self._log.records(text, at)
        return records


@dataclass(slots=True)
class _Reported:
    """Lines of tuner.report. Beside a named log format they add values, but count no step."""

    format: str
    bad_lines: int = 0
    _latest_s: dict[int, float] = field(default_factory=dict)
    _counted: bool = False

    @property
    def speaks_alone(self) -> bool:
        """With `auto`, a job that reports is not read twice."""
        return self.format == "auto" and self._counted

    def record(self, text: str, source: str) -> Record | None:
        line = report.parse(text)
        if line is None or line.t_s < self._latest_s.get(line.rank, 0.0):
            self.bad_lines += 1
            return None
        self._latest_s[line.rank] = line.t_s
        values = {name: value for name, value in line.values.items() if math.isfinite(value)}
        self.bad_lines += len(values) < len(line.values)
        counts = self.format in ("report", "auto")
        self._counted = self._counted or (counts and line.steps > 0)
        return Record(
            rank=line.rank,
            t_s=line.t_s,
            steps=line.steps if counts else 0,
            samples=line.samples if counts else 0.0,
            pause_s=line.pause_s if counts else 0.0,
            is_pausing=line.is_pausing,
            values=values,
            not_finite=tuple(name for name in line.values if name not in values),
            source=source,
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a log line was found."""

    rank: int
    t_s: float | None
    source: str


class _LogReading:
    """Log lines by the job file's patterns, then by its format."""

    def __init__(self, log: LogSource, params: Params, command: LaunchCommand) -> None:
        self._patterns = UserPatterns(log.patterns)
        self._format = FORMATS.get(log.format)
        self._detector = _Detector() if log.format == "auto" else None
        self._samples_per_step = _samples_per_step(log, params)
        self._world_size = command.nnodes * command.nproc_per_node
        self._ranks: dict[int, Progress] = {}
        self._leader: int | None = None

    @property
    def bad_lines(self) -> int:
        unsound = sum(progress.bad_lines for progress in self._ranks.values())
        return self._patterns.timeouts + unsound

    def records(self, text: str, at: _Place) -> list[Record]:
        if len(text) > MAX_FORMAT_CHARS:
            return []
        found = self._patterns.read(text)
        if found is not None:
            return self._recorded([(found, at)])
        if self._detector is not None:
            return self._recorded(self._detector.read(text, at))
        readings = self._format(text) if self._format is not None else None
        return self._recorded([(readings, at)]) if readings else []

    def _recorded(self, found: list[tuple[Readings, _Place]]) -> list[Record]:
        records = [self._record(readings, at) for readings, at in found]
        return [record for record in records if record is not None]

    def _record(self, readings: Readings, at: _Place) -> Record | None:
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
        self._seen: defaultdict[str, list[tuple[Readings, _Place]]] = defaultdict(list)

    def read(self, text: str, at: _Place) -> list[tuple[Readings, _Place]]:
        """The readings of a line; with the second line of a format, those of both."""
        if self._chosen is not None:
            found = self._chosen(text)
            return [(found, at)] if found else []
        for name, format_ in FORMATS.items():
            found = format_(text)
            if found and not PROGRESS.isdisjoint(found):
                self._seen[name].append((found, at))
                if len(self._seen[name]) == 2:
                    self._chosen = format_
                    return self._seen[name]
                return []
        return []
