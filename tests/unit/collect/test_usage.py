import json

import pytest

from tuner.collect.reader import RecordReader
from tuner.collect.usage import over, parse
from tuner.gang import Chunk, UsageSample
from tuner.model import LaunchCommand
from tuner.spec import LogSource


def series(name: str, *points: tuple[float, float]) -> list[UsageSample]:
    return [UsageSample(t_s=t_s, values={name: value}) for t_s, value in points]


def test_a_line_gives_its_moment_and_its_values() -> None:
    sample = parse('{"t_s":12.5,"cpu_s":3,"memory_gib":0.25}')
    assert sample == UsageSample(t_s=12.5, values={"cpu_s": 3.0, "memory_gib": 0.25})


@pytest.mark.parametrize(
    "line",
    ["", "{", "[1]", "7", '{"cpu_s":1}', '{"t_s":1,"x":"y"}', '{"t_s":NaN}', '{"t_s":1,"x":[]}'],
)
def test_what_is_no_sample_is_none(line: str) -> None:
    assert parse(line) is None


def test_sums_grow_and_are_interpolated() -> None:
    samples = series("cpu_s", (0, 0.0), (1, 2.0), (2, 2.0), (4, 6.0))
    assert over(samples, 0.5, 3) == {"cpu_s": pytest.approx(3.0)}
    assert over(samples, 0.25, 0.75) == {"cpu_s": pytest.approx(1.0)}


def test_levels_are_means_of_what_lies_within() -> None:
    samples = series("gpu_clock_mhz", (0, 100.0), (1, 200.0), (2, 400.0), (3, 900.0))
    assert over(samples, 0.5, 2.5) == {"gpu_clock_mhz": 300.0}
    # Nothing within: the two around.
    assert over(samples, 1.2, 1.4) == {"gpu_clock_mhz": 300.0}


def test_a_sum_goes_on_past_its_ends_for_one_gap_only() -> None:
    samples = series("energy_j", (10, 100.0), (11, 110.0), (12, 130.0))
    assert over(samples, 9, 13) == {"energy_j": pytest.approx(60.0)}
    assert over(samples, 8.9, 12) == {}
    assert over(samples, 10, 13.1) == {}


def test_each_name_has_its_own_reach() -> None:
    samples = [
        UsageSample(t_s=float(t), values={"cpu_s": float(t)} | ({"energy_j": 0.0} if t < 5 else {}))
        for t in range(11)
    ]
    assert over(samples, 2, 10) == {"cpu_s": pytest.approx(8.0)}
    assert set(over(samples, 0, 4)) == {"cpu_s", "energy_j"}


def test_a_window_without_length_or_samples_has_nothing() -> None:
    samples = series("cpu_s", (0, 0.0), (1, 2.0))
    assert over(samples, 1, 1) == over(samples, 1, 0) == over([], 0, 1) == {}
    assert over(samples[:1], 0, 0.1) == {}


def test_a_moment_that_is_told_twice_counts_once() -> None:
    samples = series("cpu_s", (0, 0.0), (1, 2.0), (1, 5.0), (0.5, 9.0), (2, 4.0))
    assert over(samples, 0, 1.5) == {"cpu_s": pytest.approx(3.0)}


def test_the_reader_takes_samples_piece_by_piece() -> None:
    command = LaunchCommand(
        argv=("x",), env={}, working_dir="/", nnodes=1, nproc_per_node=1, per_rank=True
    )
    reader = RecordReader(LogSource(), {}, command)
    data = (
        b"".join(json.dumps({"t_s": t, "cpu_s": 2 * t}).encode() + b"\n" for t in range(3))
        + b"nonsense\n"
    )
    for offset in range(0, len(data), 7):
        chunk = Chunk(stream="usage.jsonl", offset=offset, data=data[offset : offset + 7])
        assert reader.feed(chunk) == []
    assert [sample.values["cpu_s"] for sample in reader.usage] == [0, 2, 4]
    assert reader.cursor == {"usage.jsonl": len(data)}
