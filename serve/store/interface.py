"""What a store does. To it, a conversation is a map from names to bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from wavemill.pipeline.config import ConfigError
from wavemill.serve.config import Limits


class Store(Protocol):
    """Keeps conversations for a time after they last changed. Called from several threads."""

    def read(self, conversation: str) -> dict[str, bytes]:
        """Return all that is kept of a conversation; nothing of one that is not known."""
        ...

    def write(self, conversation: str, changed: Mapping[str, bytes | None]) -> None:
        """Replace these names, and remove those of None: all of them, or none."""
        ...


def open_store(place: str, limits: Limits) -> Store:
    """Return the store that is named `memory`, `sqlite:PATH` or `redis://...`; raises ConfigError.

    A store forgets what has not changed for `limits.kept_seconds`.
    """
    if place == "memory":
        from wavemill.serve.store.memory import MemoryStore

        return MemoryStore(limits.kept_seconds, limits.kept_bytes)
    if place.startswith("sqlite:") and place != "sqlite:":
        from wavemill.serve.store.sqlite import SqliteStore

        return SqliteStore(place.removeprefix("sqlite:"), limits.kept_seconds)
    if place.startswith(("redis://", "rediss://")):
        from wavemill.serve.store.redis import RedisStore

        return RedisStore(place, limits.kept_seconds)
    raise ConfigError(f"store: {place!r} is neither memory nor sqlite:PATH nor redis://HOST:PORT/0")
