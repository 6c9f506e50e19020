"""A server with OpenAI's chat API that takes sound: vLLM, SGLang, llama.cpp, hosted models."""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from model.evaluate.models.answering import Answer, Asked, ModelError
from model.evaluate.recipes.recipe import Recipe
from model.evaluate.sound import SAMPLE_RATE, encoded

KEY_VARIABLES = ("WAVEMILL_ENDPOINT_KEY", "OPENAI_API_KEY")
ATTEMPTS = 5
WAIT_S = 1.0  # before the second attempt; doubled each time
LONGEST_WAIT_S = 60.0
RETRIED = {408, 409, 425, 429, 500, 502, 503, 504}
HOPELESS = {401, 403, 404}  # wrong key, path or model: no item will fare better
SHOWN = 300  # characters of what a server says


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer: the key must not go to another host."""

    def redirect_request(self, *_: object) -> None:
        return None


@dataclass
class _Refused(Exception):
    """What a server said, or why it could not be reached."""

    status: int  # 0: no HTTP answer
    message: str
    wait_s: float | None = None  # as the server asks


class EndpointModel:
    """Asks `URL/chat/completions`, several items at a time."""

    def __init__(
        self,
        url: str,
        served: str,
        recipe: Recipe,
        seed: int = 0,
        concurrency: int = 8,
        timeout_s: float = 120.0,
        wait_s: float = WAIT_S,
    ) -> None:
        """`url` as in https://host/v1; the key comes from WAVEMILL_ENDPOINT_KEY, OPENAI_API_KEY."""
        self._url = url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        self._served, self._recipe, self._seed = served, recipe, seed
        self._timeout_s, self._wait_s = timeout_s, wait_s
        self._concurrency = concurrency
        self._opener = urllib.request.build_opener(_NoRedirect)

    def answer(self, asked: Sequence[Asked]) -> list[Answer]:
        threads = ThreadPoolExecutor(self._concurrency)
        try:
            return list(threads.map(self._one, asked))
        finally:  # after an error or Ctrl-C nobody waits for what is still under way
            threads.shutdown(wait=False, cancel_futures=True)

    def _one(self, one: Asked) -> Answer:
        body = json.dumps(self._body(one)).encode()
        begun, wait_s = time.perf_counter(), self._wait_s
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._read(self._post(body), time.perf_counter() - begun)
            except _Refused as refused:
                if refused.status in HOPELESS:
                    raise ModelError(f"{self._url}: {refused.message}") from None
                again = refused.status in RETRIED or refused.status == 0
                if not again or attempt == ATTEMPTS:
                    seconds = time.perf_counter() - begun
                    return Answer(error=f"endpoint: {refused.message}", seconds=seconds)
                time.sleep(min(refused.wait_s or wait_s, LONGEST_WAIT_S))
                wait_s *= 2
        raise AssertionError

    def _body(self, one: Asked) -> dict[str, Any]:
        decoding = self._recipe.decoding
        parts: list[dict[str, Any]] = [{"type": "text", "text": one.prompt}] if one.prompt else []
        if one.audio is not None:
            data = base64.b64encode(encoded(one.audio, SAMPLE_RATE, "WAV")).decode()
            sound = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
            parts = [*parts, sound] if self._recipe.text_first else [sound, *parts]
        messages = [{"role": "system", "content": one.system}] if one.system else []
        body: dict[str, Any] = {
            "model": self._served,
            "messages": [*messages, {"role": "user", "content": parts}],
            "seed": self._seed,
        }
        given = {
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "max_tokens": decoding.max_new_tokens,
            # Of vLLM and others, not of OpenAI itself: sent only where a recipe has them.
            "top_k": decoding.top_k,
            "repetition_penalty": None
            if decoding.repetition_penalty == 1.0
            else decoding.repetition_penalty,
        }
        return body | {name: value for name, value in given.items() if value is not None}

    def _post(self, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        key = next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), None)
        if key:
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self._url, body, headers)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as reply:
                return json.loads(reply.read())
        except urllib.error.HTTPError as error:
            said = error.read(4096).decode(errors="replace")
            message = f"HTTP {error.code}: {_short(said) or error.reason}"
            raise _Refused(
                error.code, message, _seconds(error.headers.get("Retry-After"))
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise _Refused(0, f"{self._url} does not answer: {_short(str(error))}") from None
        except ValueError as error:
            raise _Refused(502, f"the reply is not JSON: {_short(str(error))}") from None

    @staticmethod
    def _read(reply: Any, seconds: float) -> Answer:
        try:
            choice = reply["choices"][0]
            text = choice["message"]["content"]
            if not isinstance(text, str):
                raise TypeError("its content is no text")
        except (KeyError, IndexError, TypeError) as error:
            return Answer(error=f"endpoint: the reply has no message: {error}", seconds=seconds)
        return Answer(text, complete=choice.get("finish_reason") != "length", seconds=seconds)


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(float(text), 0.0)
    except ValueError:
        return None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}..."
