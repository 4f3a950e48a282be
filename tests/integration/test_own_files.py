"""Files that a gang, or a tool beside it, writes into a folder of its own are read as well."""

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.gangs import end_everything, make_gang, python, wait_for_end
from tuner.collect.reader import RecordReader
from tuner.executors.local import LocalExecutor
from tuner.gang import Gang
from tuner.spec import LogFile, LogSource

pytestmark = pytest.mark.slow

MONITORED = """
import os, time
folder = os.environ["TRIMTAB_OUTPUT_DIR"]
open(f"{folder}/unnamed.csv", "w").write("step=99\\n")
os.mkfifo(f"{folder}/pipe.csv")
with open(f"{folder}/gpu.csv", "w", buffering=1) as gpu, open(f"{folder}/train.txt", "a") as log:
    gpu.write("index, utilization.gpu [%], power.draw [W]\\n")
    for step in range(1, 5):
        gpu.write(f"0, {20 * step} %, 100.00 W\\n")
        log.write(f"step={step}\\n")
        log.flush()
        time.sleep(0.2)
"""
FILES = (
    LogFile(path="gpu.csv", format="nvidia_smi"),
    LogFile(path="train.txt", format="key_value"),
    LogFile(path="pipe.csv", format="nvidia_smi"),
    LogFile(path="missing.csv", format="dcgm"),
)


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[LocalExecutor]:
    executor = LocalExecutor(tmp_path / "gangs")
    yield executor
    end_everything(executor, tmp_path / "gangs")


def gang_of(code: str, files: tuple[LogFile, ...], key: str = "job-0-0") -> Gang:
    gang = make_gang(key, python(code), per_rank=False)
    return replace(gang, files=tuple(file.path for file in files))


def test_named_files_are_streams_and_dated(executor: LocalExecutor) -> None:
    gang = gang_of(MONITORED, FILES)
    began_s = time.monotonic()
    handle = executor.launch(gang)
    status = wait_for_end(executor, handle)
    reader = RecordReader(LogSource(files=FILES), {}, gang.command)
    chunks = executor.output(handle, {})
    records = [record for chunk in chunks for record in reader.feed(chunk)]
    assert executor.output(handle, reader.cursor) == []

    assert [record.steps for record in records] == [1, 1, 1, 1]
    assert {record.source.split(":")[0] for record in records} == {"files/train.txt"}
    gaps = [b.t_s - a.t_s for a, b in pairwise(records)]
    assert began_s < records[0].t_s < time.monotonic()
    assert all(0.05 < gap < 1.0 for gap in gaps)

    usage = reader.completed(status).usage
    assert usage["gpu_utilization_pct"] == 50
    assert usage["energy_j"] == pytest.approx(100 * sum(gaps), rel=0.3)
    source = reader.usage_sources(status)["gpu_utilization_pct"]
    assert executor.line(handle, "files/gpu.csv", int(source.split("-")[-1])) == "0, 80 %, 100.00 W"


def test_without_names_there_is_no_folder(executor: LocalExecutor) -> None:
    code = "import os; print('TRIMTAB_OUTPUT_DIR' in os.environ)"
    handle = executor.launch(gang_of(code, ()))
    wait_for_end(executor, handle)
    assert executor.tail(handle, 0, 100) == "False\n"


def test_every_launch_has_a_folder_of_its_own(executor: LocalExecutor) -> None:
    code = (
        "import os; d = os.environ['TRIMTAB_OUTPUT_DIR']; print(os.listdir(d)); open(d + '/x', 'w')"
    )
    for key in ("job-0-0", "job-0-1"):
        handle = executor.launch(gang_of(code, FILES, key))
        wait_for_end(executor, handle)
        assert executor.tail(handle, 0, 100) == "[]\n"
