"""Lines of trainers of recommender models: DLRM, HugeCTR, TorchEasyRec, TorchRec."""

import re

from tuner.collect.canonical import NUMBER, PAUSE, named, positive, readings
from tuner.collect.trainers import tqdm

_DLRM = re.compile(
    rf"Finished (?:training|inference) it (?P<step>\d+)/(?P<total>\d+) of epoch (?P<epoch>\d+), "
    rf"(?P<step_time_ms>{NUMBER}) ms/it, loss (?P<loss>{NUMBER})",
    re.I,
)
_DLRM_TEST = re.compile(r"\b(?:Testing at|Finished testing)\b", re.I)
_DLRM_AUC = re.compile(rf"\bauc:? (?P<auc>{NUMBER})", re.I)


def dlrm(line: str) -> dict[str, float] | None:
    """The classic DLRM script; it prints -1 ms/it unless asked to take the time."""
    match = _DLRM.search(line)
    if match is None:
        if not _DLRM_TEST.search(line):
            return None
        auc = _DLRM_AUC.search(line)
        return {**PAUSE, **(named(auc) if auc else {})}
    found = named(match)
    found["step"] += found.pop("epoch") * found.pop("total")
    return positive(found, "step_time_s")


_HUGECTR = re.compile(
    rf"Iter: (?P<step>\d+) Time\((?P<steps>\d+) iters\): (?P<seconds>{NUMBER})s "
    rf"Loss: (?P<loss>{NUMBER})",
    re.I,
)
_HUGECTR_EVAL = re.compile(rf"\bEvaluation, (\w+): ({NUMBER})", re.I)
_HUGECTR_EVAL_TIME = re.compile(rf"\bEval Time for \d+ iters: ({NUMBER})s", re.I)


def hugectr(line: str) -> dict[str, float] | None:
    """HugeCTR's training and evaluation lines."""
    match = _HUGECTR.search(line)
    if match is not None:
        found = named(match)
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
_EASYREC_EVAL = re.compile(r"\b(?:Evaluating|Predicting)\b[^:\[]*: \d+it \[")
_EASYREC_SCORE = re.compile(r"\bEval Result[^:]*: (?P<rest>.*)")
_COLON_PAIR = re.compile(rf"([A-Za-z_]\w*):\s*({NUMBER})(?!\S)", re.I)


def torcheasyrec(line: str) -> dict[str, float] | None:
    """TorchEasyRec's progress lines; the counter is the global step of one rank."""
    if _EASYREC_EVAL.search(line):
        return dict(PAUSE)
    match = _EASYREC.search(line)
    if match is not None:
        return {**named(match), **readings(_COLON_PAIR.findall(match["rest"]))}
    scored = _EASYREC_SCORE.search(line)
    return {**PAUSE, **readings(_COLON_PAIR.findall(scored["rest"]))} if scored else None


_TORCHREC_METRIC = re.compile(
    rf"\b\w+-[\w.]+\|([A-Za-z]\w*)['\"]?\s*[:=]\s*(?:tensor\(\[?)?({NUMBER})(?![\w])", re.I
)
_TORCHREC_AUROC = re.compile(rf"\bAUROC over \w[\w ]*: (?P<auc>{NUMBER})")
_TORCHREC_STEP = re.compile(r"^step (?P<step>\d+)$")


def torchrec(line: str) -> dict[str, float] | None:
    """TorchRec: what its RecMetricModule and ThroughputMetric compute, printed as a dictionary, and
    the bars and scores of its examples. `throughput` over the whole life includes the warm-up, so
    only the window's is read."""
    found = readings(_TORCHREC_METRIC.findall(line))
    if found:
        return {n: v for n, v in found.items() if not n.startswith("attempt_")} or None
    scored = _TORCHREC_AUROC.search(line)
    if scored is not None:
        return {**PAUSE, **named(scored)}
    step = _TORCHREC_STEP.match(line)
    return named(step) if step else tqdm(line)
