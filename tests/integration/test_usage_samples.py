"""What a gang used over time, by real processes, started cold and warm."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gangs import (
    end_everything,
    make_gang,
    program,
    python,
    wait_for,
    wait_for_end,
    warm_executor,
)
from tuner.collect.usage import STREAM, over, parse
from tuner.executors.local import LocalExecutor
from tuner.gang import RunState, UsageSample

pytestmark = pytest.mark.slow

# A child of a child takes a core for a second, then 200 MiB for another one; 4 MiB go to the disk.
WORKS = """
import os, subprocess, sys, time
child = '''
import time
end_s = time.monotonic() + 1
while time.monotonic() < end_s:
    pass
held = bytearray(200 * 2**20)
for page in range(0, len(held), 4096):
    held[page] = 1
time.sleep(1)
'''
with open(os.environ["TEST_FILE"], "wb") as file:
    file.write(os.urandom(4 * 2**20))
    file.flush()
    os.fsync(file.fileno())
subprocess.run([sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])",
                sys.executable, "-c", child], check=True)
"""


@pytest.fixture(params=["cold", "warm"])
def executor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalExecutor]:
    if request.param == "warm":
        with warm_executor(tmp_path / "gangs") as executor:
            yield executor
        return
    executor = LocalExecutor(tmp_path / "gangs", warm_package=None)
    yield executor
    end_everything(executor, tmp_path / "gangs")


def samples_of(executor: LocalExecutor, handle: str) -> list[UsageSample]:
    data = b"".join(c.data for c in executor.output(handle, {}) if c.stream == STREAM)
    return [sample for line in data.decode().splitlines() if (sample := parse(line))]


def test_use_of_the_whole_gang_over_time(
    request: pytest.FixtureRequest, executor: LocalExecutor, tmp_path: Path
) -> None:
    command = program if request.node.callspec.params["executor"] == "warm" else python
    env = {"TEST_FILE": str(tmp_path / "written")}
    began_s = time.monotonic()
    handle = executor.launch(make_gang("job-0-0", command(WORKS), env=env))
    wait_for(lambda: executor.poll(handle).state is RunState.EXITED or samples_of(executor, handle))
    assert executor.poll(handle).state is RunState.RUNNING, "samples come while it runs"
    status = wait_for_end(executor, handle)
    assert status.reason == "exited", executor.tail(handle, 0, 2000)
    samples = samples_of(executor, handle)
    times = [sample.t_s for sample in samples]
    assert times == sorted(times)
    assert began_s <= times[0]
    assert times[-1] <= time.monotonic()
    # About two a second, whatever else the computer does.
    assert len(samples) >= 4
    last = samples[-1].values
    assert last["cpu_s"] == status.usage["cpu_s"] > 0.3
    assert last["io_written_bytes"] >= 4 * 2**20
    assert max(sample.values.get("memory_gib", 0.0) for sample in samples) > 0.19
    used = over(samples, times[0], times[-1])
    assert used["cpu_s"] == pytest.approx(last["cpu_s"] - samples[0].values["cpu_s"])
    assert "other_cpu_s" in used
