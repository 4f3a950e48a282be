"""The log of a rank: printed once, or followed."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from tuner.cli import session
from tuner.errors import NotFound
from tuner.model import Job

if TYPE_CHECKING:
    from tuner.service import Service

POLL_S = 0.5
_ANCHOR_CHARS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Whose log."""

    job_id: str
    trial: int
    rank: int


def latest_trial(service: "Service", job: Job) -> int:
    """The number of the trial that runs, else of the latest one that was launched."""
    running = service.progress(job.id).running
    if running:
        return running[-1]
    launched = [attempt.trial_number for attempt in service.attempts(job.id)]
    if not launched:
        raise NotFound(f"job {job.name} has not launched a trial yet, so there is no log")
    return max(launched)


def print_log(service: "Service", source: Source, tail: int | None, follow: bool) -> None:
    """Prints the log's tail; with `follow` also what comes, until the trial has ended."""
    session.narrate(f"trial {source.trial}, rank {source.rank}")
    shown = _read(service, source)
    _write(_last_lines(shown, tail))
    ended = not follow
    while not ended:
        time.sleep(POLL_S)
        # Asked before reading: what was written before the end is then shown.
        ended = service.trial(source.job_id, source.trial).state.is_finished
        now = _read(service, source)
        _write(new_part(shown, now))
        shown = now


def _read(service: "Service", source: Source) -> str:
    return service.log(source.job_id, source.trial, rank=source.rank)


def _write(text: str) -> None:
    if text:
        typer.echo(text, nl=False)


def _last_lines(text: str, count: int | None) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(lines if count is None else lines[max(0, len(lines) - count) :])


def new_part(before: str, after: str) -> str:
    """What `after` has beyond `before`, both being tails of one growing log."""
    if after.startswith(before):
        return after[len(before) :]
    anchor = before[-_ANCHOR_CHARS:]
    found = after.rfind(anchor)
    return after if found < 0 else after[found + len(anchor) :]
