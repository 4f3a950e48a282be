"""What requests ask: bodies of a file one after the other, or rankings for users drawn by Zipf."""

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

_LISTS = 256
"""Different lists of candidates; users are drawn anew for every request."""


def same(text: str) -> Iterator[bytes]:
    return itertools.repeat(text.encode())


def of_file(path: Path) -> Iterator[bytes]:
    """One body a line, from the first again after the last. Raises OSError, and ValueError where
    there is none."""
    lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{path} has no line")
    return itertools.cycle(lines)


def rankings(users: int, items: int, candidates: int, zipf: float, seed: int) -> Iterator[bytes]:
    """Endless requests: the n-th user comes in proportion to n ** -zipf, and so do items."""
    rng = random.Random(seed)
    by_rank = list(itertools.accumulate((rank + 1) ** -zipf for rank in range(items)))
    lists = [
        json.dumps(rng.choices(range(items), cum_weights=by_rank, k=candidates)).encode()
        for _ in range(_LISTS)
    ]
    weights = list(itertools.accumulate((rank + 1) ** -zipf for rank in range(users)))
    everybody = range(users)
    while True:
        user = rng.choices(everybody, cum_weights=weights)[0]
        yield b'{"user":%d,"items":%s}' % (user, rng.choice(lists))
