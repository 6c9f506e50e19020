"""Who may connect: bearer keys, and pages of which sites."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from wavemill.pipeline.config import ConfigError
from wavemill.serve.config import KEYS_VARIABLE, LOOPBACK, ServeConfig

# How a browser names its key, which cannot set headers of a WebSocket.
PROTOCOL, KEY_PROTOCOL = "realtime", "openai-insecure-api-key."
NOBODY = "local"  # the owner of conversations where there are no keys


class Denied(Exception):
    """A request is not answered: says why, with the status of HTTP."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def read_keys(config: ServeConfig) -> tuple[str, ...]:
    """Return the keys of the file or of the environment. Raises ConfigError.

    Only a server that listens on a loopback address may have none.
    """
    text = os.environ.get(KEYS_VARIABLE, "").replace(",", " ")
    if config.keys_file is not None:
        try:
            text = Path(config.keys_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"keys_file: {config.keys_file}: {error}") from None
    keys = tuple(dict.fromkeys(text.split()))
    if not keys and not config.local:
        raise ConfigError(
            f"host {config.host} is reached from other machines, and there are no keys; remedy: "
            f"--keys FILE with one key a line, or the variable {KEYS_VARIABLE}"
        )
    return keys


@dataclass(frozen=True)
class Access:
    """The keys and the origins of a server."""

    keys: tuple[str, ...]
    origins: tuple[str, ...]

    def owner(self, headers: Mapping[str, str], protocols: Sequence[str] = ()) -> str:
        """Return by which name a client's conversations and limits go; raises Denied.

        `headers` have names in lower case; `protocols` are those that a WebSocket offers.
        """
        self._check_origin(headers)
        if not self.keys:
            return NOBODY
        given = _given_key(headers, protocols)
        if given is None:
            raise Denied(401, "missing_api_key", "a key is needed: Authorization: Bearer KEY")
        # All keys are compared, so that the time says nothing about them.
        known = [hmac.compare_digest(given.encode(), key.encode()) for key in self.keys]
        if not any(known):
            raise Denied(401, "invalid_api_key", "the key is not one of this server's")
        return hashlib.sha256(given.encode()).hexdigest()[:16]

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        host = headers.get("host", "")
        if not self.keys and _name_of(host) not in LOOPBACK:
            # A page of another site whose name was made to lead here.
            raise Denied(403, "host_not_allowed", f"without keys, {host!r} is not answered")
        origin = headers.get("origin")
        if origin is None or "*" in self.origins or origin in self.origins:
            return
        if urlsplit(origin).netloc != host:
            raise Denied(403, "origin_not_allowed", f"pages of {origin} may not connect")


def _given_key(headers: Mapping[str, str], protocols: Iterable[str]) -> str | None:
    kind, _, key = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and key.strip():
        return key.strip()
    for protocol in protocols:
        if protocol.startswith(KEY_PROTOCOL):
            return protocol.removeprefix(KEY_PROTOCOL)
    return None


def _name_of(host: str) -> str:
    """Return a host without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
