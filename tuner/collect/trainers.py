"""Lines of trainers that know nothing of recommenders: DeepSpeed, Megatron, torchtitan, Hugging
Face, and every bar of tqdm."""

import re

from tuner.collect.canonical import NUMBER, PAUSE, named, positive, readings

_EVALUATION = re.compile(
    r"\b(?:val|valid|validation|validating|eval\w*|test\w*|predict\w*|sanity)\b", re.I
)

_DEEPSPEED = re.compile(
    rf"(?:global_step=(?P<step>\d+)|\] \d+/(?P<global_step>\d+)), "
    rf"RunningAvgSamplesPerSec=[^,]+, CurrSamplesPerSec=(?P<samples_per_s>{NUMBER})"
    rf"(?:, MemAllocated={NUMBER}GB, MaxMemAllocated=(?P<gpu_peak_memory_gib>{NUMBER})GB)?",
    re.I,
)
_DEEPSPEED_HYBRID = re.compile(rf"\|CurSamplesPerSec=(?P<samples_per_s>{NUMBER}) \|", re.I)


def deepspeed(line: str) -> dict[str, float] | None:
    """DeepSpeed's ThroughputTimer, whose GB are 2**30 bytes. The running average includes the
    warm-up, so it is not read."""
    match = _DEEPSPEED.search(line) or _DEEPSPEED_HYBRID.search(line)
    return positive(named(match), "samples_per_s") if match else None


_MEGATRON = re.compile(
    rf"\biteration\s+(?P<step>\d+)/\s*\d+ \|.*?per iteration \(ms\): (?P<step_time_ms>{NUMBER})",
    re.I,
)
_MEGATRON_EVALUATION = re.compile(r"\bvalidation loss at iteration\b|^\s*Evaluating (?:on|iter)\b")
_MEGATRON_PARTS = re.compile(
    rf"(?:^|\|)\s*([A-Za-z][^|:]*):\s*({NUMBER})(?:/{NUMBER})?\s*(?=\||$)", re.I
)
_MEGATRON_NAMES = {
    "consumed samples": "samples",
    "samples per second": "samples_per_s",
    "lm loss": "loss",
    "loss": "loss",
    "throughput per GPU (TFLOP/s/GPU)": "tflops_per_gpu",
    "energy per GPU (J/iter/GPU)": "joules_per_step_and_gpu",
    "power per GPU (W/GPU)": "gpu_power_w_per_rank",
    "grad norm": "grad_norm",
}


def megatron(line: str) -> dict[str, float] | None:
    """The training log of Megatron-LM, which the last rank prints, and of Megatron-DeepSpeed."""
    match = _MEGATRON.search(line)
    if match is None:
        return dict(PAUSE) if _MEGATRON_EVALUATION.search(line) else None
    parts = {
        _MEGATRON_NAMES.get(name.strip()): value for name, value in _MEGATRON_PARTS.findall(line)
    }
    found = {**named(match), **readings((n, v) for n, v in parts.items() if n is not None)}
    batch = re.search(r"global batch size:\s+(\d+)", line)
    if batch and found["step_time_s"] > 0:
        found.setdefault("samples_per_s", int(batch[1]) / found["step_time_s"])
    return found


_TORCHTITAN = re.compile(
    rf"\b(?P<validate>validate )?step:\s*(?P<step>\d+)\s+loss:\s*(?P<loss>{NUMBER})\s"
    rf".*?memory:\s*(?P<gpu_peak_memory_gib>{NUMBER})GiB"
    rf".*?\btps:\s*(?P<tokens_per_s_per_rank>{NUMBER})(?:\s+tflops:\s*(?P<tflops_per_gpu>{NUMBER}))?"
    rf"(?:\s+mfu:\s*(?P<mfu_pct>{NUMBER})%)?",
    re.I,
)


def torchtitan(line: str) -> dict[str, float] | None:
    """torchtitan; its tps are tokens, not samples, of one device."""
    match = _TORCHTITAN.search(line)
    if match is None:
        return None
    return {**PAUSE, "val_loss": named(match)["loss"]} if match["validate"] else named(match)


_HF_PAIR = re.compile(
    rf"'([A-Za-z_][\w/@.-]*)':\s*(?:np\.\w+\(|tensor\()?'?({NUMBER})'?\)?(?=\s*[,}}])", re.I
)


def hf_trainer(line: str) -> dict[str, float] | None:
    """Hugging Face Trainer: its bar, and its dictionaries (numbers in v4, quoted ones in v5)."""
    start, end = line.find("{'"), line.rfind("}")
    if not 0 <= start < end:
        return tqdm(line)
    found = readings(_HF_PAIR.findall(line[start : end + 1]))
    if "eval_runtime" in found:
        found["pause_s"] = found.pop("eval_runtime")
    return found or None


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
_SAMPLE_UNIT = re.compile(
    r"(?:sample|example|ex|record|img|image|query|user|row|seq|sequence)s?(?:/s)?$", re.I
)


def tqdm(line: str) -> dict[str, float] | None:
    """A tqdm bar, Lightning's included. Its own rate is smoothed, so only the counter is read."""
    match = _BAR.search(line) or _COUNT.search(line)
    if match is None:
        return None
    if _EVALUATION.search(line[: match.start()]):
        return dict(PAUSE)
    unit = match["unit"].removeprefix("s/")
    counted = "step" if _STEP_UNIT.match(unit) else "samples" if _SAMPLE_UNIT.match(unit) else None
    if counted is None:  # files, bytes: it loads something
        return None
    total = match.groupdict().get("total")
    found = readings([(counted, match["count"]), *([("total", total)] if total else [])])
    extra = readings(_EQUAL_PAIR.findall(match["rest"] or ""))
    extra.pop("v_num", None)
    return {**extra, **found}
