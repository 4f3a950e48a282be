"""Files of monitoring tools beside the log: what they say of the usage of a gang."""

from collections.abc import Sequence

import pytest

from tuner.collect.telemetry import USAGE_FORMATS, UsageFile, usage_file
from tuner.spec import LogFile

SMI = (
    "timestamp, index, name, utilization.gpu [%], memory.used [MiB], power.draw [W], "
    "clocks.current.sm [MHz], temperature.gpu, clocks_throttle_reasons.active"
)
SMI_ROWS = (
    "2025/01/01 10:00:00.000, 0, NVIDIA H100, 80 %, 2048 MiB, 300.00 W, 1980 MHz, 60, "
    "0x0000000000000000",
    "2025/01/01 10:00:00.000, 1, NVIDIA H100, 60 %, 1024 MiB, 200.00 W, 1800 MHz, 70, "
    "0x0000000000000000",
    "2025/01/01 10:00:01.000, 0, NVIDIA H100, 100 %, 4096 MiB, 500.00 W, 1980 MHz, 62, "
    "0x0000000000000008",
    "2025/01/01 10:00:01.000, 1, NVIDIA H100, 80 %, 1024 MiB, 400.00 W, 1800 MHz, 72, "
    "0x0000000000000008",
)
SMI_USAGE = {
    "gpu_utilization_pct": 80,
    "gpu_peak_memory_gib": 4,
    "gpu_power_w": 700,
    "gpu_clock_mhz": 1800,
    "gpu_temperature_c": 72,
    "energy_j": 700,
    "gpu_throttled_s": 0.5,
}


def told(format_: str, lines: Sequence[str], columns: tuple[str, ...] = ()) -> UsageFile:
    """Two lines a second, as for two GPUs."""
    file = usage_file(LogFile(path="x", format=format_, columns=columns))
    assert file is not None
    end = 0
    for index, line in enumerate(lines):
        end += len(line) + 1
        file.read(line, 100.0 + index // 2, f"files/x:{end}")
    return file


def test_nvidia_smi_with_units_sums_and_means_over_its_gpus() -> None:
    # Header and a line of noise take the first second.
    file = told("nvidia_smi", [SMI, "", *SMI_ROWS])
    assert file.usage() == pytest.approx(SMI_USAGE)
    assert str(file.span).startswith("files/x:")


def test_nvidia_smi_without_units() -> None:
    bare = [row.replace(" %", "").replace(" MiB", "").replace(" W", "") for row in SMI_ROWS]
    assert told("nvidia_smi", [SMI, "", *bare]).usage() == pytest.approx(SMI_USAGE)


def test_nvidia_smi_without_a_header_needs_its_columns() -> None:
    columns = tuple(column.strip() for column in SMI.split(","))
    assert told("nvidia_smi", SMI_ROWS).usage() == {}
    assert told("nvidia_smi", SMI_ROWS, columns).usage() == pytest.approx(SMI_USAGE)


@pytest.mark.parametrize("unknown", ["[N/A]", "[Not Supported]", "N/A", "[GPU is lost]", ""])
def test_what_nvidia_smi_does_not_know_is_absent(unknown: str) -> None:
    lines = ["index, utilization.gpu [%], power.draw [W]", f"0, 50 %, {unknown}"]
    assert told("nvidia_smi", lines).usage() == {"gpu_utilization_pct": 50}


def test_a_figure_that_one_gpu_lacks_is_no_figure_of_the_gang() -> None:
    lines = ["index, utilization.gpu [%], power.draw [W]", "0, 50 %, 100 W", "1, 70 %, [N/A]"]
    assert told("nvidia_smi", lines).usage() == {"gpu_utilization_pct": 60}


def test_tables_of_dcgmi_are_read_by_their_titles() -> None:
    lines = [
        "#Entity   GPUTL   FBUSD   POWER     TOTEC        SMCLK   TMPTR   XIDER   PCIRX     SMACT",
        "ID                        W         mJ                   C",
        "GPU 0     50      1024    100.000   1000         1900    50      0       1000      0.250",
        "",
        "GPU 0     70      2048    200.000   151000       1800    60      79      3000      0.750",
    ]
    assert told("dcgm", lines).usage() == pytest.approx(
        {
            "gpu_utilization_pct": 60,
            "gpu_peak_memory_gib": 2,
            "gpu_power_w": 150,
            "energy_j": 150,
            "gpu_clock_mhz": 1850,
            "gpu_temperature_c": 60,
            "gpu_xid_errors": 1,
            "gpu_pcie_rx_bytes": 2000,
            "gpu_sm_active_pct": 50,
        }
    )


def test_a_column_that_dcgmi_does_not_know_is_absent() -> None:
    lines = ["# Entity  GPUTL  POWER", "GPU 0     50      N/A", "Switch 3  1  1"]
    assert told("dcgm", lines).usage() == {"gpu_utilization_pct": 50}


def exported(field: str, value: object, gpu: int = 0) -> str:
    labels = f'gpu="{gpu}",UUID="GPU-{gpu}",modelName="A, \\"B\\" {{C}}",Hostname="h"'
    return f"DCGM_FI_{field}{{{labels}}} {value}"


def test_scrapes_of_the_exporter_are_read_one_after_another() -> None:
    lines = [
        "# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).",
        "# TYPE DCGM_FI_DEV_GPU_UTIL gauge",
        exported("DEV_GPU_UTIL", 40),
        exported("DEV_GPU_UTIL", 60, gpu=1),
        exported("DEV_TOTAL_ENERGY_CONSUMPTION", 5e9),
        exported("DEV_TOTAL_ENERGY_CONSUMPTION", 1e9, gpu=1),
        exported("DEV_XID_ERRORS", 43),
        exported("PROF_NVLINK_TX_BYTES", 100),
        exported("PROF_NVLINK_TX_BYTES", 100, gpu=1),
        exported("DEV_FB_USED", 2**63 - 16),
        exported("DEV_GPU_UTIL", 80),
        exported("DEV_GPU_UTIL", 60, gpu=1),
        exported("DEV_TOTAL_ENERGY_CONSUMPTION", 5e9 + 2000),
        exported("DEV_TOTAL_ENERGY_CONSUMPTION", 1e9 + 1000, gpu=1),
        exported("DEV_XID_ERRORS", 43),
        exported("PROF_NVLINK_TX_BYTES", "300 1700000000000"),
        exported("PROF_NVLINK_TX_BYTES", 300, gpu=1),
    ]
    assert told("dcgm", lines).usage() == pytest.approx(
        {
            "gpu_utilization_pct": 60,
            "energy_j": 3,
            "gpu_xid_errors": 0,  # it was there before
            "gpu_nvlink_bytes": 200 * (4 + 4),
        }
    )


@pytest.mark.parametrize("blank", [2**63 - 16, 2.0**47, "nan", "N/A"])
def test_what_the_exporter_does_not_know_is_absent(blank: object) -> None:
    assert told("dcgm", [exported("DEV_FB_USED", blank)]).usage() == {}


@pytest.mark.parametrize(
    "labels",
    [
        ('UUID="GPU-a"', 'UUID="GPU-b"'),
        ('gpu="0",Hostname="a"', 'gpu="0",Hostname="b"'),
        ('gpu="0",UUID="GPU-a",GPU_I_ID="1"', 'gpu="0",UUID="GPU-a",GPU_I_ID="2"'),
    ],
)
def test_gpus_are_told_apart(labels: tuple[str, str]) -> None:
    lines = [f"DCGM_FI_DEV_POWER_USAGE{{{label}}} 100" for label in labels]
    assert told("dcgm", lines).usage() == {"gpu_power_w": 200}


SACCT = (
    "JobID|JobName|State|ExitCode|Elapsed|TotalCPU|MaxRSS|NTasks|ConsumedEnergyRaw|AllocTRES",
    "42|train|COMPLETED|0:0|00:01:40|05:00.500|||9000|billing=4,cpu=4,energy=9000,gres/gpu=1,mem=8G",
    "42.batch|batch|COMPLETED|0:0|00:01:40|00:01.000|5000K|1|4000|cpu=4,mem=8G",
    "42.extern|extern|COMPLETED|0:0|00:01:40|00:00:00|99G|1|0|cpu=4,mem=8G",
    "42.0|python|COMPLETED|0:0|00:01:38|04:59.500|2.50G|4|5000|cpu=4,mem=8G",
)


def test_of_sacct_the_job_counts_for_time_and_the_steps_for_memory_and_energy() -> None:
    file = told("sacct", SACCT)
    assert file.usage() == pytest.approx(
        {
            "elapsed_s": 100,
            "cpu_s": 300.5,
            "cpu_utilization_pct": 75.125,
            "energy_j": 5000,
            "rank_peak_memory_gib": 2.5,
        }
    )
    assert file.notes() == []


def test_the_memory_of_a_single_task_is_that_of_the_job() -> None:
    usage = told("sacct", SACCT[:-1]).usage()
    assert usage["peak_memory_gib"] == usage["rank_peak_memory_gib"] == 5000 / 2**20
    assert usage["energy_j"] == 4000


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("7|x|COMPLETED|0:0|1-02:03:04||||0|cpu=2", {"elapsed_s": 93784}),
        ("7|x|COMPLETED|0:0|00:10|00:00:00||||", {"elapsed_s": 10}),
        ("7|x|COMPLETED|0:0|Unknown||||18446744073709551614|", {}),
        ("7|x|COMPLETED|0:0|||||12.50K|", {"energy_j": 12800}),
        ("7|x|COMPLETED|0:0||||||cpu=2,energy=70", {"energy_j": 70}),
        ("7|x|RUNNING|0:0|00:10|00:05|||5|", {}),
    ],
)
def test_what_slurm_does_not_know_is_absent(row: str, expected: dict[str, float]) -> None:
    assert told("sacct", [SACCT[0], row]).usage() == expected


def test_a_job_that_ended_badly_is_named() -> None:
    file = told("sacct", [SACCT[0], "7|x|OUT_OF_MEMORY|0:125|00:10|||||"])
    (note,) = file.notes()
    assert note == "Slurm says that job 7 ended as OUT_OF_MEMORY with exit code 0:125"
    assert "CANCELLED" in told("sacct", [SACCT[0], "7|x|CANCELLED by 3|0:0|00:10|||||"]).notes()[0]


def test_parsable_lines_end_in_a_separator() -> None:
    assert told("sacct", [f"{line}|" for line in SACCT]).usage() == told("sacct", SACCT).usage()


@pytest.mark.parametrize("format_", USAGE_FORMATS)
@pytest.mark.parametrize(
    "line", ["", "," * 9000, "|" * 9000, "#" * 9000, 'DCGM_FI_DEV_X{a="' * 900, "GPU 0 " * 2000]
)
@pytest.mark.timeout(5)
def test_hostile_lines_say_nothing_and_cost_little(format_: str, line: str) -> None:
    assert told(format_, [line, line]).usage() == {}
