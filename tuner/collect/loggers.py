"""Lines of logging libraries and load generators: DLLogger, MLPerf, perf_analyzer, pairs."""

import json
import re

from tuner.collect.canonical import NUMBER, PAUSE, named, number, readings

_DLL_TEXT = re.compile(r"\bDLL \d{4}-\d\d-\d\d [\d:.]+ - (.*)")
_DLL_PAIR = re.compile(rf"(\S+) : ({NUMBER})(?!\S)", re.I)
_DLL_STEP = re.compile(
    r"^(?:[\[(](?:\d+, ?)*(?P<last>\d+),?[\])]|(?P<only>\d+)(?= \S+ : )"
    r"|.*?\b(?:iteration|iter|step|batch)\b:? (?P<called>\d+))",
    re.I,
)
_DLL_BAR = re.compile(
    r"\bEpoch:\[(?P<epoch>\d+)/\d+\] \[(?P<step>\d+)/(?P<total>\d+)\]\s+eta: \S+(?P<rest>.*)"
)
_COLON_PAIR = re.compile(rf"([A-Za-z_]\w*): ({NUMBER})(?!\S)", re.I)


def dllogger(line: str) -> dict[str, float] | None:
    """NVIDIA's dllogger: `DLLL {json}` of its file, `DLL time - step name : value` of its text."""
    data = _json_after(line, "DLLL ")
    if data is not None:
        return _dll_json(data)
    text = _DLL_TEXT.search(line)
    if text is not None and _DLL_BAR.search(text[1]) is None:
        return _dll_text(text[1])
    bar = _DLL_BAR.search(line)
    if bar is None:
        return None
    found = {**readings(_COLON_PAIR.findall(bar["rest"])), **named(bar)}
    found["step"] += found.pop("epoch") * found.pop("total")
    return found


def _dll_json(data: dict[str, object]) -> dict[str, float] | None:
    step = data.get("step")
    if data.get("type") != "LOG" or isinstance(step, str):
        return None  # "PARAMETER": what was set, not what was measured
    found = _numbers(data.get("data"))
    if isinstance(step, list) and step:
        step = step[-1]
    if isinstance(step, int) and not isinstance(step, bool):
        found["step"] = float(step)
    return found or None


def _dll_text(text: str) -> dict[str, float] | None:
    if text.startswith("PARAMETER"):
        return None
    found = readings(_DLL_PAIR.findall(text))
    step = _DLL_STEP.match(text)
    if step is not None:
        found["step"] = float(step["last"] or step["only"] or step["called"])
    return found or None


def mlperf(line: str) -> dict[str, float] | None:
    """MLPerf's `:::MLLOG {json}`."""
    data = _json_after(line, ":::MLLOG ")
    if data is None:
        return None
    key, value = str(data.get("key")), data.get("value")
    if key == "eval_start":
        return dict(PAUSE)
    metadata = data.get("metadata")
    where = _numbers(metadata) if isinstance(metadata, dict) else {}
    place: dict[str, float] = {n: where[n] for n in ("step", "samples") if n in where}
    found = _numbers(value) if isinstance(value, dict) else _numbers({key: value})
    return {**found, **place} or None


def _json_after(line: str, mark: str) -> dict[str, object] | None:
    _, found, text = line.partition(mark)
    try:
        data = json.loads(text) if found else None
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _numbers(data: object) -> dict[str, float]:
    pairs = data.items() if isinstance(data, dict) else ()
    return readings((str(n), v) for n, v in pairs if isinstance(v, str | int | float))


_ANALYZER = re.compile(
    rf"\bthroughput: (?P<samples_per_s>{NUMBER}) infer/sec"
    rf"(?:, latency (?P<latency_us>{NUMBER}) usec)?",
    re.I,
)
_ANALYZER_PERCENTILE = re.compile(rf"\bp(\d+) latency: ({NUMBER}) usec", re.I)
_ANALYZER_COLUMN = re.compile(r"(?:(p\d+)|(avg)) latency$", re.I)
_MAX_COLUMNS = 100


class PerfAnalyzer:
    """Triton's perf_analyzer, what it prints and the report of its option `-f`: a request is a
    sample. A report has a line for each load, the highest throughput last."""

    def __init__(self) -> None:
        self._columns: list[str | None] = []

    def __call__(self, line: str) -> dict[str, float] | None:
        if "Inferences/Second," in line:
            self._columns = [_analyzer_column(name) for name in line.split(",")[:_MAX_COLUMNS]]
            return None
        cells = line.split(",")
        if self._columns and len(cells) == len(self._columns) and number(cells[0]) is not None:
            pairs = zip(self._columns, cells, strict=True)
            return readings((name, cell) for name, cell in pairs if name is not None) or None
        match = _ANALYZER.search(line)
        if match is not None:
            return named(match)
        found = [(f"p{p}_latency_us", us) for p, us in _ANALYZER_PERCENTILE.findall(line)]
        return readings(found) or None


def _analyzer_column(title: str) -> str | None:
    title = title.strip()
    if title == "Inferences/Second":
        return "samples_per_s"
    match = _ANALYZER_COLUMN.match(title)
    return (f"{match[1]}_latency_us" if match[1] else "latency_us") if match else None


_KEY_VALUE = re.compile(rf"(?<![\w/.|-])([A-Za-z][\w/.|-]*)\s*=\s*({NUMBER})(?![\w.])", re.I)


def key_value(line: str) -> dict[str, float] | None:
    """`name=value` pairs anywhere in a line, as Katib reads them."""
    pairs = [(name.rpartition("|")[2], value) for name, value in _KEY_VALUE.findall(line)]
    return readings(pairs) or None
