"""Lists in pages: `page_size` and an opaque `page_token`; an empty `next_page_token` is the end."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from tuner.errors import UserError

MAX_PAGE_SIZE = 1000

Item = TypeVar("Item")

PageSize = Annotated[
    int, Query(ge=1, description=f"At most {MAX_PAGE_SIZE}; a larger one counts as that.")
]
PageToken = Annotated[str, Query(description="`next_page_token` of the page before.")]


class Page(BaseModel, Generic[Item]):
    """A part of a list."""

    items: list[Item]
    next_page_token: str
    """Where the next page begins; empty on the last page."""


def cut(
    items: Sequence[Item], key: Callable[[Item], str], page_size: int, page_token: str
) -> tuple[Sequence[Item], str]:
    """The items of one page and the token of the next. `key` names an item for good, so that items
    added in between neither repeat nor hide one. Raises UserError on a foreign token."""
    start = 0
    if page_token:
        keys = [key(item) for item in items]
        start = _position(keys, page_token) + 1
    end = start + min(page_size, MAX_PAGE_SIZE)
    part = items[start:end]
    return part, _token(key(part[-1])) if part and end < len(items) else ""


def _token(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _position(keys: Sequence[str], token: str) -> int:
    try:
        key = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        return keys.index(key)
    except (ValueError, binascii.Error) as error:
        raise UserError(
            f"page_token {token!r} is not one that this list gave. Remedy: begin without one"
        ) from error
