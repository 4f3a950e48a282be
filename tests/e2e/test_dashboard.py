"""A job from its first row in the dashboard to an applied and rolled back plan, all of it real."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.watched import Watched

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

START_S = 60
FINISH_MS = 180_000

# Its rate follows from its only option: each step takes about the same time.
SCRIPT = """
import sys, time
from tuner import report
rows = int(sys.argv[1])
for number in range(100_000):
    time.sleep(0.004)
    report.step(samples=rows)
    if number % 50 == 0:
        print(f"step {number} of {rows} rows", flush=True)
"""


def _job(folder: Path) -> dict[str, object]:
    options = [8, 16, 32, 48, 64]
    return {
        "name": "sleeper",
        "workload": {"command": [sys.executable, "-c", SCRIPT, "${rows}"]},
        "space": {"params": {"rows": {"kind": "choice", "options": options}}},
        "budget": {"trials": 4},
        "search": {"method": "random"},
        "resources": {"lease_s": 30.0},
        "measuring": {"precision_pct": 10.0, "confirm_precision_pct": 10.0, "min_window_s": 0.5},
        "apply": {"pairs": 3, "target": {"path": str(folder / "plan.json")}},
    }


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where a freshly started `trimtab serve` answers."""
    told = tmp_path / "stderr.txt"
    command = [str(Path(sys.executable).parent / "trimtab"), "serve", "--port", "0"]
    env = {**os.environ, "TRIMTAB_HOME": str(tmp_path / "home")}
    with told.open("wb") as stderr:
        process = subprocess.Popen(command, env=env, stderr=stderr)
    try:
        yield _address(process, told)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(30)
        finally:
            process.kill()
            process.wait()
    assert code == 0, told.read_text()


def _address(process: "subprocess.Popen[bytes]", told: Path) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"Trimtab is at (http://127\.0\.0\.1:\d+)\n", told.read_text())
        if found:
            return found[1]
        time.sleep(0.05)
    pytest.fail(f"trimtab serve gave no address: {told.read_text()}")


def _create(address: str, job: dict[str, object]) -> str:
    request = urllib.request.Request(
        f"{address}/api/v1/jobs",
        data=json.dumps(job).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202
        return str(json.load(answer)["id"])


@pytest.mark.timeout(300)
def test_a_job_is_seen_from_its_start_to_its_roll_back(
    address: str, watched: Watched, tmp_path: Path
) -> None:
    page = watched.page
    page.goto(address)
    expect(page.get_by_text("No jobs yet")).to_be_visible()

    job = _create(address, _job(tmp_path))
    row = page.locator(f"tr[data-job='{job}']")
    expect(row).to_be_visible()
    row.get_by_role("link", name="sleeper").click()

    points = page.locator(".point[data-state='complete']")
    expect(points.first).to_be_visible(timeout=FINISH_MS)
    expect(page.locator("h1 ~ [data-state='succeeded']")).to_be_visible(timeout=FINISH_MS)
    expect(points).to_have_count(4)
    expect(page.locator("#trials tbody tr")).to_have_count(4)
    plan = page.locator("#plan")
    expect(plan.locator("[data-state='better']")).to_be_visible()
    page.screenshot(path=tmp_path / "job.png", full_page=True)

    target = tmp_path / "plan.json"
    _press(watched, "Apply")
    expect(plan.locator("[data-application] [data-state='canary']")).to_be_visible()
    assert json.loads(target.read_text())["params"] == {"rows": 64}
    _press(watched, "Roll back")
    expect(plan.locator("[data-application] [data-state='rolled_back']")).to_be_visible()
    assert json.loads(target.read_text())["params"] == {"rows": 8}

    page.get_by_role("link", name="Trial 1", exact=True).click()
    expect(page.locator("#log")).to_contain_text(re.compile(r"step \d+ of \d+ rows"))
    page.screenshot(path=tmp_path / "trial.png", full_page=True)
    assert watched.complaints == []
    assert watched.foreign(address) == []


def _press(watched: Watched, name: str) -> None:
    """Presses a button of the plan and agrees to the question."""
    watched.page.locator("#plan").get_by_role("button", name=name, exact=True).click()
    watched.page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()
