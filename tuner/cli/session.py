"""What every command needs: the service, who asks, and a voice on standard error."""

import getpass
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tuner.errors import UserError

if TYPE_CHECKING:
    from tuner.service import Service


DEBUG_VARIABLE = "TRIMTAB_DEBUG"


def is_debugging() -> bool:
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def home() -> Path:
    """The folder in which Trimtab keeps everything."""
    from tuner import settings

    return settings.home()


def open_service(folder: Path | None = None) -> "Service":
    """The service on a home folder. It knows the concrete classes, so it is imported late."""
    from tuner.service import Service

    return Service(folder or home())


def actor() -> str:
    """Who is asking, for the audit trail."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def narrate(text: str) -> None:
    """Says something about what happens; results go to standard output instead."""
    typer.echo(text, err=True)


class Narration(logging.Handler):
    """Log records on standard error, whatever that is by then; tracebacks only when debugging."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        narrate(f"trimtab: {record.getMessage()}" + (f": {error}" if error else ""))
        if error is not None and is_debugging():
            narrate("".join(traceback.format_exception(error)).rstrip())


def confirm(question: str, *, yes: bool) -> None:
    """Asks on a terminal. Raises UserError where nobody can answer, typer.Abort on a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(f"{question} Nobody can answer here. Remedy: add --yes")
    typer.confirm(question, abort=True, err=True)
