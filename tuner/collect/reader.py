"""From what a gang wrote to records, as the job file says that it is to be read."""

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace

from tuner import report
from tuner.collect import usage
from tuner.collect.formats import FORMATS
from tuner.collect.lines import Cut, LineCutter, split_rank
from tuner.collect.logs import LogReading, Place
from tuner.collect.sources import Span
from tuner.collect.telemetry import UsageFile, usage_file
from tuner.gang import FILES, Chunk, Record, RunStatus, UsageSample
from tuner.model import LaunchCommand
from tuner.space import Params
from tuner.spec import LogSource

_STREAM = re.compile(r"rank-(\d+)\.(log|metrics\.jsonl)")


class RecordReader:
    """Reads the streams of one attempt. The same bytes give the same records, however cut.

    Lines of `tuner.report` speak for their rank, a log for the whole gang. Where a file has a log
    format, it counts the steps, and what the ranks print adds values only.
    """

    def __init__(self, log: LogSource, params: Params, command: LaunchCommand) -> None:
        self.cursor: dict[str, int] = {}
        """Stream -> next byte wanted."""
        self.usage: list[UsageSample] = []
        """What the gang used by when, as far as it was read."""
        self._usage_span = Span()
        self._num_lines = 0
        self._cutters: defaultdict[str, LineCutter] = defaultdict(LineCutter)
        logs = [file for file in log.files if file.format in FORMATS]
        self._log = LogReading(log, params, command, counts=not logs)
        self._reported = _Reported(log.format, counts=log.format in ("report", "auto") and not logs)
        self._log_files = {
            FILES + file.path: LogReading(
                replace(log, format=file.format, patterns=(), files=()), params, command
            )
            for file in logs
        }
        self._usage_files = {
            FILES + file.path: found for file in log.files if (found := usage_file(file))
        }

    @property
    def bad_lines(self) -> int:
        """Lines that were dropped, wholly or in part: too long, not sound, or out of order."""
        cut = sum(cutter.bad_lines for cutter in self._cutters.values())
        logs = (self._log, *self._log_files.values())
        return cut + self._reported.bad_lines + sum(log.bad_lines for log in logs)

    @property
    def bad_share(self) -> float:
        """Bad lines over all lines, from 0 to 1."""
        return min(1.0, self.bad_lines / max(1, self._num_lines))

    def notes(self) -> list[str]:
        """What a person should know of the reading."""
        logs = (self._log, *self._log_files.values())
        said = [note for log in logs for note in log.notes()]
        return said + [note for file in self._usage_files.values() for note in file.notes()]

    def completed(self, status: RunStatus) -> RunStatus:
        """A status with the usage that files tell, where the executor has no figure of its own."""
        used: dict[str, float] = {}
        for file in reversed(self._usage_files.values()):
            used |= file.usage()
        return replace(status, usage={**used, **status.usage}) if used else status

    def usage_sources(self, status: RunStatus) -> dict[str, str]:
        """Figure of usage, for a status as the executor gave it -> the lines it was read from."""
        files = reversed(self._usage_files.values())
        found = {name: str(file.span) for file in files for name in file.usage()}
        own = str(self._usage_span)
        return {**found, **(dict.fromkeys(status.usage, own) if own else {})}

    def feed(self, chunk: Chunk) -> list[Record]:
        """The records that a chunk completes."""
        cutter = self._cutters[chunk.stream]
        bad_before = cutter.bad_lines
        lines = list(cutter.cut(chunk))
        if chunk.stream != usage.STREAM:  # its many lines are no records
            self._num_lines += len(lines) + cutter.bad_lines - bad_before
        self.cursor[chunk.stream] = cutter.offset
        name = _STREAM.fullmatch(chunk.stream)
        if name is None:
            return self._of_file(chunk.stream, lines)
        if name[2] == "log":
            return self._of_log(chunk.stream, int(name[1]), lines)
        sources = ((cut.text, f"{chunk.stream}:{cut.end}") for cut in lines)
        return [r for text, source in sources if (r := self._reported.record(text, source))]

    def _of_file(self, stream: str, lines: list[Cut]) -> list[Record]:
        if stream == usage.STREAM:
            self._take_usage(lines)
        file: UsageFile | None = self._usage_files.get(stream)
        log = self._log_files.get(stream)
        records: list[Record] = []
        for cut in lines:
            source = f"{stream}:{cut.end}"
            if file is not None:
                file.read(cut.text, cut.t_s, source)
            elif log is not None:
                records += log.records(cut.text, Place(0, cut.t_s, source))
        return records

    def _take_usage(self, lines: list[Cut]) -> None:
        for cut in lines:
            found = usage.parse(cut.text)
            if found is not None:
                self.usage.append(found)
                self._usage_span.add(f"{usage.STREAM}:{cut.end}")

    def _of_log(self, stream: str, rank: int, lines: list[Cut]) -> list[Record]:
        records: list[Record] = []
        for cut in lines:
            source = f"{stream}:{cut.end}"
            prefix, text = split_rank(cut.text)
            if text.startswith(report.PREFIX):
                found = self._reported.record(text, source)
                records += [found] if found else []
            elif not self._reported.speaks_alone:
                at = Place(rank if prefix is None else prefix, cut.t_s, source)
                records += self._log.records(text, at)
        return records


@dataclass(slots=True)
class _Reported:
    """Lines of tuner.report. Beside a named log format they add values, but count no step."""

    format: str
    counts: bool
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
        self._counted = self._counted or (self.counts and line.steps > 0)
        return Record(
            rank=line.rank,
            t_s=line.t_s,
            steps=line.steps if self.counts else 0,
            samples=line.samples if self.counts else 0.0,
            pause_s=line.pause_s if self.counts else 0.0,
            is_pausing=line.is_pausing,
            values=values,
            not_finite=tuple(name for name in line.values if name not in values),
            source=source,
        )
