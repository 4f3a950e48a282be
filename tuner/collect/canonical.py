"""Numbers and names as jobs print them, to the names and units of `tuner.metrics`."""

import re
from collections.abc import Iterable, Mapping

NUMBER = r"(?:[-+]?(?:(?:\d+(?:,\d{3})*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|nan|inf(?:inity)?))"

_NUMBER = re.compile(rf"({NUMBER})\s*([kKMGT]?)%?", re.IGNORECASE)
_SCALE = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}

PAUSE: Mapping[str, float] = {"pause": 1.0}
"""What a line of evaluation says: no training."""

_TO_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}
_TO_GIB = {
    "bytes": 2.0**-30,
    "kib": 2.0**-20,
    "mib": 2.0**-10,
    "gib": 1.0,
    "tib": 2.0**10,
    "kb": 1e3 / 2**30,
    "mb": 1e6 / 2**30,
    "gb": 1e9 / 2**30,
    "tb": 1e12 / 2**30,
}
_STEMS = {
    "step_time": (_TO_SECONDS, "s"),
    "pause": (_TO_SECONDS, "s"),
    "latency": (_TO_SECONDS, "ms"),
    "mean_latency": (_TO_SECONDS, "ms"),
    "p50_latency": (_TO_SECONDS, "ms"),
    "p90_latency": (_TO_SECONDS, "ms"),
    "p95_latency": (_TO_SECONDS, "ms"),
    "p99_latency": (_TO_SECONDS, "ms"),
    "peak_memory": (_TO_GIB, "gib"),
    "gpu_memory": (_TO_GIB, "gib"),
    "gpu_peak_memory": (_TO_GIB, "gib"),
}
"""Stem of a name -> its units, and the unit in which Trimtab keeps it."""

_ALIASES = {
    "samples_per_s": (
        "throughput",
        "train_throughput",
        "average_train_throughput",
        "samples_per_sec",
        "samples_per_second",
        "samples/s",
        "samples/sec",
        "examples_per_sec",
        "examples_per_second",
        "train_samples_per_second",
        "train/samples_per_sec",
        "window_throughput",
        "images_per_sec",
        "infer_per_s",
        "qps",
        "ips",
    ),
    "steps_per_s": (
        "train_steps_per_second",
        "train/batches_per_sec",
        "train/device/batches_per_sec",
        "it/s",
    ),
    "step": ("iter", "iteration", "global_step", "it", "train_step", "batch_idx"),
    "loss": (
        "train_loss",
        "training_loss",
        "train/loss",
        "total_loss",
        "lm_loss",
        "train_loss_step",
        "reduced_train_loss",
    ),
    "auc": ("roc_auc", "auroc", "val_auc", "eval_auc", "test_auc", "window_auc"),
    "step_time_s": ("step_time", "iter_time", "batch_time", "train_step_timing_in_s"),
    "samples": (
        "samples_seen",
        "total_samples",
        "total_examples",
        "consumed_samples",
        "samples_count",
    ),
}
_NAMES = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}


def number(text: str) -> float | None:
    """`1,234.5`, `.98`, `1e-3`, `12.5k`, `40 %` as a number, finite or not; else None."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    return float(match[1].replace(",", "")) * _SCALE[match[2]]


def canonical(name: str, value: float) -> tuple[str, float]:
    """A name and value in Trimtab's words and units: `step_time_ms` 12 -> `step_time_s` 0.012."""
    name = _NAMES.get(name.strip().lower().replace(" ", "_"), name.strip())
    stem, _, unit = name.rpartition("_")
    if stem not in _STEMS:
        return name, value
    factors, kept = _STEMS[stem]
    if unit not in factors:
        return name, value
    return f"{stem}_{kept}", value * factors[unit] / factors[kept]


def readings(pairs: Iterable[tuple[str, str | int | float]]) -> dict[str, float]:
    """Those of the named things that are numbers, in Trimtab's words."""
    found: dict[str, float] = {}
    for name, raw in pairs:
        value = number(raw) if isinstance(raw, str) else float(raw)
        if value is not None and not isinstance(raw, bool):
            key, amount = canonical(name, value)
            found.setdefault(key, amount)
    return found


def named(match: re.Match[str]) -> dict[str, float]:
    """The groups of a match that are numbers, by their names."""
    return readings((name, text) for name, text in match.groupdict().items() if text is not None)


def positive(found: dict[str, float], name: str) -> dict[str, float]:
    """Without a value that the job prints as -1 or -inf while it does not know it."""
    if not found.get(name, 1.0) > 0 or found.get(name) == float("inf"):
        del found[name]
    return found
