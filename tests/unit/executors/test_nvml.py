import pynvml as nv
import pytest

from tuner.executors.host import Gpu, visible
from tuner.executors.nvml import GpuMeter, pause_s
from tuner.tally import HELD_BACK, Tally, Track, now, over_run

GPUS = [Gpu(0, "GPU-aa11", "A"), Gpu(1, "GPU-aa22", "B"), Gpu(2, "GPU-bb33", "C")]


def tally(**readings: list[float]) -> Tally:
    """Readings half a second apart."""
    made: dict[str, Track] = {}
    for name, values in readings.items():
        for number, value in enumerate(values):
            made.setdefault(name, Track()).add(number / 2, value)
    return made


def test_means_sums_peaks_and_the_slowest() -> None:
    first = tally(utilization_pct=[0, 100], power_w=[100], used_gib=[2, 8, 4], clock_mhz=[1980])
    second = tally(utilization_pct=[90], power_w=[50], used_gib=[1], clock_mhz=[1980, 980])
    assert over_run([first, second]) == {
        "gpu_utilization_pct": 70.0,
        "gpu_power_w": 150.0,
        "gpu_peak_memory_gib": 8.0,
        "gpu_clock_mhz": 1480.0,
    }
    assert now([first, second]) == {
        "gpu_utilization_pct": 95.0,
        "gpu_power_w": 150.0,
        "gpu_memory_gib": 4.0,
        "gpu_clock_mhz": 980.0,
    }


def test_counters_are_told_by_their_growth() -> None:
    found = tally(energy_j=[100, 150, 175], nvlink_bytes=[7, 9], ecc_errors=[3, 3])
    assert over_run([found]) == {"energy_j": 75.0, "gpu_nvlink_bytes": 2.0, "gpu_ecc_errors": 0.0}
    assert over_run([tally(energy_j=[100], nvlink_bytes=[7])]) == {}


def test_energy_without_a_counter_is_power_over_time() -> None:
    with_counter = tally(energy_j=[0, 0, 30], power_w=[1, 1, 1])
    without = tally(power_w=[100, 200, 200])
    assert over_run([with_counter, without])["energy_j"] == 30 + 75 + 100


def test_rates_add_up_over_time_and_throttling_counts_once() -> None:
    first = tally(throttled=[0, 1, 1, 0], pcie_rx_bytes_per_s=[10, 10, 30])
    second = tally(throttled=[0, 0, 0, 1], pcie_rx_bytes_per_s=[0, 0, 0])
    assert now([first, second]) == {"gpu_throttled_s": 1.0, "gpu_pcie_rx_bytes": 15.0}


def test_heat_and_the_power_supply_hold_a_gpu_back() -> None:
    assert (
        nv.nvmlClocksThrottleReasonHwSlowdown
        | nv.nvmlClocksThrottleReasonSwThermalSlowdown
        | nv.nvmlClocksThrottleReasonHwThermalSlowdown
        | nv.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
    ) == HELD_BACK


def test_a_figure_that_one_gpu_lacks_is_unknown() -> None:
    found = over_run([tally(power_w=[100], used_gib=[1]), tally(used_gib=[2])])
    assert found == {"gpu_peak_memory_gib": 2.0}


def test_no_gpus_no_figures() -> None:
    assert over_run([]) == now([]) == {}
    meter = GpuMeter([])
    meter.close(0.0)
    assert meter.usage() == meter.reading() == {}


@pytest.mark.parametrize(("spent_s", "expected_s"), [(0.0, 0.2), (0.01, 2.0), (0.1, 2.5)])
def test_costly_readings_are_seldom_but_never_grow_stale(spent_s: float, expected_s: float) -> None:
    assert pause_s(spent_s) == expected_s


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, (0, 1, 2)),
        ("", ()),
        ("-1", ()),
        ("2,0", (2, 0)),
        ("1,7,0", (1,)),
        ("GPU-bb", (2,)),
        ("GPU-aa", ()),
        (" 1 , 2", (1, 2)),
    ],
)
def test_visible_gpus(wanted: str | None, expected: tuple[int, ...]) -> None:
    assert visible(GPUS, wanted) == expected
