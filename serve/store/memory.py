"""Conversations in the memory of one gateway: gone when it ends."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping


class MemoryStore:
    """The newest conversations, up to a number of bytes."""

    def __init__(self, kept_seconds: float, most_bytes: int) -> None:
        self._kept, self._most = kept_seconds, most_bytes
        self._lock = threading.Lock()
        # What changed last is at the end.
        self._talks: OrderedDict[str, tuple[float, dict[str, bytes]]] = OrderedDict()
        self._bytes = 0

    def read(self, conversation: str) -> dict[str, bytes]:
        with self._lock:
            self._forget()
            _, content = self._talks.get(conversation, (0.0, {}))
            return dict(content)

    def write(self, conversation: str, changed: Mapping[str, bytes | None]) -> None:
        with self._lock:
            _, content = self._talks.pop(conversation, (0.0, {}))
            before = _size(content)
            for name, value in changed.items():
                content.pop(name, None)
                if value is not None:
                    content[name] = value
            self._bytes += _size(content) - before
            if content:
                self._talks[conversation] = time.monotonic(), content
            self._forget()

    def _forget(self) -> None:
        """Drop what is too old, and the oldest beyond the limit."""
        oldest = time.monotonic() - self._kept
        while self._talks:
            at, content = next(iter(self._talks.values()))
            if at >= oldest and (self._bytes <= self._most or len(self._talks) == 1):
                return
            self._talks.popitem(last=False)
            self._bytes -= _size(content)


def _size(content: Mapping[str, bytes]) -> int:
    return sum(map(len, content.values()))
