"""Through all items of a set of files, again and again, in an order that the seed gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from wavemill.model.data.source import DataError


class Item(Protocol):
    """Something that stands in one file, behind what was read before."""

    @property
    def next_row(self) -> int: ...

    @property
    def nbytes(self) -> int: ...


T = TypeVar("T", bound=Item)


@dataclass(frozen=True)
class Cursor:
    """Where the next item is."""

    epoch: int = 0
    file: int = 0  # place in this epoch's order
    row: int = 0  # of that file
    item: int = 0  # items of this epoch before it, where streams share files

    def to_json(self) -> list[int]:
        return [self.epoch, self.file, self.row, self.item]

    @classmethod
    def from_json(cls, told: list[int]) -> Cursor:
        return cls(*(int(number) for number in told))


@dataclass(frozen=True)
class Walk(Generic[T]):
    """The items of one of several streams, which share the data among them.

    Each epoch has its own order of files. Streams take every n-th file of it, or every n-th item
    of all files where there are fewer files than streams; where there are fewer items still, some
    streams have the same one. A stream that finds nothing in its files (they are broken, or all
    held out) has others in the next epoch.
    """

    place: str  # for messages
    files: int
    read: Callable[[int, int], Iterator[T]]  # (file, row): its items from there on
    seed: int
    stream: int = 0
    streams: int = 1

    def items(self, cursor: Cursor) -> Iterator[tuple[T, Cursor]]:
        """Yield items and where to go on behind each, without an end.

        Raises DataError when there is nothing in any file.
        """
        found = True
        while found or self._anything():
            found = cursor != Cursor(cursor.epoch)  # begun before: the rest of it may be empty
            for item, behind in self._epoch(cursor):
                found = True
                yield item, behind
            cursor = Cursor(cursor.epoch + 1)
        raise DataError(
            f"{self.place}: nothing there to learn from; remedy: look at what was skipped, and "
            "whether rows have the split 'train'"
        )

    def once(self) -> Iterator[T]:
        """Yield the items of the first epoch."""
        return (item for item, _ in self._epoch(Cursor()))

    def _epoch(self, cursor: Cursor) -> Iterator[tuple[T, Cursor]]:
        order = np.random.default_rng((self.seed, cursor.epoch)).permutation(self.files).tolist()
        if self.files >= self.streams:
            yield from self._all(cursor, order[self.stream :: self.streams])
            return
        count = cursor.item
        for item, behind in self._all(cursor, order):
            count = behind.item
            if (count - 1) % self.streams == self.stream:
                yield item, behind
        if cursor == Cursor(cursor.epoch) and 0 < count <= self.stream:
            pairs = self._all(cursor, order)
            yield from (pair for pair in pairs if pair[1].item - 1 == self.stream % count)

    def _all(self, cursor: Cursor, order: list[int]) -> Iterator[tuple[T, Cursor]]:
        """Yield what is behind a cursor in files in this order, whosever it is."""
        number, row = cursor.item, cursor.row
        for place in range(cursor.file, len(order)):
            for item in self.read(order[place], row):
                number += 1
                yield item, Cursor(cursor.epoch, place, item.next_row, number)
            row = 0

    def _anything(self) -> bool:
        return any(True for file in range(self.files) for _ in self.read(file, 0))
