"""A judge behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wavemill.model.evaluate.chat_api import ChatApi, Refused, first_choice
from wavemill.model.evaluate.errors import EvaluationError
from wavemill.model.evaluate.judge.asking import JudgePrompt, JudgeReply
from wavemill.model.evaluate.judge.cache import ReplyCache

URL, KEY, MODEL = "WAVEMILL_JUDGE_URL", "WAVEMILL_JUDGE_KEY", "WAVEMILL_JUDGE_MODEL"


@dataclass(frozen=True)
class JudgeSettings:
    """Who judges, and how many questions are asked at a time."""

    api: ChatApi
    model: str
    concurrent: int = 8

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
        return cls(ChatApi(url, environment.get(KEY, "")), model)


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
        try:
            text = self._settings.api.ask(body, _text_of)
        except Refused as refused:
            return JudgeReply(None, str(refused))
        with contextlib.suppress(OSError):  # a full disk costs a repeated question, no more
            self._cache.put(digest, body, text)
        return JudgeReply(text)


def _text_of(content: bytes) -> str:
    """Return the text of a reply. Raises Refused for an empty or an odd one."""
    text, _ = first_choice(content)
    if not text.strip():
        raise Refused("empty reply")
    return text.strip()
