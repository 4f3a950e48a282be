"""Log formats that Trimtab recognises: for each what turns a line into its readings, or None.

Readings are named as in `tuner.metrics`. A few names say how far the job is instead:

    step       counter of steps, `samples` counter of samples; deltas are taken by the reader
    steps      steps that this line is about, where it says so
    total      where the counter ends; bars of another length (evaluation) are no training
    pause      the line belongs to evaluation; `pause_s`: it says how long that took
    *_per_rank a value of one rank, to be multiplied by their number
"""

from collections.abc import Callable, Mapping

from tuner.collect import loggers, recommenders, trainers

Readings = dict[str, float]
Format = Callable[[str], Readings | None]

PROGRESS = frozenset({"step", "steps", "samples", "samples_per_s", "step_time_s", "p99_latency_ms"})
"""What makes a line more than a remark; `auto` asks for one of these."""


def _plain(function: Format) -> Callable[[], Format]:
    """A format that remembers nothing from line to line."""
    return lambda: function


FORMATS: Mapping[str, Callable[[], Format]] = {
    "deepspeed": _plain(trainers.deepspeed),
    "megatron": _plain(trainers.megatron),
    "torchtitan": _plain(trainers.torchtitan),
    "dlrm": _plain(recommenders.dlrm),
    "hugectr": _plain(recommenders.hugectr),
    "torcheasyrec": _plain(recommenders.torcheasyrec),
    "dllogger": _plain(loggers.dllogger),
    "mlperf": _plain(loggers.mlperf),
    "perf_analyzer": loggers.PerfAnalyzer,
    "hf_trainer": _plain(trainers.hf_trainer),
    "torchrec": _plain(recommenders.torchrec),
    "tqdm": _plain(trainers.tqdm),
    "lightning": _plain(trainers.tqdm),
    "key_value": _plain(loggers.key_value),
}
"""By name, in the order in which `auto` tries them: the strictest first. Each log gets its own."""
