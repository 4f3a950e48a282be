"""Which commands may start warm, and what a template must have in common with its controller."""

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tuner.executors.template import UnsafeError, is_own, preload
from tuner.executors.warm import Templates
from tuner.model import LaunchCommand

DLRM = (sys.executable, "-m", "workloads.dlrm", "--lr=0.1")


def command(
    argv: tuple[str, ...] = DLRM, working_dir: str = "/", env: Mapping[str, str] | None = None
) -> LaunchCommand:
    return LaunchCommand(
        argv=argv,
        env=dict(env or {}),
        working_dir=working_dir,
        nnodes=1,
        nproc_per_node=2,
        per_rank=True,
    )


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    return Templates(tmp_path, "workloads")


@pytest.mark.parametrize(
    "argv",
    [
        (),
        (sys.executable,),
        (sys.executable, "-m"),
        ("python", *DLRM[1:]),
        (sys.executable, "-u", *DLRM[1:]),
        (sys.executable, "-c", "workloads.dlrm"),
        (sys.executable, "-m", "workloads"),
        (sys.executable, "-m", "workloads_of_mine.dlrm"),
        (sys.executable, "-m", "tuner.report"),
        ("torchrun", *DLRM),
    ],
)
def test_foreign_commands_start_cold(templates: Templates, argv: tuple[str, ...]) -> None:
    assert templates.find(command(argv)) is None


def test_without_a_package_everything_starts_cold(tmp_path: Path) -> None:
    assert Templates(tmp_path, None).find(command()) is None


@pytest.mark.parametrize(
    ("name", "value", "warm"),
    [
        ("OMP_WAIT_POLICY", "PASSIVE", True),
        ("OMP_WAIT_POLICY", "ACTIVE", False),
        ("INHERITED", "as it is", True),
        ("INHERITED", "other", False),
        ("OMP_NUM_THREADS", "2", False),
        ("CUDA_VISIBLE_DEVICES", "0", False),
        ("LD_PRELOAD", "libjemalloc.so", False),
        ("PYTHONHASHSEED", "0", False),
        ("NOBODY_KNOWS", "1", False),
        ("NCCL_P2P_DISABLE", "1", True),
        ("GLOO_SOCKET_IFNAME", "lo", True),
        ("TRIMTAB_MINE", "1", True),
    ],
)
def test_variables_that_may_be_read_by_an_import_start_cold(
    templates: Templates, monkeypatch: pytest.MonkeyPatch, name: str, value: str, warm: bool
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("INHERITED", "as it is")
    assert (templates.find(command(env={name: value})) is not None) == warm


def test_a_package_of_the_same_name_in_the_working_folder_starts_cold(
    templates: Templates, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    assert templates.find(command(working_dir=str(work))) is not None
    (work / "workloads").mkdir()
    assert templates.find(command(working_dir=str(work))) is None


def test_this_project_itself_is_no_such_folder(templates: Templates) -> None:
    assert templates.find(command(working_dir=str(Path(__file__).parents[3]))) is not None


def test_a_template_is_kept_while_nothing_changes(templates: Templates) -> None:
    first = templates.find(command())
    assert first is not None
    assert templates.find(command((*DLRM, "--seed=1"), "/tmp", {"NCCL_DEBUG": "WARN"})) is first


def folder_of(templates: Templates) -> Path:
    template = templates.find(command())
    assert template is not None
    return template.folder.path


def test_what_a_fork_would_inherit_makes_another(
    templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [folder_of(templates)]
    monkeypatch.setenv("MKL_NUM_THREADS", "1")
    folders.append(folder_of(templates))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {4095})
    folders.append(folder_of(templates))
    monkeypatch.setattr(os, "getpriority", lambda *_: 19)
    folders.append(folder_of(templates))
    assert len(set(folders)) == 4


def test_the_one_before_is_released(templates: Templates, monkeypatch: pytest.MonkeyPatch) -> None:
    first = templates.find(command())
    assert first is not None
    first.folder.path.mkdir()
    first.folder.lease.touch()
    templates.renew()
    assert first.folder.lease.exists()
    monkeypatch.setenv("MKL_NUM_THREADS", "1")
    templates.find(command())
    assert not first.folder.lease.exists()


def test_a_shell_of_its_own_makes_no_other(
    templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = templates.find(command())
    for name in ("_", "PWD", "OLDPWD", "SHLVL"):
        monkeypatch.setenv(name, "/elsewhere")
    assert templates.find(command()) is first


def test_no_template_no_connection(templates: Templates) -> None:
    template = templates.find(command())
    assert template is not None
    assert template.connect() is None
    template.folder.path.mkdir()
    template.folder.socket.touch()
    assert template.connect() is None


def test_only_the_same_user_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = socket.socketpair()
    with here, there:
        assert is_own(here)
        monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
        assert not is_own(here)


def test_a_process_with_threads_is_no_template(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "listdir", lambda _path: ["1", "2", "3"])
    with pytest.raises(UnsafeError, match="has started 2 threads"):
        preload("json")
