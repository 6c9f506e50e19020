"""Any server with `/v1/audio/speech`, so that other speakers plug in."""

from __future__ import annotations

import http.client
import io
import json
import os
import time
import urllib.error
import urllib.request
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from wavemill.model.evaluate.chat_api import WORTH_ANOTHER_TRY
from wavemill.stages.engine import EngineConfig, EngineUnavailable
from wavemill.stages.speak.engine import NotSpoken, Saying, SpeakEngine

KEY = "WAVEMILL_SPEECH_KEY"  # environment variable with the key of the server
MOST_BYTES = 64 << 20  # of a reply
SHOWN_BYTES = 200


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
        self._down = 0  # requests in a row that no server answered

    def speak(self, saying: Saying) -> tuple[np.ndarray, int]:
        body = {
            "model": self.config.model,
            "input": saying.text,
            "voice": saying.voice,
            "speed": saying.pace,
            "response_format": self.config.format,
            **({"seed": saying.seed} if self.config.seeds else {}),
        }
        tries = self.config.tries if self._down < 3 else 1
        for tried in range(1, tries + 1):
            try:
                content = self._post(json.dumps(body).encode())
            except NotSpoken as error:
                self._down += error.passing and tried == tries
                if not error.passing or tried == tries:
                    raise
                time.sleep(self.config.first_pause_s * 2 ** (tried - 1))
            else:
                self._down = 0
                return _decoded(content)
        raise NotSpoken("no try was allowed")

    def _post(self, content: bytes) -> bytes:
        url = self.config.url.rstrip("/") + "/audio/speech"
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(url, content, headers)
        try:
            with urllib.request.urlopen(request, timeout=self.config.timeout_s) as response:
                found = bytes(response.read(MOST_BYTES + 1))
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(SHOWN_BYTES).decode("utf-8", "replace").strip()
            passing = error.code >= 500 or error.code in WORTH_ANOTHER_TRY
            raise NotSpoken(f"{url}: HTTP {error.code}: {said}", passing) from None
        except (OSError, http.client.HTTPException) as error:
            raise NotSpoken(f"{url}: {type(error).__name__}: {error}", True) from None
        if len(found) > MOST_BYTES:
            raise NotSpoken(f"{url}: a reply of more than {MOST_BYTES} bytes")
        return found


def _decoded(content: bytes) -> tuple[np.ndarray, int]:
    """Return float32 (samples,) and the rate of a sound file. Raises NotSpoken."""
    import soundfile

    try:
        audio, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        raise NotSpoken(f"the server's reply is no sound: {error}") from None
    mono = audio.mean(axis=1)
    if not mono.size or not np.isfinite(mono).all():
        raise NotSpoken("the server's reply has no samples")
    return np.asarray(mono, np.float32), int(rate)
