import pytest

from tuner.executors.host import Gpu, visible
from tuner.executors.nvml import GpuMeter, Tally, combine

GPUS = [Gpu(0, "GPU-aa11", "A"), Gpu(1, "GPU-aa22", "B"), Gpu(2, "GPU-bb33", "C")]


def tally(**readings: list[float]) -> Tally:
    made = Tally()
    for name, values in readings.items():
        for value in values:
            made.add(name, value)
    return made


def test_means_sums_and_peaks() -> None:
    first = tally(utilization_pct=[0, 100], power_w=[100, 300], used_gib=[2, 8, 4])
    second = tally(utilization_pct=[90], power_w=[50], used_gib=[1])
    assert combine([first, second]) == {
        "gpu_utilization_pct": 70.0,
        "gpu_power_w": 250.0,
        "gpu_peak_memory_gib": 8.0,
    }


def test_energy_is_the_difference_of_two_readings() -> None:
    assert combine([tally(energy_j=[100, 150, 175])]) == {"energy_j": 75.0}
    assert combine([tally(energy_j=[100])]) == {}


def test_a_figure_that_one_gpu_lacks_is_unknown() -> None:
    found = combine([tally(power_w=[100], used_gib=[1]), tally(used_gib=[2])])
    assert found == {"gpu_peak_memory_gib": 2.0}


def test_no_gpus_no_figures() -> None:
    assert combine([]) == {}
    meter = GpuMeter([])
    meter.close(0.0)
    assert meter.usage() == {}


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
