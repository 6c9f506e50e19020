"""Conversations in a Redis server, which any number of gateways on any machines share."""

from __future__ import annotations

from collections.abc import Mapping

from wavemill.pipeline.config import ConfigError

PREFIX = "wavemill:talk:"


class RedisStore:
    """A hash for each conversation, which Redis forgets by itself."""

    def __init__(self, url: str, kept_seconds: float) -> None:
        """Connect; raises ConfigError, also where the package is not installed."""
        try:
            import redis
        except ImportError:
            raise ConfigError(
                "package 'redis' is not installed; remedy: pip install redis"
            ) from None
        self._kept = round(kept_seconds)
        try:
            self._server = redis.Redis.from_url(url)
            self._server.ping()
        except (redis.RedisError, ValueError) as error:
            raise ConfigError(f"store: there is no Redis server: {error}") from None

    def read(self, conversation: str) -> dict[str, bytes]:
        found: dict[bytes, bytes] = self._server.hgetall(PREFIX + conversation)
        return {name.decode(): content for name, content in found.items()}

    def write(self, conversation: str, changed: Mapping[str, bytes | None]) -> None:
        key = PREFIX + conversation
        kept = {name: content for name, content in changed.items() if content is not None}
        removed = [name for name, content in changed.items() if content is None]
        with self._server.pipeline(transaction=True) as together:
            if kept:
                together.hset(key, mapping=kept)
            if removed:
                together.hdel(key, *removed)
            together.expire(key, max(1, self._kept))
            together.execute()
