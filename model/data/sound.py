"""Stored sound as the acoustic encoder wants it."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from wavemill.model.audio import whisper_log_mel
from wavemill.model.tokenizer.pieces import (
    SAMPLE_RATE,
    TOKEN_SAMPLES,
    padded,
    pieces_of,
    tokens_in,
)


class SoundError(Exception):
    """Stored audio cannot be decoded, or is not what its tokens were made of."""


def waveform_of(data: bytes, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Decode a file of sound: float32 (samples,), mono, at `sample_rate`. Raises SoundError."""
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        raise SoundError(str(error)) from None
    mono = samples.mean(axis=1)
    return mono if rate == sample_rate else soxr.resample(mono, rate, sample_rate)


def too_short(samples: int, tokens: int, token_samples: int = TOKEN_SAMPLES) -> bool:
    """Whether audio is nothing, or ends more than a token before its tokens do."""
    return samples == 0 or samples <= (tokens - 2) * token_samples


def piece_mels(
    waveform: np.ndarray, tokens: int, filled: Callable[[int], int]
) -> list[tuple[Tensor, int]]:
    """Return the log-mel of each piece, float32 (128, frames), and how many tokens it has.

    Pieces are those of `AcousticEncoder.features`; `filled` maps their samples to the samples with
    the silence that follows. The waveform is first cut or filled up to `tokens`, since resampling
    may have added or lost a sample.
    """
    whole = torch.zeros(tokens * TOKEN_SAMPLES)
    used = min(len(waveform), len(whole))
    whole[:used] = torch.from_numpy(np.ascontiguousarray(waveform[:used]))
    return [
        (whisper_log_mel(padded(piece, filled(len(piece)))[None])[0], tokens_in(len(piece)))
        for piece in pieces_of(whole)
    ]
