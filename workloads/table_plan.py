"""Which way each embedding table is spread: by its size, or as written out."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRule:
    """Small tables go to every rank, large ones are cut, and those between stay whole."""

    small_rows: int
    """Tables of fewer rows are data-parallel."""
    large_rows: int
    """Tables of as many rows or more go `large_strategy`; those between are table-wise."""
    large_strategy: str

    def plan(self, rows: Sequence[int]) -> list[str]:
        return [self._strategy(size) for size in rows]

    def _strategy(self, size: int) -> str:
        if size < self.small_rows:
            return "data_parallel"
        return self.large_strategy if size >= self.large_rows else "table_wise"


def written_out(text: str, num_tables: int, known: Sequence[str]) -> list[str]:
    """Reads `data_parallel*10,row_wise*8`, in the order of the tables.

    Raises ValueError, which names the word and the remedy."""
    plan: list[str] = []
    for word in text.split(","):
        strategy, _, times = word.strip().partition("*")
        if strategy not in known:
            raise ValueError(f"table plan: {strategy!r} is none of {', '.join(known)}")
        if times and not (times.isdecimal() and int(times) > 0):
            raise ValueError(f"table plan: {word.strip()!r} must be STRATEGY or STRATEGY*COUNT")
        plan += [strategy] * int(times or 1)
    if len(plan) != num_tables:
        raise ValueError(f"table plan: it names {len(plan)} tables, the model has {num_tables}")
    return plan


def held_bytes(plan: Sequence[str], rows: Sequence[int], dim: int, world_size: int) -> int:
    """Of the values of the tables, on an average rank; data-parallel ones with their gradients."""
    whole = [size * dim * 4 for size in rows]
    if world_size == 1:  # nothing is sent, so that no gradient is kept
        return sum(whole)
    shares = zip(plan, whole, strict=True)
    return sum(2 * w if way == "data_parallel" else w // world_size for way, w in shares)
