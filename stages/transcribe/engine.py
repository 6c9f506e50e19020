"""What a transcribe engine is given and what it returns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wavemill.stages.engine import C, Engine


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a transcript; times in milliseconds of its clip."""

    word: str
    start_ms: int
    end_ms: int
    confidence: float  # 0 to 1: probability that the word is right, as the engine sees it


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in one clip; None where the engine knows no such thing."""

    text: str  # empty: no speech was found
    words: tuple[Word, ...]  # in time order, within the clip, not overlapping
    language: str  # ISO 639-1, of this clip; und: not determined
    asr_confidence: float  # 0 to 1 over the whole clip; 0 for an empty text
    language_probability: float | None = None  # None: assumed, not identified
    avg_logprob: float | None = None  # mean natural log probability of the tokens
    no_speech_prob: float | None = None
    compression_ratio: float | None = None  # bytes of text by bytes after zlib


class TranscribeEngine(Engine[C]):
    """Writes down speech. An engine for several languages identifies that of each clip."""

    @property
    @abstractmethod
    def sample_rate(self) -> int:
        """The rate in Hz at which `transcribe` wants its clips."""

    @abstractmethod
    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        """Return one transcript per clip: float32 (samples,) at `sample_rate`, full scale 1.0.

        Clips may have any length, none included, and be silent. An engine may decode them in any
        order and several at once, but the transcript of a clip depends on that clip alone, and
        the result is in the order of `clips`.
        """
