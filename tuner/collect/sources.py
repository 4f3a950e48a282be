"""Where figures were read: `stream:offset`, the byte at which their line ends."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tuner.gang import Record


@dataclass(slots=True)
class Span:
    """The first and the last line of one stream that a figure was read from."""

    stream: str = ""
    first: int = 0
    last: int = 0

    def add(self, source: str) -> None:
        stream, _, offset = source.rpartition(":")
        if not self.stream:
            self.stream, self.first = stream, int(offset)
        self.last = max(self.last, int(offset))

    def __str__(self) -> str:
        """`rank-0.log:1234-88213`, or `rank-0.log:1234` for one line; empty for none."""
        if not self.stream:
            return ""
        end = f"-{self.last}" if self.last != self.first else ""
        return f"{self.stream}:{self.first}{end}"


def span_of(sources: Iterable[str]) -> str:
    """From the first to the last line of each stream, streams apart by a blank."""
    distinct = list(dict.fromkeys(sources))
    if len(distinct) == 1:
        return distinct[0]
    spans: dict[str, Span] = {}
    for source in distinct:
        if source:
            spans.setdefault(source.rpartition(":")[0], Span()).add(source)
    return " ".join(str(span) for span in spans.values())


def thinned(curve: Sequence[tuple[float, float, str]], most: int) -> list[tuple[float, float, str]]:
    """At most so many points (second, value, source) of a curve: means of equal groups, so that no
    sum is lost."""
    size = -(-len(curve) // most)
    groups = [curve[i : i + size] for i in range(0, len(curve), size)]
    return [
        (group[-1][0], sum(v for _, v, _ in group) / len(group), span_of(s for _, _, s in group))
        for group in groups
    ]


def sources_of(
    records: Sequence[Record], window: tuple[float, float] | None = None
) -> dict[str, str]:
    """Metric -> the lines it was read from; throughput from those within its window, if given."""
    found: dict[str, list[str]] = {}
    for record in records:
        in_window = window is None or window[0] <= record.t_s <= window[1]
        if in_window and (record.steps or record.samples):
            for name in ("samples_per_s", "step_time_s"):
                found.setdefault(name, []).append(record.source)
        for name in record.values:
            if name not in ("samples_per_s", "step_time_s"):
                found.setdefault(name, []).append(record.source)
    if "samples_per_s" not in found:
        stated = [record.source for record in records if "samples_per_s" in record.values]
        found |= {"samples_per_s": stated} if stated else {}
    return {name: span_of(sources) for name, sources in found.items()}
