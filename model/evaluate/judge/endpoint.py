"""A judge behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from model.evaluate.errors import EvaluationError
from model.evaluate.judge.asking import JudgePrompt, JudgeReply
from model.evaluate.judge.cache import ReplyCache

URL, KEY, MODEL = "WAVEMILL_JUDGE_URL", "WAVEMILL_JUDGE_KEY", "WAVEMILL_JUDGE_MODEL"
WORTH_ANOTHER_TRY = frozenset({408, 409, 425, 429})


@dataclass(frozen=True)
class JudgeSettings:
    """Where the judge is and how it is asked."""

    url: str
    """The base of the API, e.g. https://api.openai.com/v1."""
    model: str
    key: str = field(default="", repr=False)
    concurrent: int = 8
    tries: int = 5
    first_pause: float = 1.0
    """Seconds; doubles with each try, plus up to as much again at random."""
    longest_pause: float = 30.0
    timeout: float = 120.0
    """Seconds for one request."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> JudgeSettings:
        """Return the judge that WAVEMILL_JUDGE_URL, _MODEL and _KEY name.

        Raises EvaluationError where URL or model are not set.
        """
        url, model = environment.get(URL, ""), environment.get(MODEL, "")
        if not url or not model:
            raise EvaluationError(
                f"this benchmark needs an LLM judge: set {URL} to an OpenAI-compatible endpoint "
                f"(e.g. https://api.openai.com/v1), {MODEL} to its model and, if it wants one, "
                f"{KEY} to its key; or run with --skip-scoring and score later with --rescore"
            )
        if not url.startswith(("http://", "https://")):
            raise EvaluationError(f"{URL} must begin with http:// or https://, not {url!r}")
        return cls(url, model, environment.get(KEY, ""))


class _TryAgain(Exception):
    """A failure that may pass; `after`: seconds that the server asks to wait."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer: the key must not go to another host."""

    def redirect_request(self, *_: object) -> None:
        return None


class EndpointJudge:
    """Asks concurrently, tries again with growing pauses, and keeps replies on disk."""

    def __init__(
        self,
        settings: JudgeSettings,
        cache: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """`cache`: a folder for replies; `progress` is told how many of how many are there."""
        self.model = settings.model
        self._settings = settings
        self._cache = ReplyCache(cache)
        self._progress = progress
        self._opener = urllib.request.build_opener(_NoRedirect)

    def ask(self, prompts: Sequence[JudgePrompt]) -> list[JudgeReply]:
        """Return one reply for each prompt, in order. Equal prompts are asked once."""
        distinct = {prompt.digest(self.model): prompt for prompt in prompts}
        replies: dict[str, JudgeReply] = {}
        pool = ThreadPoolExecutor(self._settings.concurrent)
        try:
            results = pool.map(lambda pair: self._reply(*pair), distinct.items())
            for digest, reply in zip(distinct, results, strict=True):
                replies[digest] = reply
                if self._progress:
                    self._progress(len(replies), len(distinct))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return [replies[prompt.digest(self.model)] for prompt in prompts]

    def _reply(self, digest: str, prompt: JudgePrompt) -> JudgeReply:
        stored = self._cache.get(digest)
        if stored is not None:
            return JudgeReply(stored, cached=True)
        body = prompt.body(self.model)
        failure: _TryAgain | None = None
        for tried in range(self._settings.tries):
            if failure:
                time.sleep(self._pause(tried, failure.after))
            try:
                text = self._request(body)
            except _TryAgain as error:
                failure = error
                continue
            except EvaluationError as error:
                return JudgeReply(None, str(error))
            with contextlib.suppress(OSError):  # a full disk costs a repeated question, no more
                self._cache.put(digest, body, text)
            return JudgeReply(text)
        return JudgeReply(None, f"{failure} ({self._settings.tries} tries)")

    def _pause(self, tried: int, after: float | None) -> float:
        grown = self._settings.first_pause * 2 ** (tried - 1) * (1 + random.random())
        return min(max(grown, after or 0.0), self._settings.longest_pause)

    def _request(self, body: Mapping[str, object]) -> str:
        """Return the text of one completion. Raises _TryAgain or, for good, EvaluationError."""
        headers = {"Content-Type": "application/json"}
        if self._settings.key:
            headers["Authorization"] = f"Bearer {self._settings.key}"
        request = urllib.request.Request(
            self._settings.url.rstrip("/") + "/chat/completions",
            json.dumps(body).encode(),
            headers,
        )
        try:
            with self._opener.open(request, timeout=self._settings.timeout) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            with error:
                reason = f"HTTP {error.code}: {error.read(500).decode('utf-8', 'replace').strip()}"
            if error.code >= 500 or error.code in WORTH_ANOTHER_TRY:
                raise _TryAgain(reason, _seconds(error.headers.get("Retry-After"))) from None
            raise EvaluationError(reason) from None
        except (OSError, http.client.HTTPException) as error:
            raise _TryAgain(f"{type(error).__name__}: {error}") from None
        return _text_of(content)


def _seconds(header: str | None) -> float | None:
    try:
        return float(header) if header else None
    except ValueError:
        return None


def _text_of(content: bytes) -> str:
    """Return the text of a response body. Raises _TryAgain for an empty or an odd one."""
    try:
        text = json.loads(content)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        raise _TryAgain(f"unexpected body: {content[:200]!r}") from None
    if not isinstance(text, str) or not text.strip():
        raise _TryAgain("empty reply")
    return text.strip()
