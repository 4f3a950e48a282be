import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.gangs import make_gang
from tuner.executors import files
from tuner.executors.files import GangExit, GangFolder
from tuner.gang import RankExit
from tuner.model import Placement


def test_a_gang_comes_back_as_it_was(tmp_path: Path) -> None:
    gang = make_gang(
        "job-0-0",
        ("train", "--name=ü $HOME; rm"),
        nnodes=2,
        placement=Placement(cores=((0, 1), (2,)), gpus=((), (3,))),
        env={"A": "b=c"},
        memory_limit_gib=1.5,
    )
    folder = GangFolder(tmp_path)
    files.write_gang(folder, gang)
    assert files.read_gang(folder) == gang


def test_an_exit_comes_back_as_it_was(tmp_path: Path) -> None:
    ended = GangExit(
        reason="rank_failed",
        elapsed_s=1.5,
        ranks=(RankExit(rank=0, exit_code=-9), RankExit(rank=1, exit_code=None)),
        first_failed_rank=0,
        oom_kills=1,
        usage={"cpu_s": 2.0},
    )
    folder = GangFolder(tmp_path)
    files.write_exit(folder, ended)
    assert files.read_exit(folder) == ended


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("0.25", "0.75"),
        lambda text: text.replace('"version": 1', '"version": 2'),
        lambda text: "[]",
        lambda text: "",
    ],
)
def test_what_is_damaged_is_not_read(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "usage.json"
    files.publish(path, {"cpu_s": 0.25})
    assert files.read(path) == {"cpu_s": 0.25}
    assert callable(damage)
    path.write_text(damage(path.read_text()))
    assert files.read(path) is None


def test_what_is_missing_is_not_read(tmp_path: Path) -> None:
    assert files.read(tmp_path / "exit.json") is None
    assert files.read_gang(GangFolder(tmp_path)) is None
    assert files.read_exit(GangFolder(tmp_path)) is None


def test_publishing_leaves_one_file(tmp_path: Path) -> None:
    for value in (1, 2):
        files.publish(tmp_path / "usage.json", {"value": value})
    assert [path.name for path in tmp_path.iterdir()] == ["usage.json"]
    assert json.loads((tmp_path / "usage.json").read_text())["content"] == {"value": 2}


def test_the_first_to_write_is_heard(tmp_path: Path) -> None:
    assert files.read_first(tmp_path / "stop") == ""
    files.write_first(tmp_path / "stop", "first/./of all")
    files.write_first(tmp_path / "stop", "second")
    assert files.read_first(tmp_path / "stop") == "first/./of all"
    assert [path.name for path in tmp_path.iterdir()] == ["stop"]


def test_a_reason_may_be_long(tmp_path: Path) -> None:
    files.write_first(tmp_path / "stop", "x" * 10_000)
    assert files.read_first(tmp_path / "stop").startswith("xxx")


def test_own_files_are_streams_where_they_were_named(tmp_path: Path) -> None:
    folder = GangFolder(tmp_path)
    files.write_gang(folder, replace(make_gang("k", ("x",)), files=("gpu.csv", "none.csv", "pipe")))
    assert folder.streams() == []
    folder.files.mkdir()
    os.mkfifo(folder.files / "pipe")
    for name in ("gpu.csv", "gpu.csv.marks", "other.csv"):
        (folder.files / name).touch()
    assert [files.stream_of(path) for path in folder.streams()] == ["files/gpu.csv"]


def test_streams_are_what_ranks_write_in_order(tmp_path: Path) -> None:
    folder = GangFolder(tmp_path)
    for rank in (10, 2):
        folder.log(rank).touch()
        folder.metrics(rank).touch()
        files.marks_of(folder.log(rank)).touch()
    folder.usage_samples.touch()
    names = [path.name for path in folder.streams()]
    assert names == [
        "rank-2.log",
        "rank-2.metrics.jsonl",
        "rank-10.log",
        "rank-10.metrics.jsonl",
        "usage.jsonl",
    ]
