"""Checks Trimtab on a CUDA device, with torch and a few wheels, no network: `make gpu-check`.

Three things are done for real and one table is printed: NVML is read; a DLRM job is tuned to its
plan on the GPU; a trial that cannot fit runs out of GPU memory, is classed so, and its memory is
free again. Exit status 0: all checks hold; 1: one does not; 3: there is no CUDA device.
"""

import argparse
import json
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from tuner.jobfile import load_job
from tuner.model import Attempt, FailureKind, Job
from tuner.service import Service

MEMORY_TOLERANCE_MIB = 512

TUNING = """
name: gpu-check
workload: {name: dlrm, args: {eval_at_samples: 180000}}
space:
  params:
    global_batch_size: {options: [1024, 4096, 16384, 65536], default: 4096}
    precision: {options: [fp32, bf16]}
    loader_workers: {options: [0, 2, 4]}
quality: {metric: auc, max_loss: 0.02}
prices:
  as_of: "2026-11-01"
  source: example
  per_core_hour: {on_demand: 0.04}
  per_gpu_hour: {any: {on_demand: 2.5}}
budget: {trials: 6}
measuring: {max_trial_s: 40, min_window_s: 2}
apply: {pairs: 3, mode: next_start, learning_changes: allow, target: {path: plan.json}}
"""

TOO_LARGE = """
name: gpu-out-of-memory
workload: {name: dlrm, args: {table_rows_scale: $scale}}
space: {params: {global_batch_size: {options: [4096]}}}
budget: {trials: 1}
measuring: {startup_s: 120, max_trial_s: 120}
apply: {pairs: 3}
"""


@dataclass(frozen=True, slots=True)
class Check:
    """A row of the table."""

    name: str
    passed: bool
    figure: str


@dataclass(frozen=True, slots=True)
class Device:
    """What NVML says of a GPU now."""

    name: str
    used_mib: float
    total_mib: float
    power_w: float | None
    energy_j: float | None
    driver: str


@contextmanager
def nvml() -> Iterator[None]:
    import pynvml

    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def device(index: int = 0) -> Device:
    """Reads one GPU; what it does not tell is None."""
    import pynvml

    def known(read: Callable[[object], float], scale: float) -> float | None:
        try:
            return read(handle) / scale
        except pynvml.NVMLError:
            return None

    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return Device(
        name=pynvml.nvmlDeviceGetName(handle),
        used_mib=memory.used / 2**20,
        total_mib=memory.total / 2**20,
        power_w=known(pynvml.nvmlDeviceGetPowerUsage, 1e3),
        energy_j=known(pynvml.nvmlDeviceGetTotalEnergyConsumption, 1e3),
        driver=pynvml.nvmlSystemGetDriverVersion(),
    )


def run_job(service: Service, text: str) -> Job:
    """Runs a job to its end, in this process."""
    job = service.create_job(load_job(text, "gpu check"), actor="gpu-check")
    service.run(threading.Event(), until_finished=[job.id])
    return service.job(job.id)


def too_large_for(total_mib: float) -> str:
    """A job whose eight equal hashed tables take 92 % of the memory at once: they are held when
    filling the first one, by a copy of it, runs out."""
    mib_at_scale_1 = 8 * 65_536 * 16 * 4 / 2**20
    return Template(TOO_LARGE).substitute(scale=round(0.92 * total_mib / mib_at_scale_1))


@contextmanager
def highest_use() -> Iterator[list[float]]:
    """Notes the memory in use, in MiB, ten times a second meanwhile."""
    seen, stop = [device().used_mib], threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            seen.append(device().used_mib)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        stop.set()
        watching.join()


def check_nvml() -> Iterator[Check]:
    first = device()
    yield Check("NVML finds the GPU", bool(first.name), f"{first.name}, driver {first.driver}")
    used = f"{first.used_mib:,.0f} of {first.total_mib:,.0f} MiB"
    yield Check("NVML tells memory", first.total_mib > 0, used)
    power = "unknown" if first.power_w is None else f"{first.power_w:.0f} W"
    energy = "unknown" if first.energy_j is None else f"{first.energy_j / 3.6e6:.3f} kWh"
    yield Check("NVML tells power", first.power_w is not None, power)
    yield Check("NVML tells total energy", first.energy_j is not None, energy)


def check_tuning(service: Service) -> Iterator[Check]:
    started_s = time.monotonic()
    job = run_job(service, TUNING)
    trials = service.trials(job.id)
    took = f"{len(trials)} trials in {time.monotonic() - started_s:.0f} s: {job.message}"
    yield Check("a DLRM job is tuned", job.state == "succeeded", took)
    yield from _figures(service.attempts(job.id))
    plans = service.plans(job.id)
    yield Check("it has a plan", bool(plans), plans[0].explanation[0] if plans else "none")


def _figures(attempts: list[Attempt]) -> Iterator[Check]:
    measured = [a.measurement for a in attempts if a.measurement is not None]
    names = ("gpu_utilization_pct", "gpu_peak_memory_gib", "gpu_power_w", "joules_per_sample")
    for name in names:
        values = [m.metrics[name] for m in measured if name in m.metrics]
        text = f"{min(values):.4g} to {max(values):.4g}" if values else "absent"
        complete = bool(values) and len(values) == len(measured) and max(values) > 0
        yield Check(f"every trial tells {name}", complete, text)


def check_out_of_memory(service: Service) -> Iterator[Check]:
    before = device()
    with highest_use() as seen:
        job = run_job(service, too_large_for(before.total_mib))
    trial = service.trials(job.id)[0]
    wall_s = sum(a.spend.wall_s for a in service.attempts(job.id))
    kind = trial.failure.kind if trial.failure else None
    cause = trial.failure.cause if trial.failure else "it ran"
    passed = kind is FailureKind.OUT_OF_MEMORY
    yield Check("out of GPU memory is classed so", passed, f"{kind}: {cause[:90]}")
    yield Check("such a trial costs seconds", wall_s < 60, f"{wall_s:.1f} s")
    used = f"{max(seen):,.0f} of {before.total_mib:,.0f} MiB"
    yield Check("it held most of the memory", max(seen) > before.total_mib / 2, used)
    deadline_s = time.monotonic() + 50
    while (
        device().used_mib > before.used_mib + MEMORY_TOLERANCE_MIB and time.monotonic() < deadline_s
    ):
        time.sleep(0.2)
    after = device().used_mib
    text = f"{before.used_mib:,.0f} MiB before, {after:,.0f} MiB after"
    is_back = after <= before.used_mib + MEMORY_TOLERANCE_MIB
    yield Check("the GPU's memory is back", is_back, text)


def all_checks() -> Iterator[Check]:
    with nvml(), tempfile.TemporaryDirectory() as folder, Service(Path(folder)) as service:
        yield from check_nvml()
        yield from check_tuning(service)
        yield from check_out_of_memory(service)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    import torch

    about = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was checked", file=sys.stderr)
        if arguments.json:
            print(json.dumps({**about, "checks": []}))
        return 3
    checks = []
    for check in all_checks():
        checks.append(check)
        print(f"{check.name}: {check.figure}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({**about, "checks": [asdict(check) for check in checks]}))
    else:
        print(f"\n{', '.join(f'{k} {v}' for k, v in about.items())}\n")
        print("| check | holds | figure |\n|---|---|---|")
        for check in checks:
            print(f"| {check.name} | {'yes' if check.passed else 'NO'} | {check.figure} |")
    return 0 if all(check.passed for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
