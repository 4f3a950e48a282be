"""What a measurement depends on beside its configuration, and how two of that differ. Pure."""

from collections.abc import Mapping, Sequence

from tuner.model import Attempt

Fingerprint = Mapping[str, str]

INFORMATIVE = frozenset({"git"})
"""Told, but no reason not to compare: the hash of the code says whether it matters."""

_WORDS = {
    "workload": "code of the job",
    "data": "data of the job",
    "cpu": "processor",
    "memory_gib": "memory in GiB",
    "gpus": "GPUs",
    "gpu_driver": "GPU driver",
    "cuda": "CUDA",
    "cpu_governor": "CPU governor",
    "cpu_boost": "CPU boost",
}


def difference(before: Fingerprint, after: Fingerprint) -> tuple[str, ...]:
    """What keeps figures from being compared, in words: `torch 2.13.0 → 2.14.0`.

    A fact that one of them could not take (a driver that did not answer, data not there yet) is
    no difference: it will be taken again.
    """
    names = [n for n in before if n not in INFORMATIVE and _is_taken(n, before, after)]
    return tuple(
        f"{_WORDS.get(name, name)} {_said(name, before)} → {_said(name, after)}"
        for name in names
        if before[name] != after[name]
    )


def _is_taken(name: str, before: Fingerprint, after: Fingerprint) -> bool:
    return name in after and not any(f[name].startswith("missing") for f in (before, after))


def _said(name: str, taken: Fingerprint) -> str:
    value = taken.get(name, "unknown")
    is_hash = name in ("workload", "data") and value.endswith(")")
    return value[:8] if is_hash else value


def of_job(attempts: Sequence[Attempt]) -> Fingerprint:
    """That of the first launch of a job, which all later ones must share; empty before it."""
    taken = [a for a in attempts if a.fingerprint]
    # Trials are launched in the order of their numbers; the clock may have been set back.
    first = min(taken, key=lambda a: (a.trial_number, a.number), default=None)
    return first.fingerprint if first is not None else {}


def broken_off(changes: Sequence[str]) -> str:
    """Why a job cannot go on after a change, and what to do."""
    return (
        f"conditions changed during the search ({'; '.join(changes)}): figures from before and "
        "after cannot be compared. Remedy: create the job again"
    )
