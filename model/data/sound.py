"""Stored sound as the acoustic encoder wants it."""

from __future__ import annotations

import io

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from wavemill.model.audio import whisper_log_mel
from wavemill.model.tokenizer.config import EncoderConfig
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
    waveform: np.ndarray, tokens: int, encoder: EncoderConfig
) -> list[tuple[Tensor, int]]:
    """Return the log-mel of each piece, float32 (bands, frames), and how many tokens it has.

    Pieces are those of `AcousticEncoder.features`. The waveform is first cut or filled up to
    `tokens`, since resampling may have added or lost a sample.
    """
    whole = torch.zeros(tokens * TOKEN_SAMPLES)
    used = min(len(waveform), len(whole))
    whole[:used] = torch.from_numpy(np.ascontiguousarray(waveform[:used]))
    return [
        (_log_mel(padded(piece, encoder.filled(len(piece))), encoder), tokens_in(len(piece)))
        for piece in pieces_of(whole)
    ]


def _log_mel(piece: Tensor, encoder: EncoderConfig) -> Tensor:
    return whisper_log_mel(piece[None], encoder.num_mel_bins)[0]
