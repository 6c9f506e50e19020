"""A number of places that keys take in turn: none waits behind all requests of another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Full(Exception):
    """Too many wait already."""


class FairPlaces:
    """At most `places` are taken at a time. Whoever waits is served by turns of their keys."""

    def __init__(self, places: int, most_waiting: int) -> None:
        self._free, self._most = places, most_waiting
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # whose turn is next comes first

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def place(self, key: str) -> AsyncIterator[None]:
        """Hold a place; raises Full."""
        await self._take(key)
        try:
            yield
        finally:
            self._give()

    async def _take(self, key: str) -> None:
        if self._free > 0:
            self._free -= 1
            return
        if self.waiting >= self._most:
            raise Full(f"{self.waiting} replies wait already; try again later")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give()  # it was given just now
            elif turn in self._waiting.get(key, ()):
                self._waiting[key].remove(turn)
                if not self._waiting[key]:
                    del self._waiting[key]
            raise

    def _give(self) -> None:
        while self._waiting:
            key, turns = next(iter(self._waiting.items()))
            del self._waiting[key]
            turn = turns.popleft()
            if turns:
                self._waiting[key] = turns  # behind the other keys
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
