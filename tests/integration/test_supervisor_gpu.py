"""GPU figures by a stand-in for the driver's library."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gangs import end_everything, make_gang, python, wait_for_end
from tuner.executors.local import LocalExecutor
from tuner.gang import Gang
from tuner.model import Placement

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc"),
]

# Two GPUs. Each energy reading adds 500 mJ; GPU 1 knows no power where NO_POWER is defined.
SOURCE = r"""
#include <string.h>
#include <unistd.h>
typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_t;
static long gpus[2] = {0, 1};
static unsigned long long energy[2] = {1000000, 2000000};
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return "stub"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, long **device) {
    if (index > 1) return 2;
    *device = &gpus[index];
    return 0;
}
int nvmlDeviceGetName(long *device, char *name, unsigned size) {
    strncpy(name, *device ? "Stub B" : "Stub A", size);
    return 0;
}
int nvmlDeviceGetUUID(long *device, char *uuid, unsigned size) {
    strncpy(uuid, *device ? "GPU-bbbb" : "GPU-aaaa", size);
    return 0;
}
int nvmlSystemGetDriverVersion(char *version, unsigned size) {
    strncpy(version, "999.1", size);
    return 0;
}
int nvmlDeviceGetUtilizationRates(long *device, utilization_t *rates) {
#ifdef HANG
    sleep(600);
#endif
    rates->gpu = *device ? 40 : 80;
    return 0;
}
int nvmlDeviceGetMemoryInfo_v2(long *device, memory_t *memory) {
    memory->used = (*device ? 3ULL : 5ULL) << 30;
    return 0;
}
int nvmlDeviceGetPowerUsage(long *device, unsigned *milliwatts) {
#ifdef NO_POWER
    if (*device) return 3;
#endif
    *milliwatts = *device ? 100000 : 250000;
    return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(long *device, unsigned long long *millijoules) {
    *millijoules = energy[*device];
    energy[*device] += 500;
    return 0;
}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "gangs"


@pytest.fixture
def executor(root: Path) -> Iterator[LocalExecutor]:
    executor = LocalExecutor(root)
    yield executor
    end_everything(executor, root)


def put_driver(folder: Path, monkeypatch: pytest.MonkeyPatch, *defines: str) -> None:
    source = folder / "nvml.c"
    source.write_text(SOURCE)
    library = folder / "libnvidia-ml.so.1"
    flags = [f"-D{name}" for name in defines]
    subprocess.run(["gcc", "-shared", "-fPIC", *flags, "-o", str(library), str(source)], check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))


def gang_on(*gpus: int) -> Gang:
    placement = Placement(cores=((),), gpus=(gpus,))
    return make_gang("job-0-0", python("import time; time.sleep(1.5)"), placement=placement)


def test_figures_of_the_gangs_gpus(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_driver(tmp_path, monkeypatch)
    usage = wait_for_end(executor, executor.launch(gang_on(0, 1))).usage
    assert usage["gpu_utilization_pct"] == 60
    assert usage["gpu_power_w"] == 350
    assert usage["gpu_peak_memory_gib"] == 5
    # 500 mJ a reading and GPU, the first of each being the start.
    assert usage["energy_j"] >= 2
    assert usage["energy_j"] == pytest.approx(round(usage["energy_j"]))


def test_only_the_gangs_gpus_count(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_driver(tmp_path, monkeypatch)
    usage = wait_for_end(executor, executor.launch(gang_on(1))).usage
    assert usage["gpu_utilization_pct"] == 40
    assert usage["gpu_peak_memory_gib"] == 3


def test_what_a_gpu_does_not_tell_is_absent(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_driver(tmp_path, monkeypatch, "NO_POWER")
    usage = wait_for_end(executor, executor.launch(gang_on(0, 1))).usage
    assert "gpu_power_w" not in usage
    assert usage["gpu_utilization_pct"] == 60


def test_without_a_driver_nothing_is_said(executor: LocalExecutor) -> None:
    usage = wait_for_end(executor, executor.launch(gang_on(63))).usage
    assert not {"gpu_utilization_pct", "gpu_power_w", "gpu_peak_memory_gib", "energy_j"} & set(
        usage
    )
    assert usage["peak_memory_gib"] > 0


def test_a_driver_that_hangs_holds_nothing_up(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_driver(tmp_path, monkeypatch, "HANG")
    status = wait_for_end(executor, executor.launch(gang_on(0)))
    assert status.reason == "exited"
    assert status.elapsed_s < 10
    assert "gpu_utilization_pct" not in status.usage


@pytest.mark.parametrize(
    ("wanted", "expected"), [(None, "(0, 1)"), ("1", "(1,)"), ("GPU-aa", "(0,)"), ("", "()")]
)
def test_host_names_the_gpus_it_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str | None, expected: str
) -> None:
    put_driver(tmp_path, monkeypatch)
    environ = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    if wanted is not None:
        environ["CUDA_VISIBLE_DEVICES"] = wanted
    code = (
        "from tuner.executors.host import LocalHost as H\n"
        "found = H().fingerprint()\n"
        "print(H().gpus(), found.get('gpus'), found.get('gpu_driver'), sep=';')"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    gpus, names, driver = said.stdout.strip().split(";")
    assert gpus == expected
    assert names.count("Stub") == expected.count("0") + expected.count("1")
    assert driver == "999.1"
