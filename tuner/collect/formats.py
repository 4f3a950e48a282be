"""Log formats that Trimtab recognises: for each a function from a line to its readings, or None.

Readings are named as in `tuner.metrics`. A few names say how far the job is instead:

    step       counter of steps, `samples` counter of samples; deltas are taken by the reader
    steps      steps that this line is about, where it says so
    total      where the counter ends; bars of another length (evaluation) are no training
    pause      the line belongs to evaluation; `pause_s`: it says how long that took
    *_per_rank a value of one rank, to be multiplied by their number
"""

import ast
import json
import re
from collections.abc import Callable, Mapping

from tuner.collect.canonical import NUMBER, readings

Readings = dict[str, float]
Format = Callable[[str], Readings | None]

PROGRESS = frozenset({"step", "steps", "samples", "samples_per_s", "step_time_s", "p99_latency_ms"})
"""What makes a line more than a remark; `auto` asks for one of these."""

_EVALUATION = re.compile(
    r"\b(?:val|valid|validation|validating|eval\w*|test\w*|predict\w*|sanity)\b", re.I
)
_PAUSE: Mapping[str, float] = {"pause": 1.0}


def _named(match: re.Match[str]) -> Readings:
    """The groups of a match that are numbers, by their names."""
    return readings((name, text) for name, text in match.groupdict().items() if text is not None)


_DEEPSPEED = re.compile(
    rf"(?:global_step=(?P<step>\d+)|\] \d+/(?P<global_step>\d+)), "
    rf"RunningAvgSamplesPerSec=[^,]+, CurrSamplesPerSec=(?P<samples_per_s>{NUMBER})"
    rf"(?:, MemAllocated={NUMBER}GB, MaxMemAllocated=(?P<gpu_peak_memory_gib>{NUMBER})GB)?",
    re.I,
)
_DEEPSPEED_HYBRID = re.compile(rf"\|CurSamplesPerSec=(?P<samples_per_s>{NUMBER}) \|", re.I)


def deepspeed(line: str) -> Readings | None:
    """DeepSpeed's ThroughputTimer; the running average includes the warm-up, so it is not read."""
    match = _DEEPSPEED.search(line) or _DEEPSPEED_HYBRID.search(line)
    return _positive(_named(match), "samples_per_s") if match else None


def _positive(found: Readings, name: str) -> Readings:
    """Without a value that the job prints as -1 or -inf while it does not know it."""
    if not found.get(name, 1.0) > 0 or found.get(name) == float("inf"):
        del found[name]
    return found


_MEGATRON = re.compile(
    rf"\biteration\s+(?P<step>\d+)/\s*\d+ \|.*?per iteration \(ms\): (?P<step_time_ms>{NUMBER})",
    re.I,
)
_MEGATRON_PARTS = re.compile(
    rf"(?:^|\|)\s*([A-Za-z][^|:]*):\s*({NUMBER})(?:/{NUMBER})?\s*(?=\||$)", re.I
)
_MEGATRON_NAMES = {
    "consumed samples": "samples",
    "lm loss": "loss",
    "loss": "loss",
    "throughput per GPU (TFLOP/s/GPU)": "tflops_per_gpu",
    "energy per GPU (J/iter/GPU)": "joules_per_step_and_gpu",
    "power per GPU (W/GPU)": "gpu_power_w_per_rank",
    "grad norm": "grad_norm",
}


def megatron(line: str) -> Readings | None:
    """Megatron-LM's training log, which the last rank prints."""
    match = _MEGATRON.search(line)
    if match is None:
        return None
    parts = {
        _MEGATRON_NAMES.get(name.strip()): value for name, value in _MEGATRON_PARTS.findall(line)
    }
    found = {**_named(match), **readings((n, v) for n, v in parts.items() if n is not None)}
    batch = re.search(r"global batch size:\s+(\d+)", line)
    if batch:
        found["samples_per_s"] = int(batch[1]) / found["step_time_s"]
    return found


_TORCHTITAN = re.compile(
    rf"\bstep:\s*(?P<step>\d+)\s+loss:\s*(?P<loss>{NUMBER})\s.*?memory:\s*(?P<gpu_peak_memory_gib>{NUMBER})GiB"
    rf".*?\btps:\s*(?P<tokens_per_s_per_rank>{NUMBER})(?:\s+tflops:\s*(?P<tflops_per_gpu>{NUMBER}))?"
    rf"(?:\s+mfu:\s*(?P<mfu_pct>{NUMBER})%)?",
    re.I,
)


def torchtitan(line: str) -> Readings | None:
    """torchtitan; its tps are tokens, not samples, of one device."""
    match = _TORCHTITAN.search(line)
    return _named(match) if match else None


def hf_trainer(line: str) -> Readings | None:
    """Hugging Face Trainer: its bar, and its dictionaries (numbers in v4, quoted ones in v5)."""
    start, end = line.find("{'"), line.rfind("}")
    if not 0 <= start < end:
        return tqdm(line)
    try:
        data = ast.literal_eval(line[start : end + 1])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    found = readings((str(n), v) for n, v in data.items() if isinstance(v, str | int | float))
    if "eval_runtime" in found:
        found["pause_s"] = found.pop("eval_runtime")
    return found or None


_DLRM = re.compile(
    rf"Finished training it (?P<step>\d+)/(?P<total>\d+) of epoch (?P<epoch>\d+), "
    rf"(?P<step_time_ms>{NUMBER}) ms/it, loss (?P<loss>{NUMBER})",
    re.I,
)
_DLRM_TEST = re.compile(r"\b(?:Testing at|Finished testing)\b", re.I)
_DLRM_AUC = re.compile(rf"\bauc:? (?P<auc>{NUMBER})", re.I)


def dlrm(line: str) -> Readings | None:
    """The classic DLRM script; it prints -1 ms/it unless asked to take the time."""
    match = _DLRM.search(line)
    if match is None:
        if not _DLRM_TEST.search(line):
            return None
        auc = _DLRM_AUC.search(line)
        return {**_PAUSE, **(_named(auc) if auc else {})}
    found = _named(match)
    found["step"] += found.pop("epoch") * found.pop("total")
    return _positive(found, "step_time_s")


_HUGECTR = re.compile(
    rf"Iter: (?P<step>\d+) Time\((?P<steps>\d+) iters\): (?P<seconds>{NUMBER})s "
    rf"Loss: (?P<loss>{NUMBER})",
    re.I,
)
_HUGECTR_EVAL = re.compile(rf"\bEvaluation, (\w+): ({NUMBER})", re.I)
_HUGECTR_EVAL_TIME = re.compile(rf"\bEval Time for \d+ iters: ({NUMBER})s", re.I)


def hugectr(line: str) -> Readings | None:
    """HugeCTR's training and evaluation lines."""
    match = _HUGECTR.search(line)
    if match is not None:
        found = _named(match)
        found["step_time_s"] = found.pop("seconds") / max(1.0, found["steps"])
        return found
    timed = _HUGECTR_EVAL_TIME.search(line)
    if timed is not None:
        return readings([("pause_s", timed[1])])
    scored = _HUGECTR_EVAL.search(line)
    return readings([(scored[1].lower(), scored[2])]) if scored else None


_EASYREC = re.compile(
    rf"Training Epoch \d+: (?P<step>\d+)it \[(?P<steps_per_s>{NUMBER})it/s\](?P<rest>.*)", re.I
)
_EASYREC_EVAL = re.compile(r"^(?:Evaluating|Predicting)\S*: \d+it \[")
_COLON_PAIR = re.compile(rf"([A-Za-z_]\w*):\s*({NUMBER})(?!\S)", re.I)


def torcheasyrec(line: str) -> Readings | None:
    """TorchEasyRec's training bar; the counter is the global step of one rank."""
    if _EASYREC_EVAL.search(line):
        return dict(_PAUSE)
    match = _EASYREC.search(line)
    if match is None:
        return None
    return {**_named(match), **readings(_COLON_PAIR.findall(match["rest"]))}


_BAR = re.compile(
    rf"(?<!\d)\d{{1,3}}%\|[^|]*\|\s*(?P<count>[\d.]+[kMG]?)/(?P<total>[\d.]+[kMG]?) "
    rf"\[[\d:]+<[\d:?]+,\s*(?:{NUMBER}|\?)\s*(?P<unit>[^\s,\]]+)(?:, (?P<rest>[^\]]*))?\]",
    re.I,
)
_COUNT = re.compile(
    rf"(?<!\S)(?P<count>\d+)(?:it|step|batch|sample)(?:e?s)? \[[\d:]+,\s*(?:{NUMBER}|\?)\s*"
    rf"(?P<unit>[^\s,\]]+)(?:, (?P<rest>[^\]]*))?\]",
    re.I,
)
_EQUAL_PAIR = re.compile(rf"([A-Za-z_][\w/.@-]*)=\s*({NUMBER})(?=[,\]\s]|$)", re.I)
_STEP_UNIT = re.compile(r"(?:it|iter|step|batch|ba)(?:e?s)?(?:/s)?$", re.I)
_SAMPLE_UNIT = re.compile(r"(?:sample|img|image|query|user|row)s?(?:/s)?$", re.I)


def tqdm(line: str) -> Readings | None:
    """A tqdm bar, Lightning's included. Its own rate is smoothed, so only the counter is read."""
    match = _BAR.search(line) or _COUNT.search(line)
    if match is None:
        return None
    if _EVALUATION.search(line[: match.start()]):
        return dict(_PAUSE)
    unit = match["unit"].removeprefix("s/")
    counted = "step" if _STEP_UNIT.match(unit) else "samples" if _SAMPLE_UNIT.match(unit) else None
    if counted is None:  # files, bytes: it loads something
        return None
    total = match.groupdict().get("total")
    found = readings([(counted, match["count"]), *([("total", total)] if total else [])])
    extra = readings(_EQUAL_PAIR.findall(match["rest"] or ""))
    extra.pop("v_num", None)
    return {**extra, **found}


def dllogger(line: str) -> Readings | None:
    """NVIDIA's dllogger: `DLLL {json}`."""
    data = _json_after(line, "DLLL ")
    if data is None or data.get("type") != "LOG":
        return None
    step = data.get("step")
    if isinstance(step, str):  # "PARAMETER": what was set, not what was measured
        return None
    found = _numbers(data.get("data"))
    if isinstance(step, list) and step:
        step = step[-1]
    if isinstance(step, int) and not isinstance(step, bool):
        found["step"] = float(step)
    return found or None


def mlperf(line: str) -> Readings | None:
    """MLPerf's `:::MLLOG {json}`."""
    data = _json_after(line, ":::MLLOG ")
    if data is None:
        return None
    key, value = str(data.get("key")), data.get("value")
    if key == "eval_start":
        return dict(_PAUSE)
    metadata = data.get("metadata")
    where = _numbers(metadata) if isinstance(metadata, dict) else {}
    place: Readings = {name: where[name] for name in ("step", "samples") if name in where}
    found = _numbers(value) if isinstance(value, dict) else _numbers({key: value})
    return {**found, **place} or None


def _json_after(line: str, mark: str) -> dict[str, object] | None:
    _, found, text = line.partition(mark)
    try:
        data = json.loads(text) if found else None
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _numbers(data: object) -> Readings:
    pairs = data.items() if isinstance(data, dict) else ()
    return readings((str(n), v) for n, v in pairs if isinstance(v, str | int | float))


_ANALYZER = re.compile(
    rf"\bthroughput: (?P<samples_per_s>{NUMBER}) infer/sec"
    rf"(?:, latency (?P<latency_us>{NUMBER}) usec)?",
    re.I,
)
_ANALYZER_PERCENTILE = re.compile(rf"\bp(\d+) latency: ({NUMBER}) usec", re.I)


def perf_analyzer(line: str) -> Readings | None:
    """Triton's perf_analyzer: a request is a sample."""
    match = _ANALYZER.search(line)
    if match is not None:
        return _named(match)
    found = [(f"p{p}_latency_us", us) for p, us in _ANALYZER_PERCENTILE.findall(line)]
    return readings(found) or None


_KEY_VALUE = re.compile(rf"(?<![\w/.|-])([A-Za-z][\w/.|-]*)\s*=\s*({NUMBER})(?![\w.])", re.I)


def key_value(line: str) -> Readings | None:
    """`name=value` pairs anywhere in a line, as Katib reads them."""
    pairs = [(name.rpartition("|")[2], value) for name, value in _KEY_VALUE.findall(line)]
    return readings(pairs) or None


FORMATS: Mapping[str, Format] = {
    "deepspeed": deepspeed,
    "megatron": megatron,
    "torchtitan": torchtitan,
    "dlrm": dlrm,
    "hugectr": hugectr,
    "torcheasyrec": torcheasyrec,
    "dllogger": dllogger,
    "mlperf": mlperf,
    "perf_analyzer": perf_analyzer,
    "hf_trainer": hf_trainer,
    "tqdm": tqdm,
    "lightning": tqdm,
    "key_value": key_value,
}
"""By name, in the order in which `auto` tries them: the strictest first."""
