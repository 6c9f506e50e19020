"""Any server with `/v1/audio/speech`, so that other speakers plug in."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from wavemill.model.evaluate.chat_api import ChatApi, Refused
from wavemill.stages.engine import EngineConfig, EngineUnavailable
from wavemill.stages.speak.engine import NotSpoken, Saying, SpeakEngine

KEY = "WAVEMILL_SPEECH_KEY"  # environment variable with the key of the server
SPEECH = "/audio/speech"
MOST_DOWN = 3  # texts in a row that no server spoke: from then on each is tried once


class OpenAiSpeechConfig(EngineConfig):
    """Where the server is, and what it is asked."""

    weights_fields: ClassVar[frozenset[str]] = frozenset({"url"})

    url: str = ""  # its base, e.g. http://localhost:8000/v1
    model: str = "tts-1"
    format: Literal["wav", "flac"] = "wav"
    seeds: bool = False  # send `seed`, which servers of open models know and OpenAI's does not
    tries: int = Field(3, ge=1)
    first_pause_s: float = Field(1.0, ge=0)
    timeout_s: float = Field(120.0, gt=0)


class OpenAiSpeech(SpeakEngine[OpenAiSpeechConfig]):
    """One request per text; voices are the server's, and cast.blends must be 0."""

    name = "openai_speech"
    version = 1
    Config = OpenAiSpeechConfig

    def weights_identity(self) -> str:
        if not self.config.url.startswith(("http://", "https://")):
            raise EngineUnavailable(
                "engine 'openai_speech' needs a server; remedy: set speak.openai_speech.url "
                f"(http://...), and {KEY} where it wants a key"
            )
        return f"server's {self.config.model}"

    def load(self, device: str) -> None:
        del device
        self._down = 0  # texts in a row that no server spoke
        self._api = ChatApi(
            self.config.url,
            os.environ.get(KEY, ""),
            tries=self.config.tries,
            first_pause=self.config.first_pause_s,
            timeout=self.config.timeout_s,
        )

    def speak(self, saying: Saying) -> tuple[np.ndarray, int]:
        body = {
            "model": self.config.model,
            "input": saying.text,
            "voice": saying.voice,
            "speed": saying.pace,
            "response_format": self.config.format,
            **({"seed": saying.seed} if self.config.seeds else {}),
        }
        api = self._api if self._down < MOST_DOWN else replace(self._api, tries=1)
        try:
            found = api.ask(body, _decoded, SPEECH)
        except Refused as refused:
            self._down += refused.passing
            message = f"{self.config.url.rstrip('/')}{SPEECH}: {refused}"
            raise NotSpoken(message, refused.passing) from None
        self._down = 0
        return found


def _decoded(content: bytes) -> tuple[np.ndarray, int]:
    """Return float32 (samples,) and the rate of a sound file. Raises Refused."""
    import soundfile

    try:
        audio, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        raise Refused(f"the reply is no sound: {error}", status=400) from None
    mono = audio.mean(axis=1)
    if not mono.size or not np.isfinite(mono).all():
        raise Refused("the reply has no samples", status=400)
    return np.asarray(mono, np.float32), int(rate)
