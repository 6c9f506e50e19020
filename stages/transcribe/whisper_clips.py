"""A batch of clips through Whisper: spectrograms, encoder, languages, greedy decoder, the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from whisper.audio import N_FRAMES, N_SAMPLES, log_mel_spectrogram, pad_or_trim
from whisper.decoding import DecodingOptions, detect_language
from whisper.model import Whisper

from wavemill.stages.transcribe.engine import Transcript
from wavemill.stages.transcribe.whisper_batch import decode_batch
from wavemill.stages.transcribe.whisper_replay import transcript
from wavemill.stages.transcribe.whisper_weights import halve

if TYPE_CHECKING:
    from wavemill.stages.transcribe.whisper import WhisperConfig

ONLY_LANGUAGE = "en"  # of the models that know one language


@dataclass(frozen=True)
class Heard:
    """The language of a clip; probability None: the model knows one language only."""

    language: str
    probability: float | None


class ClipTranscriber:
    """A loaded model and what to do with it. Half precision on a GPU, single on a CPU."""

    def __init__(self, model: Whisper, config: WhisperConfig) -> None:
        self.model = model
        self.config = config
        self.half = model.device.type == "cuda"
        if self.half:
            halve(model)

    @torch.inference_mode()
    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        """Return a transcript per clip, float32 (samples,) at 16 kHz; all are one batch."""
        audio = [torch.from_numpy(np.array(c, np.float32)).to(self.model.device) for c in clips]
        mels = [log_mel_spectrogram(a, self.model.dims.n_mels, padding=N_SAMPLES) for a in audio]
        features = self._encoded(mels) if self.config.one_encoding else None
        heard = self._languages(self._encoded(mels, silence=True) if features is None else features)
        found = [Transcript("", (), one.language, 0.0, one.probability) for one in heard]
        allowed = [
            i for i, one in enumerate(heard) if one.language in self.config.allowed_languages
        ]
        if not allowed:
            return found
        if features is None:
            features = self._encoded([mels[i] for i in allowed])
        else:
            features = features[allowed]
        written = self._written([audio[i] for i in allowed], features, [heard[i] for i in allowed])
        for index, one in zip(allowed, written, strict=True):
            found[index] = one
        return found

    def _encoded(self, mels: Sequence[Tensor], silence: bool = False) -> Tensor:
        """Return the features of the first window of each clip.

        `mels` go 30 s of silence beyond their clips. With `silence` the window is filled up from
        these, as the package does to identify languages, else with zeros, as it does to decode.
        """
        kept = mels if silence else [mel[:, : mel.shape[1] - N_FRAMES] for mel in mels]
        windows = torch.stack([pad_or_trim(mel, N_FRAMES) for mel in kept])
        features: Tensor = self.model.encoder(windows.half() if self.half else windows)
        return features

    def _languages(self, features: Tensor) -> list[Heard]:
        """Identify the language of each window among all that the model knows."""
        if not self.model.is_multilingual:
            return [Heard(ONLY_LANGUAGE, None)] * len(features)
        _, probabilities = detect_language(self.model, features)
        likeliest = [max(one, key=one.__getitem__) for one in probabilities]
        pairs = zip(likeliest, probabilities, strict=True)
        return [Heard(language, one[language]) for language, one in pairs]

    def _written(
        self, audio: Sequence[Tensor], features: Tensor, heard: Sequence[Heard]
    ) -> list[Transcript]:
        """Transcribe clips in their languages, given the features of their first windows."""
        config = self.config
        options = DecodingOptions(beam_size=config.beam_size, fp16=self.half)
        languages = [one.language for one in heard]
        decoded = decode_batch(self.model, features, languages, options)
        transcripts = []
        for clip, first, one in zip(audio, decoded, heard, strict=True):
            more = {**config.transcribe_options(), "language": one.language, "fp16": self.half}
            made = transcript(clip, self.model, first, config.seed, more)
            transcripts.append(replace(made, language_probability=one.probability))
        return transcripts
