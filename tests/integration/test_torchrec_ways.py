"""TorchRec on two real CPU ranks: every sharding type that runs learns what the plain DLRM learns.

It runs in processes of its own, as TorchRec warns of much when imported."""

import json
import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.programs import dlrm_ways
from tuner import report
from workloads.common import World
from workloads.torchrec_calibration import SHARDING_TYPES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(find_spec("torchrec") is None, reason="needs `make torchrec`"),
]

STREAM = (
    "--data=synthetic --table-rows-scale=0.001 --global-batch-size=256 --embedding-dim=8 --lr=0.05"
)
EXACT = (
    "--sharding=planner",
    "--sharding=planner_any",
    *(f"--sharding={name}" for name in SHARDING_TYPES if "column" not in name),
    "--sharding=mixed --small-table-rows=100 --large-table-rows=2000",
)
NEARLY = (
    "--sharding=column_wise",
    "--sharding=table_column_wise",
    "--sharding=mixed --table-plan=row_wise*20,column_wise*5,grid_shard",
    "--sharding=table_wise --comm-precision=fp16",
)
"""Slices of columns have a row-wise Adagrad each, and half precision rounds."""
ADAGRAD = ("--optimizer=adagrad", "--optimizer=adagrad --sharding=column_wise")
SGD = ("--optimizer=sgd --sharding=data_parallel", "--optimizer=sgd --sharding=row_wise")
SCALED = "--sharding=row_wise --calibration="

Found = dict[str, dict[str, object]]


def rank_environ(rank: int, ranks: int, port: int) -> dict[str, str]:
    return {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_PORT": str(port),
        "CUDA_VISIBLE_DEVICES": "",
    }


def run_ranks(argv: list[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    ranks = [
        subprocess.Popen(
            [sys.executable, *argv],
            env=rank_environ(rank, 2, port),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        told = [rank.communicate(timeout=150)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], told


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What two ranks have learned and been told, by options."""
    folder = tmp_path_factory.mktemp("torchrec")
    factors = folder / "factors.json"
    factors.write_text('{"factors": {"row_wise": 2.0}}', encoding="utf-8")
    ways = [*EXACT, *NEARLY, *ADAGRAD, *SGD, f"{SCALED}{factors}"]
    file = folder / "found.json"
    words = [f"{STREAM} {way}" for way in ways]
    run_ranks(["-m", "tests.programs.torchrec_ways", str(file), *words])
    read = json.loads(file.read_text(encoding="utf-8"))
    return {way.removesuffix(str(factors)): read[f"{STREAM} {way}"] for way in ways}


def test_every_sharding_type_learns_what_the_plain_dlrm_learns(found: Found) -> None:
    plain = dlrm_ways.learned(STREAM, World())[:-1]
    for way in EXACT:
        assert found[way]["losses"] == pytest.approx(plain, abs=2e-4), way
    for way in NEARLY:
        assert found[way]["losses"] == pytest.approx(plain, abs=3e-3), way


def test_other_optimizers_learn_the_same_however_spread(found: Found) -> None:
    for first, second in (ADAGRAD, SGD):
        assert found[first]["losses"] == pytest.approx(found[second]["losses"], abs=2e-4)
    assert found[ADAGRAD[0]]["losses"] != pytest.approx(found[SGD[0]]["losses"], abs=2e-4)


def test_constraints_reach_the_planner(found: Found) -> None:
    for name in SHARDING_TYPES:
        assert found[f"--sharding={name}"]["tables"] == {name: 26}
    assert found[NEARLY[2]]["tables"] == {"row_wise": 20, "column_wise": 5, "grid_shard": 1}
    assert "row_wise" not in str(found["--sharding=planner"]["tables"])
    assert "row_wise" in str(found["--sharding=planner_any"]["tables"])


def test_a_calibration_scales_what_the_planner_predicts(found: Found) -> None:
    plain, scaled = found["--sharding=row_wise"], found[SCALED]
    assert scaled["total_s"] == pytest.approx(2 * float(str(plain["total_s"])))
    assert scaled["by_type_s"] == pytest.approx(plain["by_type_s"])
    assert float(str(plain["embedding_s"])) > float(str(plain["total_s"])) > 0


def test_the_workload_tells_prediction_and_measurement(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    words = "--max-samples=1024 --eval-at-samples=1024 --sharding=table_wise --threads-per-rank=1"
    argv = [sys.executable, "-m", "workloads.torchrec_dlrm", *words.split()]
    env = {**rank_environ(0, 1, 0), report.FILE_VARIABLE: str(metrics)}
    subprocess.run(argv, env=env, check=True, timeout=120, capture_output=True)
    lines = [report.parse(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    values = {name: value for line in lines if line for name, value in line.values.items()}
    assert sum(line.samples for line in lines if line) == 1024
    assert values["embedding_s"] > 0
    assert values["planned_embedding_s"] == pytest.approx(values["planned_table_wise_s"])
    assert 0 < values["auc"] < 1
