"""Paraformer (Gao et al. 2022, arXiv 2206.08317), package funasr: Mandarin, characters with times.

The report (3.1) writes down Mandarin with FunASR's Paraformer-zh, whose second predictor gives the
time of every character (Shi et al. 2023, arXiv 2301.12343), and punctuates by pauses
(punctuation.py). Characters and times are those of the package's `AutoModel.generate` on the clip
alone; what else is in a batch can change a result by the rounding of floats only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field, model_validator

from wavemill.stages.declared import Declared
from wavemill.stages.engine import EngineConfig
from wavemill.stages.transcribe.batching import by_length
from wavemill.stages.transcribe.engine import TranscribeEngine, Transcript, Word
from wavemill.stages.transcribe.paraformer_weights import (
    DISTRIBUTION,
    EXTRA,
    check_hub,
    commit,
    declared,
    identity,
    load,
)
from wavemill.stages.transcribe.punctuation import joined, punctuated

SAMPLE_RATE = 16_000
LANGUAGE = "zh"


class ParaformerConfig(EngineConfig):
    """Which model, and the report's two pauses."""

    weights_fields: ClassVar[frozenset[str]] = frozenset({"model", "revision"})

    model: str = "funasr/paraformer-zh"  # hub repository, or folder of a model
    revision: str = "main"  # at the hub; only a commit names the weights for good
    batch_size: int = Field(16, ge=1)  # clips in the encoder and the decoder at once
    comma_gap_ms: int = Field(500, ge=0)  # report: a pause of more gives a comma
    full_stop_gap_ms: int = Field(1000, ge=0)  # report: a pause from here on gives a full stop

    @model_validator(mode="after")
    def _rising(self) -> ParaformerConfig:
        if self.full_stop_gap_ms <= self.comma_gap_ms:
            raise ValueError("full_stop_gap_ms must be above comma_gap_ms")
        return self


class Paraformer(TranscribeEngine[ParaformerConfig]):
    """Mandarin (English words in it, too); whatever a clip's language, that is what it writes.

    Words are single characters with the mark that follows. A character's confidence is the
    decoder's probability of it; `asr_confidence` is their mean, `avg_logprob` that of their logs.
    """

    name = "paraformer"
    version = 1
    Config = ParaformerConfig
    packages = (DISTRIBUTION, "torch", "torchaudio")
    extra = EXTRA

    @property
    def sample_rate(self) -> int:
        return SAMPLE_RATE

    def pinned(self) -> ParaformerConfig:
        found = commit(self.config.model, self.config.revision)
        return self.config.model_copy(update={"revision": found})

    def weights_identity(self) -> str:
        return identity(self.config.model, self.config.revision)

    def weights(self) -> Sequence[Declared]:
        return declared(self.config.model, self.config.revision)

    def thresholds(self) -> Mapping[str, float]:
        """As Whisper: both confidences are mean probabilities of a decoder."""
        return {"min_asr_confidence": 0.37}

    def check(self) -> None:
        super().check()
        check_hub(self.config.model, self.config.revision)

    def load(self, device: str) -> None:
        loaded = load(self.config.model, self.config.revision, device)
        from wavemill.stages.transcribe.paraformer_clips import ClipRecogniser

        self._recogniser = ClipRecogniser(loaded, device)

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        found = by_length(clips, self.config.batch_size, self._recogniser.recognise)
        return [self._transcript(words) for words in found]

    def _transcript(self, characters: Sequence[Word]) -> Transcript:
        if not characters:
            return Transcript("", (), LANGUAGE, 0.0)
        words = punctuated(characters, self.config.comma_gap_ms, self.config.full_stop_gap_ms)
        confidences = [word.confidence for word in words]
        logs = [math.log(max(value, 1e-10)) for value in confidences]
        return Transcript(
            text=joined(words),
            words=words,
            language=LANGUAGE,
            asr_confidence=sum(confidences) / len(words),
            avg_logprob=sum(logs) / len(words),
        )
