"""A cache of values that take long to make, in a bounded number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST = 64  # kept


class LruCache(Generic[K, V]):
    """The values that were used last, by their keys."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return a value that is kept, or None."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: K, value: V) -> None:
        """Keep a value, in place of the one that was not used for the longest time."""
        self._kept[key] = value
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
