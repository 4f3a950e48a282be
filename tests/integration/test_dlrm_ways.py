"""However the DLRM is spread, updated and fed, it learns the same: two real ranks, many ways."""

import json
import os
import socket
import subprocess
import sys
from functools import partialmethod
from pathlib import Path

import pytest
from torch import nn

from tests.programs.dlrm_ways import learned
from workloads.common import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SYNTHETIC = (
    "--data=synthetic --table-rows-scale=0.001 --global-batch-size=256 --embedding-dim=4 --lr=0.05"
)
MOVIELENS = "--global-batch-size=256 --embedding-dim=8 --table-rows-scale=0.01 --lr=0.05"
MIX = "--shard-strategy=mixed"
WAYS = (
    "--shard-strategy=data_parallel",
    "--shard-strategy=table_wise",
    "--shard-strategy=row_wise",
    "--shard-strategy=column_wise",
    f"{MIX} --small-table-rows=100 --large-table-rows=2000",
    f"{MIX} --small-table-rows=0 --large-table-rows=9 --large-table-strategy=column_wise",
    f"{MIX} --table-plan=table_wise,column_wise*5,row_wise*20 --pipeline=ids",
    "--embedding-optimizer=fused",
    "--embedding-optimizer=sparse",
    "--shard-strategy=row_wise --embedding-optimizer=dense",
    "--shard-strategy=column_wise --embedding-optimizer=sparse",
    "--shard-strategy=table_wise --pipeline=ids --prefetch=2",
    "--dense-sync=ddp",
)


def lines(options: str) -> list[str]:
    return [f"{options} {way}" for way in WAYS if "plan" not in way or options is SYNTHETIC]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """What two ranks have learned, by command line."""
    folder = tmp_path_factory.mktemp("ways")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    words = [str(folder / "losses.json"), *lines(SYNTHETIC), *lines(MOVIELENS)]
    ranks = []
    for rank in ("0", "1"):
        world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        env = {**os.environ, **world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        env["CUDA_VISIBLE_DEVICES"] = ""
        argv = [sys.executable, "-m", "tests.programs.dlrm_ways", *words]
        ranks.append(subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True))
    told = [rank.communicate(timeout=120)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], told
    losses: dict[str, list[float]] = json.loads(Path(words[0]).read_text(encoding="utf-8"))
    return losses


@pytest.fixture(scope="module", params=[SYNTHETIC, MOVIELENS], ids=["synthetic", "movielens"])
def options(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_way_learns_what_one_rank_learns(found: dict[str, list[float]], options: str) -> None:
    alone = learned(options, World())
    assert alone[0] - alone[3] > 0.01
    for line in lines(options):
        assert found[line] == pytest.approx(alone, abs=2e-4), line


def test_compiled_mlps_learn_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captured and run by the compiler's front end; its C++ code would take half a minute."""
    capture = partialmethod(nn.Module.compile, backend="eager")
    monkeypatch.setattr(nn.Module, "compile", capture)
    compiled = learned(f"{SYNTHETIC} --compile=mlps", World())
    assert compiled == pytest.approx(learned(SYNTHETIC, World()), abs=1e-5)
