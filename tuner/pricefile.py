"""Price books in files of their own: YAML to a PriceBook and back."""

import json
import os
from contextlib import suppress
from datetime import date
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from tuner import spec_faults, yaml_lines
from tuner.errors import InvalidJob, Problem, UserError
from tuner.money import EXACT
from tuner.prices import OLD_DAYS, PriceBook


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[PriceBook]:
    return TypeAdapter(PriceBook)


def load_prices(path: Path) -> PriceBook:
    """The price book in a file. Raises InvalidJob with every fault found."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        remedy = "give the path of a price book; `trimtab prices import` makes one"
        problem = Problem(field="(file)", message=f"cannot be read: {reason}", remedy=remedy)
        raise InvalidJob([problem], str(path)) from error
    document = yaml_lines.read(text, str(path))
    try:
        return _adapter().validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        problems = spec_faults.explain(error, document, _adapter().json_schema())
        raise InvalidJob(problems, str(path)) from error


def dump_prices(book: PriceBook) -> str:
    """A price book as YAML, what is not given left out."""
    plain = _adapter().dump_python(book, mode="json", exclude_defaults=True)
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    return f"# Prices for `prices: {{file: ...}}` of a job file.\n{text}"


def write_prices(book: PriceBook, path: Path) -> None:
    """Writes a price book as a whole or not at all. Raises UserError."""
    written = path.parent / f".{path.name}.{os.getpid()}"
    try:
        written.write_text(dump_prices(book), encoding="utf-8")
        written.replace(path)
    except OSError as error:
        with suppress(OSError):
            written.unlink(missing_ok=True)
        raise UserError(
            f"{path} cannot be written: {error.strerror}. Remedy: name a file in a folder that "
            "exists and that you may write to"
        ) from error


def plain_prices(book: PriceBook) -> dict[str, object]:
    """A price book as plain data, every digit kept."""
    plain: dict[str, object] = _adapter().dump_python(
        book, mode="json", exclude_defaults=True, context=EXACT
    )
    return plain


def age(book: PriceBook, today: date) -> str:
    """How old a price book is, in words."""
    days = book.age_days(today)
    return f"{days} days old" + (
        f": older than {OLD_DAYS}, read it anew" if days > OLD_DAYS else ""
    )
