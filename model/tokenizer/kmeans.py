"""Semantic tokens by a k-means codebook over log-mel stacks of 80 ms, as a model's part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from wavemill.model.audio import decibel_mel
from wavemill.model.io.folders import CONFIG_FILE, WeightsError, validated, write_atomically

if TYPE_CHECKING:  # the stages do without torch
    from torch import Tensor

SAMPLE_RATE = 16_000  # Hz
TOKEN_MS = 80  # one semantic token; 12.5 of them a second (report section 2.2)
FRAMES_PER_TOKEN = 4  # the report's detokenizer repeats a token four times (section 2.4)
HOP = SAMPLE_RATE * TOKEN_MS // FRAMES_PER_TOKEN // 1000  # 320 samples, 20 ms: 50 frames a second
TOKEN_SAMPLES = HOP * FRAMES_PER_TOKEN  # 1280 samples
WINDOW = 1024  # samples, 64 ms
N_MELS = 80  # bands from 0 to 8000 Hz
DYNAMIC_RANGE_DB = 60.0  # kept below an utterance's level: what is softer is its noise floor
FOLDER = "kmeans-tokenizer"  # of a model folder
CODEBOOK_FILE = "codebook.safetensors"
CENTROIDS = "centroids"
VECTORS_AT_ONCE = 4096  # bounds memory while vectors are held against centroids


@dataclass(frozen=True)
class Codebook:
    """Centroids of normalised log-mel stacks, dB relative to the utterance's level."""

    centroids: np.ndarray  # float32 (vocab_size, FRAMES_PER_TOKEN * N_MELS)
    metadata: dict[str, Any] = field(default_factory=dict)  # how it was fitted

    def nearest(self, stacks: np.ndarray) -> np.ndarray:
        """Return the index of the nearest centroid for each of `stacks`: int32 (tokens,).

        Computed in float64 and for each call alone, so that rounding decides no token.
        """
        centroids, half_norms = self._exact
        parts = [np.zeros(0, np.int32)]
        for first in range(0, len(stacks), VECTORS_AT_ONCE):
            block = stacks[first : first + VECTORS_AT_ONCE].astype(np.float64)
            scores = block @ centroids.T - half_norms
            parts.append(np.argmax(scores, axis=1).astype(np.int32))
        return np.concatenate(parts)

    @cached_property
    def _exact(self) -> tuple[np.ndarray, np.ndarray]:
        centroids = self.centroids.astype(np.float64)
        return centroids, 0.5 * np.sum(centroids**2, axis=1)


def tokens_in(duration_ms: int) -> int:
    """Return the number of semantic tokens of a duration: ceil(duration_ms / 80)."""
    return -(-duration_ms // TOKEN_MS)


def log_mel(audio: np.ndarray, frames: int) -> np.ndarray:
    """Return the log-mel power of float32 (samples,) at SAMPLE_RATE, in dB: (frames, N_MELS).

    Frame k is centred on the k-th hop of 20 ms; the audio is filled up with silence, or cut.
    """
    return decibel_mel(audio, frames, SAMPLE_RATE, WINDOW, HOP, N_MELS)


def level_db(mel: np.ndarray) -> float:
    """Return an utterance's level: mean power of its frames, summed over bands, in dB."""
    return float(10.0 * np.log10(np.mean(np.sum(10.0 ** (mel.astype(np.float64) / 10.0), axis=1))))


def normalise(mel: np.ndarray) -> np.ndarray:
    """Return `mel` (frames, N_MELS) relative to its own level, cut off at -DYNAMIC_RANGE_DB.

    Makes tokens independent of the gain of a recording.
    """
    if not len(mel):
        return mel
    return np.maximum(mel - np.float32(level_db(mel)), np.float32(-DYNAMIC_RANGE_DB))


def stack(mel: np.ndarray) -> np.ndarray:
    """Return (tokens * FRAMES_PER_TOKEN, N_MELS) as (tokens, FRAMES_PER_TOKEN * N_MELS)."""
    return mel.reshape(-1, FRAMES_PER_TOKEN * N_MELS)


def stacks_of(audio: np.ndarray, count: int) -> np.ndarray:
    """Return `count` normalised log-mel stacks of `audio`, float32 (samples,) at 16 kHz."""
    return stack(normalise(log_mel(audio, count * FRAMES_PER_TOKEN)))


class KMeansFile(BaseModel):
    """The `config.json` of a tokenizer folder."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model_type: Literal["wavemill-kmeans"] = "wavemill-kmeans"
    vocab_size: int = Field(ge=1)
    identity: str = ""  # what corpora call it


class KMeansTokenizer:
    """What `SemanticTokenizer` is to the published model, for models of the embedded profile."""

    def __init__(self, codebook: Codebook, identity: str = "") -> None:
        """`identity` is what corpora call it, "kmeans sha256:..."."""
        self.codebook = codebook
        self.identity = identity

    @property
    def vocab_size(self) -> int:
        return len(self.codebook.centroids)

    def encode(self, waveforms: Sequence[np.ndarray | Tensor]) -> list[np.ndarray]:
        """Return the codes of each waveform, int64 (ceil(samples / 1280),).

        Waveforms are mono float32 (samples,) at 16 kHz in [-1, 1], of any length.
        """
        return [self.codes(np.asarray(w, np.float32)).astype(np.int64) for w in waveforms]

    def codes(self, waveform: np.ndarray) -> np.ndarray:
        """Return the codes of one waveform, float32 (samples,) at 16 kHz: int32 (tokens,)."""
        return self.codebook.nearest(stacks_of(waveform, -(-len(waveform) // TOKEN_SAMPLES)))

    @classmethod
    def from_pretrained(cls, folder: Path) -> KMeansTokenizer:
        """Read what `save_pretrained` wrote; raises WeightsError."""
        config = validated(KMeansFile, folder)
        file = folder / CODEBOOK_FILE
        try:
            centroids = load_file(file)[CENTROIDS].astype(np.float32)
        except (OSError, SafetensorError, KeyError) as error:
            raise WeightsError(f"cannot read {file}: {error!r}") from None
        wanted = (config.vocab_size, FRAMES_PER_TOKEN * N_MELS)
        if centroids.shape != wanted:
            raise WeightsError(f"{file} holds centroids {centroids.shape}, not {wanted}")
        return cls(Codebook(centroids, config.model_extra or {}), config.identity)

    def save_pretrained(self, folder: Path) -> None:
        """Write `config.json` and the centroids as float16, which is what fitting leaves them."""
        folder.mkdir(parents=True, exist_ok=True)
        centroids = self.codebook.centroids.astype(np.float16)
        write_atomically(folder / CODEBOOK_FILE, save({CENTROIDS: centroids}))
        config = KMeansFile(vocab_size=self.vocab_size, identity=self.identity)
        content = json.dumps(config.model_dump() | self.codebook.metadata, indent=2)
        write_atomically(folder / CONFIG_FILE, (content + "\n").encode())
