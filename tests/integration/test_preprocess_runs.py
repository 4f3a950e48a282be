"""Preprocessing and the trainer of its features as real processes, on one and two ranks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.workloads.ports import free_port
from tuner import report
from workloads import feature_files, features

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EVENTS = "--events=8000"
DEADLINE_S = 90.0


def run(module: str, *options: str, world_size: int = 1, folder: Path) -> list[Path]:
    """Runs a workload to its end on so many ranks; the files in which each reported."""
    port = free_port()
    metrics = [folder / f"metrics-{port}-{rank}.jsonl" for rank in range(world_size)]
    started = []
    for rank, path in enumerate(metrics):
        env = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(world_size),
            "LOCAL_WORLD_SIZE": str(world_size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "XDG_CACHE_HOME": str(folder.parent / "cache"),
            report.FILE_VARIABLE: str(path),
        }
        argv = [sys.executable, "-m", f"workloads.{module}", *options]
        started.append(subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL))
    try:
        assert [process.wait(DEADLINE_S) for process in started] == [0] * world_size
    finally:
        for process in started:
            process.kill()
            process.wait()
    return metrics


def lines(path: Path) -> list[report.Line]:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [line for line in map(report.parse, text.splitlines()) if line]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The features as one worker makes them."""
    folder = tmp_path_factory.mktemp("preprocess") / "alone"
    folder.mkdir()
    run("preprocess", EVENTS, f"--out={folder / 'out'}", folder=folder)
    return folder / "out"


KNOBS = [
    (1, ("--format=npy", "--partition-rows=2000", "--prefetch=2")),
    (2, ("--format=parquet", "--compression=zstd", "--partition-rows=300", "--threads=2")),
    (3, ("--format=csv", "--balance=static", "--prefetch=1", "--partition-rows=500")),
]


@pytest.mark.parametrize(("workers", "options"), KNOBS)
def test_the_output_is_the_same_whatever_the_knobs(
    made: Path, tmp_path: Path, workers: int, options: tuple[str, ...]
) -> None:
    folder = made.parent.parent / tmp_path.name
    folder.mkdir()
    out = f"--out={folder / 'out'}"
    metrics = run("preprocess", EVENTS, *options, out, world_size=workers, folder=folder)
    wanted = feature_files.digest(made, features.SCHEMA)
    assert feature_files.digest(folder / "out", features.SCHEMA) == wanted
    assert sum(line.samples for line in lines(metrics[0])) == 8000
    assert not any(lines(path) for path in metrics[1:]), "the holder of the queue tells for all"


TRAIN = ("--max-samples=20000", "--eval-at-samples=20000", "--global-batch-size=512")


@pytest.fixture(scope="module")
def alone(made: Path) -> dict[str, float]:
    folder = made.parent.parent / "trained"
    folder.mkdir()
    longer = ("--max-samples=200000", f"--features={made}")
    (path,) = run("ranker", *TRAIN, *longer, folder=folder)
    return last_values(path)


def last_values(path: Path) -> dict[str, float]:
    values: dict[str, float] = {}
    for line in lines(path):
        values |= line.values
    return values


@pytest.mark.parametrize("shares", ["even", "3,1", "measured"])
def test_uneven_shares_learn_what_even_ones_learn(
    made: Path, alone: dict[str, float], tmp_path: Path, shares: str
) -> None:
    words = (*TRAIN, f"--features={made}", f"--batch-shares={shares}", "--prefetch=1")
    metrics = run("ranker", *words, world_size=2, folder=tmp_path)
    first, second = map(last_values, metrics)
    for name in ("loss_test", "auc"):
        assert first[name] == pytest.approx(alone[name], abs=1e-4)
        assert second[name] == first[name]
    samples = [sum(line.samples for line in lines(path)) for path in metrics]
    assert sum(samples) == 20_000
    if shares == "3,1":
        assert samples[0] == pytest.approx(15_000, abs=40)


def test_the_ranker_learns_and_tells_how_long_it_waited(alone: dict[str, float]) -> None:
    assert alone["auc"] > 0.6
    assert 0 <= alone["loader_wait_pct"] <= 100, "told every quarter of a second"
