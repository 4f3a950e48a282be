"""The line that a figure was read from, as the service finds it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.sql import SqlStore
from tests import store_facts as facts
from tuner.errors import NotFound
from tuner.executors.files import GangFolder
from tuner.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A trial measured by its first launch, and launched once more since."""
    trial = replace(facts.trial(), measurement=facts.MEASUREMENT)
    other = replace(facts.MEASUREMENT, steps=1)
    launches = [facts.attempt(0), replace(facts.attempt(1), measurement=other)]
    store = SqlStore(tmp_path / "trimtab.db")
    store.save(facts.job(), trial, *launches)
    store.close()
    for launch in launches:
        folder = GangFolder(tmp_path / "attempts" / launch.launch_key)
        folder.path.mkdir(parents=True)
        text = f"hello\n 10%|#\r\x1b[31mstep=1 of launch {launch.number}\x1b[0m\r\nrest"
        folder.log(0).write_bytes(text.encode())
    with Service(tmp_path) as opened:
        yield opened


def test_a_line_is_of_the_launch_that_measured_the_trial(service: Service) -> None:
    end = len("hello\n 10%|#\r\x1b[31mstep=1 of launch 0\x1b[0m\r")
    assert service.line("job-1", 0, f"rank-0.log:{end}") == "step=1 of launch 0"
    assert service.line("job-1", 0, f"rank-0.log:{end}-99", attempt=1) == "step=1 of launch 1"
    assert service.line("job-1", 0, "rank-0.log:6") == "hello"


@pytest.mark.parametrize(
    "at",
    ["rank-0.log:5", "rank-0.log:999", "rank-1.log:6", "../x:6", "rank-0.log", "a b:6", "x:-1", ""],
)
def test_a_place_that_is_none_is_told(service: Service, at: str) -> None:
    with pytest.raises(NotFound):
        service.line("job-1", 0, at)
