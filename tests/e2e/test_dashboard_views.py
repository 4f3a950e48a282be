"""The dashboard over made-up jobs: what it shows, keeps and asks."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import pytest
from playwright.sync_api import Route, expect

from tests.e2e.watched import Watched
from tests.unit.web.fake_service import FakeService, dlrm_spec
from tests.unit.web.served import served
from tuner.model import JobState

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

VIEWS = {
    "#/jobs": "Jobs",
    "#/jobs/busy": "busy",
    "#/jobs/done": "done",
    "#/jobs/done/trials/1": "Trial 1",
    "#/jobs/done/trials/4": "Trial 4",
}
"""Address and heading."""


@pytest.fixture
def service() -> FakeService:
    fake = FakeService()
    fake.add(dlrm_spec("done"), JobState.SUCCEEDED, 24)
    fake.add(dlrm_spec("busy"), JobState.SEARCHING, 9, running=1)
    return fake


@pytest.fixture
def address(service: FakeService) -> Iterator[str]:
    with served(service) as url:
        yield url


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_a_phone(
    address: str, watched: Watched, scheme: Literal["light", "dark"]
) -> None:
    page = watched.page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    for view in VIEWS:
        page.goto(f"{address}/{view}")
        expect(page.locator("h1")).to_have_text(VIEWS[view])
        root = "document.documentElement"
        assert page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") <= 0, view
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", background)[:3]))
    assert (brightness < 150) is (scheme == "dark")
    assert watched.complaints == []
    assert watched.foreign(address) == []


def test_an_update_keeps_focus_scroll_selection_and_nodes(
    address: str, service: FakeService, watched: Watched
) -> None:
    page = watched.page
    page.goto(f"{address}/#/jobs/busy")
    page.locator("details summary", has_text="Job specification").click()
    page.evaluate(
        """() => {
          document.querySelector("tr[data-trial='5']").marked = true;
          getSelection().selectAllChildren(document.querySelector("tr[data-trial='2'] td"));
          document.querySelector("tr[data-trial='3'] a").focus();
        }"""
    )
    place = "[scrollY, String(getSelection())]"
    before = page.evaluate(place)
    assert before[0] > 0
    assert before[1]
    trials = service.trials("busy")
    trials.append(replace(trials[0], number=10))
    expect(page.locator("tr[data-trial='10']")).to_be_visible()
    assert page.evaluate("document.querySelector(\"tr[data-trial='5']\").marked") is True
    assert page.evaluate("document.activeElement.closest('tr').dataset.trial") == "3"
    assert page.evaluate(place) == before
    expect(page.locator("pre", has_text='"seed"')).to_be_visible()


def test_connection_lost_and_found(address: str, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{address}/#/jobs/busy")
    expect(page.locator("#trials")).to_be_visible()

    def cut(route: Route) -> None:
        route.abort()

    page.route("**/api/**", cut)
    banner = page.get_by_role("alert").filter(has_text="Connection lost")
    expect(banner).to_be_visible()
    expect(page.locator("#trials")).to_be_visible()
    page.unroute("**/api/**", cut)
    expect(banner).to_be_hidden()


def test_pause_asks_first_and_resume_follows(
    address: str, service: FakeService, watched: Watched
) -> None:
    page = watched.page
    page.goto(f"{address}/#/jobs/busy")
    page.get_by_role("button", name="Pause", exact=True).click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert service.job("busy").state is JobState.SEARCHING
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.locator("h1 ~ [data-state='paused']")).to_be_visible()
    expect(page.get_by_role("button", name="Resume", exact=True)).to_be_enabled()
    expect(page.locator("#status")).to_contain_text("paused")
    assert watched.complaints == []


def test_a_refusal_is_told(address: str, service: FakeService, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{address}/#/jobs/busy")
    page.get_by_role("button", name="Cancel", exact=True).click()
    service.cancel("busy", actor="another")
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".toast.failed")).to_contain_text("nothing is left to cancel")


def test_sorting_by_keyboard_is_kept_in_the_address(address: str, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{address}/#/jobs/done")
    page.get_by_role("button", name="samples_per_s").focus()
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort='descending']")).to_contain_text("samples_per_s")
    first = page.locator("#trials tbody tr").first
    expect(first).to_contain_text("best so far")
    page.reload()
    expect(first).to_contain_text("best so far")


def test_a_point_tells_its_figures_to_the_keyboard(address: str, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{address}/#/jobs/done")
    page.locator(".point[data-trial='3']").focus()
    expect(page.get_by_role("tooltip")).to_contain_text("against the baseline")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Trial 3")


def test_data_is_never_markup(address: str, service: FakeService, watched: Watched) -> None:
    page = watched.page
    text = "<img src=x onerror=alert(1)><b>bold</b>"
    busy = service.job("busy")
    service.listed[service.listed.index(busy)] = replace(busy, message=text)
    page.goto(f"{address}/#/jobs/busy")
    expect(page.get_by_text(text)).to_be_visible()
    assert page.locator("main img, main b").count() == 0


def test_what_is_not_there_is_said(address: str, service: FakeService, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{address}/#/jobs/none")
    expect(page.get_by_role("alert").filter(has_text="There is no job")).to_be_visible()
    service.listed.clear()
    page.get_by_role("link", name="To the list of jobs").click()
    expect(page.get_by_text("No jobs yet")).to_be_visible()
    service.lease = None
    expect(page.get_by_text("No controller is alive")).to_be_visible()


def test_a_log_follows_its_end_and_keeps_what_is_selected(
    address: str, service: FakeService, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"line {number:03d}" for number in range(400)]
    monkeypatch.setattr(service, "log", lambda *_args, **_named: "\n".join(lines))
    page = watched.page
    page.goto(f"{address}/#/jobs/busy/trials/1")
    expect(page.locator("#log")).to_contain_text("line 399")
    page.evaluate(
        """() => {
          const text = document.querySelector("#log").firstChild;
          const start = text.data.indexOf("line 350");
          getSelection().setBaseAndExtent(text, start, text, start + 8);
        }"""
    )
    lines.append("line 400")
    expect(page.locator("#log")).to_contain_text("line 400")
    assert page.evaluate("String(getSelection())") == "line 350"
    rest = "(log) => log.scrollHeight - log.clientHeight - log.scrollTop"
    assert page.locator("#log").evaluate(rest) < 24
    page.locator("#log").evaluate("(log) => { log.scrollTop = 0; }")
    lines.append("line 401")
    expect(page.locator("#log")).to_contain_text("line 401")
    assert page.locator("#log").evaluate("(log) => log.scrollTop") == 0
    assert watched.complaints == []
