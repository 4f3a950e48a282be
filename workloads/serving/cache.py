"""What a replica keeps of its users, so that their part of the model is not computed again."""

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class LruCache(Generic[V]):
    """The entries used last, at most `size` of them; 0 keeps nothing."""

    def __init__(self, size: int) -> None:
        self._entries: OrderedDict[int, V] = OrderedDict()
        self._size = size
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: int) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return entry

    def put(self, key: int, entry: V) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        self._shrink()

    def resize(self, size: int) -> None:
        self._size = size
        self._shrink()

    def _shrink(self) -> None:
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)
