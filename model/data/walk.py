"""Through all items of a set of files, again and again, in an order that the seed gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from model.data.source import DataError


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
    of all files where there are fewer files than streams.
    """

    place: str  # for messages
    files: int
    read: Callable[[int, int], Iterator[T]]  # (file, row): its items from there on
    seed: int
    stream: int = 0
    streams: int = 1

    def items(self, cursor: Cursor) -> Iterator[tuple[T, Cursor]]:
        """Yield items and where to go on behind each, without an end.

        Raises DataError when there is nothing in a whole epoch.
        """
        found = True
        while found:
            found = cursor != Cursor(cursor.epoch)  # begun before: the rest of it may be empty
            for item, behind in self._epoch(cursor):
                found = True
                yield item, behind
            cursor = Cursor(cursor.epoch + 1)
        raise DataError(
            f"{self.place}: nothing there to learn from"
            + (f" for stream {self.stream} of {self.streams}" if self.streams > 1 else "")
            + "; remedy: look at what was skipped, and whether rows have the split 'train'"
        )

    def once(self) -> Iterator[T]:
        """Yield the items of the first epoch."""
        return (item for item, _ in self._epoch(Cursor()))

    def _epoch(self, cursor: Cursor) -> Iterator[tuple[T, Cursor]]:
        order = np.random.default_rng((self.seed, cursor.epoch)).permutation(self.files).tolist()
        shared = self.files < self.streams
        if not shared:
            order = order[self.stream :: self.streams]
        number, row = cursor.item, cursor.row
        for place in range(cursor.file, len(order)):
            for item in self.read(order[place], row):
                number += 1
                if not shared or (number - 1) % self.streams == self.stream:
                    yield item, Cursor(cursor.epoch, place, item.next_row, number)
            row = 0
