"""What cannot fit into memory is not launched."""

from collections.abc import Mapping

from tuner.description import Hardware
from tuner.estimate.configuration import configuration_of
from tuner.estimate.devices import data_sheet, device_of
from tuner.estimate.memory import does_not_fit, rank_memory
from tuner.model import Placement
from tuner.space import Params
from tuner.spec import JobSpec


def memory_refusal(
    spec: JobSpec, params: Params, placement: Placement, host: Mapping[str, str]
) -> str | None:
    """The sum that does not work out, in words; None where it does, or where nothing is known. GPUs
    hold the model of one rank each, a computer those of all its ranks."""
    if spec.estimate is None:
        return None
    run = configuration_of(spec, params)
    memory = rank_memory(spec.estimate, run)
    names = set(placement.gpu_names.values())
    on_gpu = any(placement.gpus) if placement.gpus else False
    room_gib = _gpu_gib(spec.estimate.hardware, names) if on_gpu else _host_gib(spec, host)
    if room_gib is None:
        return None
    problem = does_not_fit(memory, room_gib, ranks_sharing=1 if on_gpu else run.ranks)
    return None if problem is None else f"does not fit into memory: {problem}"


def _gpu_gib(hardware: Hardware, names: set[str]) -> float | None:
    if hardware.memory_gib is not None:
        return hardware.memory_gib
    sheets = [sheet for name in names if (sheet := data_sheet(name)) is not None]
    known = [sheet.memory_gib for sheet in sheets if sheet.memory_gib is not None]
    return min(known, default=device_of(hardware).memory_gib)


def _host_gib(spec: JobSpec, host: Mapping[str, str]) -> float | None:
    """The least of the gang's limit and of the computer, which its fingerprint tells."""
    limits = [spec.resources.memory_limit_gib]
    if spec.estimate is not None and spec.estimate.hardware.gpu is None:
        limits.append(spec.estimate.hardware.memory_gib)
    limits.append(float(host["memory_gib"]) if "memory_gib" in host else None)
    return min((limit for limit in limits if limit is not None), default=None)
