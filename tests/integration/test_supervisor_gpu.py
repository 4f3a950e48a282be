"""GPU figures by a stand-in for the driver's library."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gangs import end_everything, make_gang, python, wait_for_end
from tuner.collect.usage import STREAM, over, parse
from tuner.executors.local import LocalExecutor
from tuner.gang import Gang, UsageSample
from tuner.model import Placement

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc"),
]

# Two GPUs. Each energy reading adds 500 mJ, each reading of the links 2 KiB. What may be defined:
# NO_POWER   GPU 1 knows no power, and neither GPU counts energy
# PLAIN      nothing but utilisation, memory, power and energy, as an old driver
# HOT        GPU 1 is held back by heat, GPU 0 by its power cap
# XID        an Xid 31, later an Xid 79
# LOST       GPU 1 falls off the bus after three readings
# HANG       the driver does not answer
SOURCE = r"""
#include <string.h>
#include <unistd.h>
typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_t;
static long gpus[2] = {0, 1};
static unsigned long long energy[2] = {1000000, 2000000};
static int readings[2];
#ifdef LOST
#define CHECK(device) do { if (*device && readings[1] > 3) return 15; } while (0)
#else
#define CHECK(device)
#endif
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
    readings[*device]++;
    CHECK(device);
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
    CHECK(device);
    *milliwatts = *device ? 100000 : 250000;
    return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(long *device, unsigned long long *millijoules) {
#ifdef NO_POWER
    return 3;
#endif
    CHECK(device);
    *millijoules = energy[*device];
    energy[*device] += 500;
    return 0;
}
#ifndef PLAIN
typedef struct {
    unsigned field, scope;
    long long timestamp, latency;
    int type, code;
    unsigned long long value;
} field_t;
typedef struct { long *device; unsigned long long type, data; unsigned gpu, compute; } event_t;
static int events, set;
int nvmlDeviceGetClockInfo(long *device, int kind, unsigned *mhz) {
    CHECK(device);
    *mhz = kind == 1 ? *device ? 1200 : 1980 : 7;
    return 0;
}
int nvmlDeviceGetTemperature(long *device, int sensor, unsigned *celsius) {
    *celsius = sensor == 0 ? *device ? 88 : 60 : 7;
    return 0;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(long *device, unsigned long long *reasons) {
#ifdef HOT
    *reasons = *device ? 0x20 : 0x4;
#else
    *reasons = 0x1 | 0x4;
#endif
    return 0;
}
int nvmlDeviceGetPcieThroughput(long *device, int counter, unsigned *kilobytes_per_s) {
    usleep(20000);
    *kilobytes_per_s = counter ? 1000000 : 500000;
    return 0;
}
int nvmlDeviceGetFieldValues(long *device, int count, field_t *fields) {
    for (int i = 0; i < count; i++) {
        fields[i].type = 3;
        fields[i].code = 0;
        if (fields[i].scope != ~0u || fields[i].field != 138 + i) fields[i].code = 2;
        fields[i].value = 7000 + readings[*device];
    }
    return 0;
}
int nvmlDeviceGetTotalEccErrors(long *device, int error, int counter, unsigned long long *count) {
    *count = error == 1 && counter == 0 ? 5 : 1000000 + readings[*device];
    return 0;
}
int nvmlEventSetCreate(int **made) { *made = &set; return 0; }
int nvmlDeviceRegisterEvents(long *device, unsigned long long types, int *made) {
    return types == 8 && made == &set ? 0 : 2;
}
int nvmlEventSetWait_v2(int *made, event_t *event, unsigned milliseconds) {
    if (milliseconds) sleep(600);
#ifdef XID
    if (events < 2 && readings[0] > 2 * events) {
        event->device = &gpus[0];
        event->type = 8;
        event->data = events++ ? 79 : 31;
        return 0;
    }
#endif
    return 10;
}
#endif
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


def samples_of(executor: LocalExecutor, handle: str) -> list[UsageSample]:
    [chunk] = [c for c in executor.output(handle, {}) if c.stream == STREAM]
    return [sample for line in chunk.data.decode().splitlines() if (sample := parse(line))]


def gang_on(*gpus: int) -> Gang:
    placement = Placement(cores=((),), gpus=(gpus,))
    return make_gang("job-0-0", python("import time; time.sleep(1.5)"), placement=placement)


NEWER = {
    "gpu_clock_mhz",
    "gpu_temperature_c",
    "gpu_throttled_s",
    "gpu_pcie_rx_bytes",
    "gpu_pcie_tx_bytes",
    "gpu_nvlink_bytes",
    "gpu_ecc_errors",
    "gpu_xid_errors",
}


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
    assert usage["gpu_clock_mhz"] == 1200
    assert usage["gpu_temperature_c"] == 88
    assert usage["gpu_throttled_s"] == usage["gpu_ecc_errors"] == usage["gpu_xid_errors"] == 0
    assert usage["gpu_nvlink_bytes"] == 2048 * 2 * usage["energy_j"]
    # Two GPUs at 1 GB/s, read in turn, over most of 1.5 s.
    assert 1.2e9 < usage["gpu_pcie_rx_bytes"] < 4e9
    assert usage["gpu_pcie_tx_bytes"] == pytest.approx(usage["gpu_pcie_rx_bytes"] / 2, rel=0.2)
    assert not {"gpu_first_xid", "gpu_nvml_error"} & set(usage)


def test_only_the_gangs_gpus_count(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_driver(tmp_path, monkeypatch, "HOT")
    usage = wait_for_end(executor, executor.launch(gang_on(0))).usage
    assert usage["gpu_utilization_pct"] == 80
    assert usage["gpu_peak_memory_gib"] == 5
    # A power cap is normal under load.
    assert usage["gpu_throttled_s"] == 0


def test_what_a_gpu_does_not_tell_is_absent(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_driver(tmp_path, monkeypatch, "NO_POWER", "PLAIN")
    usage = wait_for_end(executor, executor.launch(gang_on(0, 1))).usage
    assert usage["gpu_utilization_pct"] == 60
    assert not {"gpu_power_w", "energy_j", "gpu_nvml_error"} & set(usage)
    assert not NEWER & set(usage)


def test_samples_tell_when_a_gpu_was_held_back(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_driver(tmp_path, monkeypatch, "HOT", "NO_POWER")
    handle = executor.launch(gang_on(0, 1))
    usage = wait_for_end(executor, handle).usage
    samples = samples_of(executor, handle)
    assert [sample.t_s for sample in samples] == sorted(sample.t_s for sample in samples)
    assert samples[-1].values["gpu_throttled_s"] == usage["gpu_throttled_s"] > 1
    levels = samples[1].values
    assert (levels["gpu_clock_mhz"], levels["gpu_temperature_c"]) == (1200, 88)
    assert (levels["gpu_utilization_pct"], levels["gpu_memory_gib"]) == (60, 5)
    used = over(samples, samples[1].t_s, samples[-1].t_s)
    assert used["gpu_throttled_s"] == pytest.approx(samples[-1].t_s - samples[1].t_s, abs=0.3)


def test_a_critical_error_of_a_gpu_is_named(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_driver(tmp_path, monkeypatch, "XID")
    usage = wait_for_end(executor, executor.launch(gang_on(0))).usage
    assert (usage["gpu_xid_errors"], usage["gpu_first_xid"]) == (2, 31)


def test_figures_of_a_lost_gpu_are_unknown_and_the_error_is_named(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_driver(tmp_path, monkeypatch, "LOST")
    handle = executor.launch(gang_on(0, 1))
    usage = wait_for_end(executor, handle).usage
    assert usage["gpu_nvml_error"] == 15
    lost = {"gpu_utilization_pct", "gpu_power_w", "energy_j", "gpu_clock_mhz"}
    assert not lost & set(usage)
    assert usage["gpu_temperature_c"] == 88
    samples = samples_of(executor, handle)
    assert "energy_j" in samples[1].values
    assert "energy_j" not in samples[-1].values


def test_without_a_driver_nothing_is_said(executor: LocalExecutor) -> None:
    usage = wait_for_end(executor, executor.launch(gang_on(63))).usage
    assert [name for name in usage if "gpu" in name or name == "energy_j"] == []
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
        "import sys\n"
        "from pathlib import Path\n"
        "from tuner.executors.host import LocalHost as H\n"
        "from tuner.jobfile import load_job_file\n"
        "found = H().fingerprint(load_job_file(Path(sys.argv[1])))\n"
        "print(H().gpus(), found.get('gpus'), found.get('gpu_driver'), sep=';')"
    )
    job = Path(__file__).parents[2] / "examples" / "dlrm.yaml"
    said = subprocess.run(
        [sys.executable, "-c", code, str(job)],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    gpus, names, driver = said.stdout.strip().split(";")
    assert gpus == expected
    assert names.count("Stub") == expected.count("0") + expected.count("1")
    assert driver == "999.1"
