from pathlib import Path

from tuner.collect.usage import parse
from tuner.executors.usage import UsageStream


def moments(path: Path) -> list[float]:
    samples = [parse(line) for line in path.read_text().splitlines()]
    return [sample.t_s for sample in samples if sample is not None]


def test_lines_can_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    stream = UsageStream(path)
    stream.append(1.23456, {"cpu_s": 0.5})
    sample = parse(path.read_text())
    assert sample is not None
    assert (sample.t_s, sample.values) == (1.2346, {"cpu_s": 0.5})


def test_a_long_run_is_sampled_less_often(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    stream = UsageStream(path, lines_before_doubling=4)
    for half in range(40):
        stream.append(half / 2, {})
    assert moments(path)[:4] == [0, 0.5, 1, 1.5]
    assert moments(path)[4:8] == [2.5, 3.5, 4.5, 5.5]
    assert moments(path)[8:] == [7.5, 9.5, 11.5, 13.5, 17.5]


def test_the_last_sample_is_written_however_early(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    stream = UsageStream(path)
    stream.append(1.0, {})
    stream.append(1.1, {})
    stream.append(1.2, {}, last=True)
    assert moments(path) == [1.0, 1.2]


def test_trouble_with_the_disk_is_no_trouble_for_the_gang(tmp_path: Path) -> None:
    UsageStream(tmp_path / "missing" / "usage.jsonl").append(1.0, {})
