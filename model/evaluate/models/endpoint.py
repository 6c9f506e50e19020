"""A server with OpenAI's chat API that takes audio: vLLM, SGLang, llama.cpp, hosted models."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from wavemill.model.evaluate.chat_api import ChatApi, Refused, first_choice
from wavemill.model.evaluate.models.answering import Answer, ModelError, ModelInput
from wavemill.model.evaluate.recipes.recipe import Recipe
from wavemill.model.evaluate.sound import SAMPLE_RATE, encoded

KEY_VARIABLES = ("WAVEMILL_ENDPOINT_KEY", "OPENAI_API_KEY")
HOPELESS = {401, 403, 404}  # wrong key, path or model: every item would fail


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
        first_pause_s: float = 1.0,
    ) -> None:
        """`url` as in https://host/v1; the key comes from WAVEMILL_ENDPOINT_KEY, OPENAI_API_KEY."""
        key = next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), "")
        base = url.rstrip("/").removesuffix("/chat/completions")
        self._api = ChatApi(base, key, first_pause=first_pause_s, timeout=timeout_s)
        self._served, self._recipe, self._seed = served, recipe, seed
        self._concurrency = concurrency

    def answer(self, asked: Sequence[ModelInput]) -> list[Answer]:
        threads = ThreadPoolExecutor(self._concurrency)
        try:
            return list(threads.map(self._one, asked))
        finally:  # after an error or Ctrl-C nobody waits for what is still under way
            threads.shutdown(wait=False, cancel_futures=True)

    def _one(self, one: ModelInput) -> Answer:
        begun = time.perf_counter()
        try:
            text, cut = self._api.ask(self._body(one), first_choice)
        except Refused as refused:
            if refused.status in HOPELESS:
                raise ModelError(f"{self._api.url}: {refused}") from None
            seconds = time.perf_counter() - begun
            return Answer(error=f"endpoint: {refused}", seconds=seconds)
        return Answer(text, complete=not cut, seconds=time.perf_counter() - begun)

    def _body(self, one: ModelInput) -> dict[str, Any]:
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
