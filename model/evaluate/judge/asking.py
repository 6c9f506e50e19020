"""Questions to a judge: an LLM behind an OpenAI-compatible endpoint, with its replies on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wavemill.model.evaluate.chat_api import ChatApi, Refused, first_choice
from wavemill.model.evaluate.scoring import EvaluationError


@dataclass(frozen=True)
class JudgePrompt:
    """One question to the judge."""

    user: str
    system: str = ""
    temperature: float = 0.0
    max_tokens: int = 1024

    def body(self, model: str) -> dict[str, object]:
        """Return the request of the chat completions API."""
        messages = [{"role": "user", "content": self.user}]
        if self.system:
            messages.insert(0, {"role": "system", "content": self.system})
        return {
            "model": model,
            "messages": messages,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    def digest(self, model: str) -> str:
        """Return the SHA-256 (hex) of everything that the reply depends on."""
        content = json.dumps(self.body(model), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class JudgeReply:
    """What the judge wrote, or why there is no reply."""

    text: str | None
    error: str = ""
    cached: bool = False


class Judge(Protocol):
    """Judges answers."""

    model: str

    def ask(self, prompts: Sequence[JudgePrompt]) -> list[JudgeReply]:
        """Return one reply per prompt, in order; a failed one has an error and no text."""
        ...


class ReplyCache:
    """A folder of replies, found by the hash of the question; None stores nothing.

    Several processes may share a folder.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def get(self, digest: str) -> str | None:
        """Return a stored reply; None if there is none or its file is damaged."""
        if self.folder is None:
            return None
        try:
            stored = json.loads(self._path(digest).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        text = stored.get("reply") if isinstance(stored, dict) else None
        return text if isinstance(text, str) else None

    def put(self, digest: str, request: dict[str, object], reply: str) -> None:
        """Store a reply with its request, atomically."""
        if self.folder is None:
            return
        path = self._path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"request": request, "reply": reply}, file, ensure_ascii=False)
        Path(name).replace(path)

    def _path(self, digest: str) -> Path:
        assert self.folder is not None
        return self.folder / digest[:2] / f"{digest}.json"


URL, KEY, MODEL = "WAVEMILL_JUDGE_URL", "WAVEMILL_JUDGE_KEY", "WAVEMILL_JUDGE_MODEL"


@dataclass(frozen=True)
class JudgeSettings:
    """The judge, and how many questions it gets at a time."""

    api: ChatApi
    model: str
    concurrent: int = 8

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> JudgeSettings:
        """Return the judge that WAVEMILL_JUDGE_URL, _MODEL and _KEY name.

        Raises EvaluationError if URL or model is not set.
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
    """Asks concurrently, retries with growing pauses, and stores replies on disk."""

    def __init__(
        self,
        settings: JudgeSettings,
        cache: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """`cache` is a folder for replies; `progress` gets the number of replies and the total."""
        self.model = settings.model
        self._settings = settings
        self._cache = ReplyCache(cache)
        self._progress = progress

    def ask(self, prompts: Sequence[JudgePrompt]) -> list[JudgeReply]:
        """Return one reply per prompt, in order. Equal prompts are asked once."""
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
    """Return the text of a reply. Raises Refused if it is empty or invalid."""
    text, _ = first_choice(content)
    if not text.strip():
        raise Refused("empty reply")
    return text.strip()
