"""Whisper (Radford et al. 2022, arXiv 2212.04356), package openai-whisper, batched.

The report (3.1) identifies the language of each segment with Whisper-large-v3, keeps English and
Mandarin, and lets the same model write down English.

A clip's text is that of `whisper.transcribe(model, clip, word_timestamps=True)` at the package's
defaults (timestamp rules, suppressed tokens, temperature schedule): the encoder and the greedy
decoder work on many clips at once (whisper_batch.py), the package does the rest
(whisper_replay.py). Every window is padded to 30 s, as in the package, so what else is in a batch
can change a result by the rounding of floats only. Samples at temperatures above 0 are drawn
from a seed that is the same for every clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from wavemill.stages.declared import Declared
from wavemill.stages.engine import EngineConfig
from wavemill.stages.transcribe.batching import by_length
from wavemill.stages.transcribe.engine import TranscribeEngine, Transcript
from wavemill.stages.transcribe.whisper_weights import (
    DISTRIBUTION,
    check_model,
    declared,
    load_model,
    sha256_of,
)

SAMPLE_RATE = 16_000
LanguageCode = Annotated[str, Field(pattern="^[a-z]{2,3}$")]


class WhisperConfig(EngineConfig):
    """Which model, which languages, and the thresholds of `whisper.transcribe`."""

    weights_fields: ClassVar[frozenset[str]] = frozenset({"model", "download_root"})

    model: str = "large-v3"  # a name that the package knows, or the path of a checkpoint file
    download_root: str | None = None  # of named models; None: the package's own cache
    allowed_languages: tuple[LanguageCode, ...] = ("en", "zh")  # others are not written down
    batch_size: int = Field(16, ge=1)  # clips in the encoder and the decoder at once
    one_encoding: bool = False  # of language and text: half the encoder's work, see Whisper

    temperatures: tuple[Annotated[float, Field(ge=0)], ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    compression_ratio_threshold: float | None = 2.4  # above: too repetitive, next temperature
    logprob_threshold: float | None = -1.0  # mean of the tokens; below: next temperature
    no_speech_threshold: float | None = 0.6  # above, with a logprob below: silence
    beam_size: int | None = Field(None, ge=1)  # at temperature 0; None: greedy
    best_of: int | None = Field(None, ge=1)  # samples at other temperatures; None: one
    condition_on_previous_text: bool = True  # from window to window of clips above 30 s
    word_timestamps: bool = True
    seed: int = 0  # of sampling

    @field_validator("temperatures")
    @classmethod
    def _rise_from_zero(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values or values[0] != 0 or any(b <= a for a, b in pairwise(values)):
            raise ValueError("temperatures must rise from 0")
        return values

    def transcribe_options(self) -> dict[str, Any]:
        """Return the parameters that are the package's own, under its names."""
        return {
            "temperature": self.temperatures,
            "compression_ratio_threshold": self.compression_ratio_threshold,
            "logprob_threshold": self.logprob_threshold,
            "no_speech_threshold": self.no_speech_threshold,
            "condition_on_previous_text": self.condition_on_previous_text,
            "word_timestamps": self.word_timestamps,
            "beam_size": self.beam_size,
            "best_of": self.best_of,
        }


class Whisper(TranscribeEngine[WhisperConfig]):
    """Many languages, identified per clip; word times from cross-attention (the package's DTW).

    A clip in another than the `allowed_languages` has an empty text and its language, for a rule
    to reject it by. `asr_confidence` is the mean probability of the words as aligned; without
    `word_timestamps`, that of the tokens (exp of `avg_logprob`).

    The package identifies the language on the clip padded with silence and decodes the clip's
    spectrogram padded with zeros, which makes two passes of the encoder. `one_encoding` does both
    on the latter: half the encoder's work, and the same text wherever it finds the same language.
    """

    name = "whisper"
    version = 1
    Config = WhisperConfig
    packages = (DISTRIBUTION, "torch")

    def check(self) -> None:
        super().check()
        check_model(self.config.model, self.config.download_root)

    @property
    def sample_rate(self) -> int:
        return SAMPLE_RATE

    def weights_identity(self) -> str:
        return sha256_of(self.config.model)

    def weights(self) -> Sequence[Declared]:
        return declared(self.config.model, self.config.download_root)

    def thresholds(self) -> Mapping[str, float]:
        """e^-1: Whisper's own limit for a failed decoding is a log probability of -1."""
        return {"min_asr_confidence": 0.37}

    def load(self, device: str) -> None:
        model = load_model(self.config.model, self.config.download_root, device)
        from wavemill.stages.transcribe.whisper_clips import ClipTranscriber

        self._transcriber = ClipTranscriber(model, self.config)

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        return by_length(clips, self.config.batch_size, self._transcriber.transcribe)
