"""The chain of the audit: whatever is done to it shows."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.unit.builders import NOON
from tuner.audit import START, AuditTrail, link, unlinked, verify
from tuner.model import AuditEvent

Links = list[tuple[AuditEvent, str]]


def trail(count: int = 5) -> AuditTrail:
    before, links = START, []
    for number in range(count):
        event = AuditEvent(at=NOON, actor="ann", action="plan.apply", detail=str(number))
        before = link(before, event)
        links.append((event, before))
    return AuditTrail(links=links, head_count=count, head_link=before)


def test_a_whole_trail_is_whole() -> None:
    assert verify(trail()) == ""
    assert verify(trail(0)) == ""


def edited(links: Links) -> Links:
    event, stated = links[2]
    return [*links[:2], (replace(event, actor="ben"), stated), *links[3:]]


def removed(links: Links) -> Links:
    return [*links[:2], *links[3:]]


def cut_short(links: Links) -> Links:
    return links[:-1]


def swapped(links: Links) -> Links:
    return [links[1], links[0], *links[2:]]


def doubled(links: Links) -> Links:
    return [*links, links[-1]]


def unlinked_at_the_start(links: Links) -> Links:
    return [(event, START) for event, _ in links[:2]] + links[2:]


def chain_forged(links: Links) -> Links:
    """Everything computed anew after an edit: only the head tells."""
    events = [event for event, _ in edited(links)]
    before, forged = START, []
    for event in events:
        before = link(before, event)
        forged.append((event, before))
    return forged


@pytest.mark.parametrize(
    "deed",
    [edited, removed, cut_short, swapped, doubled, unlinked_at_the_start, chain_forged],
    ids=lambda deed: deed.__name__,
)
def test_every_deed_shows(deed: Callable[[Links], Links]) -> None:
    whole = trail()
    assert verify(replace(whole, links=deed(list(whole.links)))) != ""


def test_events_from_before_there_were_links_are_counted() -> None:
    old = AuditEvent(at=NOON, actor="ann", action="job.create")
    new = trail(2)
    both = AuditTrail(links=[(old, START), *new.links], head_count=3, head_link=new.head_link)
    assert verify(both) == ""
    assert unlinked(both) == 1
