"""Hashes of the code and data of a job: the same while nothing changes, another when it does."""

import os
from pathlib import Path

import pytest

from tests.unit.builders import spec
from tuner.executors import contents
from tuner.executors.contents import data_hash, git_commit, workload_hash
from tuner.spec import JobSpec


def job(folder: Path, *command: str, data: tuple[str, ...] = ()) -> JobSpec:
    return spec(workload={"command": command, "working_dir": str(folder), "data": data})


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("print(1)")
    (tmp_path / "base.yaml").write_text("lr: 1")
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1,2")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.py").write_text("x = 1")
    (tmp_path / "runner").write_text("#!/bin/sh")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "changed"),
    [
        (("python", "train.py"), "train.py"),
        (("python", "train.py", "--config=base.yaml"), "base.yaml"),
        (("python", "train.py", "--config", "base.yaml"), "base.yaml"),
        (("torchrun", "-m", "mine.train"), "mine/model.py"),
        (("./runner", "train"), "runner"),
    ],
)
def test_a_change_of_the_code_is_seen(folder: Path, command: tuple[str, ...], changed: str) -> None:
    before = workload_hash(job(folder, *command))
    assert before is not None
    assert workload_hash(job(folder, *command)) == before
    rewrite(folder / changed, "other")
    assert workload_hash(job(folder, *command)) not in (before, None)


def test_what_a_job_writes_is_no_code(folder: Path) -> None:
    command = ("python", "train.py", "--out=metrics.json", "x" * 5000)
    before = workload_hash(job(folder, *command))
    rewrite(folder / "metrics.json", "{1}")
    assert workload_hash(job(folder, *command)) == before


def test_a_command_without_files_has_no_hash(folder: Path) -> None:
    assert workload_hash(job(folder, "python", "-c", "print()")) is None


def test_a_file_that_changes_back_hashes_as_before(folder: Path) -> None:
    before = workload_hash(job(folder, "python", "train.py"))
    rewrite(folder / "train.py", "other")
    rewrite(folder / "train.py", "print(1)")
    assert workload_hash(job(folder, "python", "train.py")) == before


def test_a_workload_of_trimtab_is_its_whole_package() -> None:
    found = workload_hash(spec(workload={"name": "dlrm"}))
    assert found is not None
    assert "contents of" in found


def test_data_is_files_folders_and_packages(folder: Path) -> None:
    assert data_hash(job(folder, "train")) is None
    wanted = job(folder, "train", data=("data", "base.yaml", "package://tests/data"))
    before = data_hash(wanted)
    assert before == data_hash(wanted)
    (folder / "data" / "b.csv").write_text("3")
    assert data_hash(wanted) != before


def test_data_that_is_not_there_is_named(folder: Path) -> None:
    wanted = job(folder, "train", data=("data", "gone.csv", "package://nowhere_at_all/x"))
    assert data_hash(wanted) == "missing: gone.csv, package://nowhere_at_all/x"


@pytest.mark.timeout(10)
@pytest.mark.parametrize("entry", ["data", "data/pipe"])
def test_a_pipe_among_the_data_is_not_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    os.mkfifo(folder / "data" / "pipe")
    wanted = job(folder, "train", data=(entry,))
    found = data_hash(wanted)
    assert found is not None
    assert "contents of" in found
    monkeypatch.setattr(contents, "MAX_BYTES", -1)
    by_time = data_hash(wanted)
    os.utime(folder / "data" / "pipe", ns=(1, 1))
    assert data_hash(wanted) == by_time


def test_large_data_is_known_by_size_and_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "MAX_BYTES", 2)
    monkeypatch.setattr(contents, "_content", lambda stamp: pytest.fail("read"))
    wanted = job(folder, "train", data=("data",))
    before = data_hash(wanted)
    assert before is not None
    assert "sizes and times" in before
    rewrite(folder / "data" / "a.csv", "1,3")
    assert data_hash(wanted) != before


def test_very_many_files_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MAX_FILES", 3)
    for number in range(9):
        (folder / "data" / f"{number}.csv").write_text("")
    found = data_hash(job(folder, "train", data=("data",)))
    assert found is not None
    assert "first 3 files" in found


def test_the_commit_is_read_without_git(folder: Path) -> None:
    assert git_commit(job(folder / "mine", "train")) is None
    git = folder / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text("# pack\n" + "b" * 40 + " refs/heads/main\n")
    assert git_commit(job(folder / "mine", "train")) == "b" * 12
    (git / "refs" / "heads" / "main").write_text("a" * 40)
    assert git_commit(job(folder / "mine", "train")) == "a" * 12
    (git / "HEAD").write_text("c" * 40)
    assert git_commit(job(folder / "mine", "train")) == "c" * 12
