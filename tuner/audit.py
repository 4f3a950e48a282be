"""The audit as a chain: each event carries a hash over itself and the link before it. Pure.

Whoever edits, removes, adds or reorders an event breaks the chain from there on. Whoever removes
the last ones is found out by the head, which is kept apart. It shows that the store was changed by
something else than Trimtab; it does not stop somebody who can write the store and compute hashes.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC

from tuner.model import AuditEvent

START = ""
"""What the first link follows. Events of before there were links have this as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTrail:
    """Every event with its link, in order, and what the head says of them."""

    links: Sequence[tuple[AuditEvent, str]]
    head_count: int
    head_link: str


def link(before: str, event: AuditEvent) -> str:
    """The link of an event that follows the link `before`: a SHA-256."""
    content = asdict(event) | {"at": event.at.astimezone(UTC).isoformat()}
    text = json.dumps([before, content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def verify(trail: AuditTrail) -> str:
    """What is wrong with a trail, as a sentence; empty where every link holds."""
    before = START
    for number, (event, stated) in enumerate(trail.links, 1):
        if stated == START and before == START:
            continue  # from before there were links
        expected = link(before, event)
        if stated != expected:
            return (
                f"event {number} ({event.at:%Y-%m-%d %H:%M:%S} {event.actor} {event.action}) does "
                "not fit the one before it: one of them was changed, added or removed"
            )
        before = stated
    if len(trail.links) != trail.head_count or before != trail.head_link:
        return (
            f"there are {len(trail.links)} events, the head tells of {trail.head_count}: the last "
            "ones were removed or added"
        )
    return ""


def unlinked(trail: AuditTrail) -> int:
    """Events from before there were links, of which nothing can be said."""
    return sum(stated == START for _, stated in trail.links)
