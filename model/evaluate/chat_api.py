"""Requests to an OpenAI-compatible API, repeated when that may help."""

from __future__ import annotations

import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

WORTH_ANOTHER_TRY = frozenset({408, 409, 425, 429})
SHOWN_BYTES = 500  # of what a server says
MOST_BYTES = 64 << 20  # of a reply
CHAT = "/chat/completions"
T = TypeVar("T")


class Refused(Exception):
    """There is no reply; the message says why."""

    def __init__(self, reason: str, status: int = 0, after: float | None = None) -> None:
        """`status`: HTTP status, 0 if there is none; `after`: seconds the server asks to wait."""
        super().__init__(reason)
        self.status, self.after = status, after

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in {0, *WORTH_ANOTHER_TRY} or self.status >= 500


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as a failure, so that the key is never sent to another host."""

    def redirect_request(self, *_: object) -> None:
        return None


@dataclass(frozen=True)
class ChatApi:
    """An API with its retries and time limits; safe to use from several threads."""

    url: str
    """Its base, e.g. https://api.openai.com/v1."""
    key: str = field(default="", repr=False)
    tries: int = 5
    first_pause: float = 1.0
    """Seconds; doubles with each try, plus up to as much again at random."""
    longest_pause: float = 30.0
    timeout: float = 120.0
    """Seconds for one request."""

    def ask(self, body: Mapping[str, object], read: Callable[[bytes], T], path: str = CHAT) -> T:
        """Post `body` and return `read(reply)`; `read` raises Refused to have it sent again.

        `path` is that of the endpoint below `url`.

        Raises Refused after the last try, and at once for errors that will not pass.
        """
        content = json.dumps(body).encode()
        for tried in range(1, self.tries + 1):
            try:
                return read(self._post(content, path))
            except Refused as refused:
                if not refused.passing:
                    raise
                if tried == self.tries:
                    reason = f"{refused} ({tried} tries)"
                    raise Refused(reason, refused.status) from None
                time.sleep(self._pause(tried, refused.after))
        raise Refused("no try was allowed")

    def _pause(self, tried: int, after: float | None) -> float:
        grown = self.first_pause * 2 ** (tried - 1) * (1 + random.random())
        return min(max(grown, after or 0.0), self.longest_pause)

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        return urllib.request.build_opener(_NoRedirect)

    def _post(self, content: bytes, path: str) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.url.rstrip("/") + path, content, headers)
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                found = bytes(response.read(MOST_BYTES + 1))
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(SHOWN_BYTES).decode("utf-8", "replace").strip()
            after = _seconds(error.headers.get("Retry-After"))
            raise Refused(f"HTTP {error.code}: {said}", error.code, after) from None
        except (OSError, http.client.HTTPException) as error:
            raise Refused(f"{type(error).__name__}: {error}") from None
        if len(found) > MOST_BYTES:
            raise Refused(f"a reply of more than {MOST_BYTES} bytes", status=400)
        return found


def _seconds(header: str | None) -> float | None:
    try:
        return float(header) if header else None
    except ValueError:
        return None


def first_choice(content: bytes) -> tuple[str, bool]:
    """Return the text of a reply, and whether it was cut. Raises Refused for an invalid body."""
    try:
        choice = json.loads(content)["choices"][0]
        text, cut = choice["message"]["content"], choice.get("finish_reason") == "length"
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Refused(f"unexpected body: {content[:200]!r}") from None
    if not isinstance(text, str):
        raise Refused(f"unexpected body: {content[:200]!r}")
    return text, cut
