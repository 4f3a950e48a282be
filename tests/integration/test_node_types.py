"""Nodes of other speeds, as real gangs: quotas and shaped links that the kernel keeps to."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gangs import end_everything, make_gang, python, wait_for_end
from tuner import nodes
from tuner.executors import cgroup
from tuner.executors.files import GangFolder
from tuner.executors.local import LocalExecutor
from tuner.model import Placement


def can_limit() -> bool:
    place = cgroup.own_place("cpu")
    return os.geteuid() == 0 and place is not None and os.access(place.folder, os.W_OK)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_limit(), reason="needs root and a control group with `cpu`"),
]

SPIN = """
import os, time
rank = os.environ["RANK"]
began, used = time.monotonic(), time.process_time()
while time.monotonic() - began < 1.5:
    pass
print((time.process_time() - used) / (time.monotonic() - began))
"""
SEND = """
import os, socket, time
if os.environ["RANK"] == "0":
    server = socket.create_server(("127.0.0.1", int(os.environ["MASTER_PORT"])))
    link, _ = server.accept()
    began, got = time.monotonic(), 0
    while got < 1_250_000:
        got += len(link.recv(65536))
    print(8 * got / 1e6 / (time.monotonic() - began))
else:
    while True:
        try:
            link = socket.create_connection(("127.0.0.1", int(os.environ["MASTER_PORT"])))
            break
        except ConnectionRefusedError:
            time.sleep(0.02)
    link.sendall(bytes(1_250_000))
"""


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[LocalExecutor]:
    executor = LocalExecutor(tmp_path / "gangs")
    yield executor
    end_everything(executor, tmp_path / "gangs")


def printed(executor: LocalExecutor, code: str, env: dict[str, str]) -> list[str]:
    core = min(os.sched_getaffinity(0))
    placement = Placement(cores=((core,), (max(os.sched_getaffinity(0)),)), gpus=((), ()))
    gang = make_gang("g", python(code), nnodes=2, placement=placement, env=env)
    handle = executor.launch(gang)
    status = wait_for_end(executor, handle)
    assert status.reason == "exited", executor.tail(handle, 0, 2000)
    return [executor.tail(handle, rank, 2000).strip() for rank in (0, 1)]


def test_a_slow_node_gets_no_more_than_its_share(executor: LocalExecutor, tmp_path: Path) -> None:
    _, slow = printed(executor, SPIN, {nodes.SHARES_VARIABLE: "1,0.25"})
    assert float(slow) < 0.35
    place = cgroup.own_place("cpu")
    assert place is not None
    assert not list(place.folder.glob("trimtab-g-*")), "groups go with their gang"


@pytest.mark.skipif(shutil.which("tc") is None, reason="needs iproute2")
def test_a_slow_link_carries_no_more_than_it_should(executor: LocalExecutor) -> None:
    rate, _ = printed(executor, SEND, {nodes.LINK_VARIABLE: "20"})
    assert float(rate) < 40, "Mbit/s, a burst of 2 Mbit included"


def test_what_cannot_be_emulated_is_told_with_a_remedy(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    handle = executor.launch(make_gang("g", python("pass"), env={nodes.LINK_VARIABLE: "0"}))
    status = wait_for_end(executor, handle)
    assert status.reason == "rank_failed"
    log = GangFolder(tmp_path / "gangs" / "g").log(0).read_text()
    assert "cannot be started" in log
