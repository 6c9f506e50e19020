"""Whisper's log-mel spectrogram, and how a waveform is cut for it (fixture README 3.1 and 4.1)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

SAMPLE_RATE = 16_000  # Hz
HOP = 160  # samples: 100 frames a second
WINDOW = 400  # samples
N_MELS = 128
TOKEN_SAMPLES = 1280  # 80 ms: 12.5 tokens a second
TOKEN_FRAMES = TOKEN_SAMPLES // HOP  # 8
PIECE_SAMPLES = 30 * SAMPLE_RATE  # what the encoders take at once
PIECE_FRAMES = PIECE_SAMPLES // HOP  # 3000
SILENCE = 1e-10  # power below which a band counts as silent
DYNAMIC_RANGE = 8.0  # in log10 of power: what is softer than the loudest band by more is cut off


def tokens_in(samples: int) -> int:
    """Return how many tokens and how many rows of features `samples` give: ceil(samples / 1280)."""
    return -(-samples // TOKEN_SAMPLES)


def pieces_of(waveform: Tensor) -> list[Tensor]:
    """Cut a waveform (samples,) at 0, 30, 60 ... s; the last piece keeps its length."""
    return list(torch.split(waveform, PIECE_SAMPLES)) if len(waveform) else []


def padded(piece: Tensor, samples: int) -> Tensor:
    """Fill a piece (samples,) up with silence."""
    return torch.nn.functional.pad(piece, (0, samples - len(piece)))


def log_mel(waveforms: Tensor) -> Tensor:
    """Return the log-mel of float32 (batch, samples) at 16 kHz: (batch, N_MELS, samples // HOP).

    Each waveform is seen against its own loudest band; it needs more than WINDOW / 2 samples.
    """
    window = torch.hann_window(WINDOW, device=waveforms.device)
    spectrum = torch.stft(waveforms, WINDOW, HOP, window=window, return_complex=True)
    power = spectrum[..., :-1].abs() ** 2
    filters = torch.from_numpy(mel_filters()).to(power.device)
    log = (filters @ power).clamp_min(SILENCE).log10()
    loudest = log.amax(dim=(1, 2), keepdim=True)
    return (torch.maximum(log, loudest - DYNAMIC_RANGE) + 4.0) / 4.0


@lru_cache(maxsize=1)
def mel_filters() -> np.ndarray:
    """Return triangular filters of equal area on Slaney's mel scale, float32 (N_MELS, 201)."""
    bins = np.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    corners = _slaney_to_hz(np.linspace(0.0, _hz_to_slaney(SAMPLE_RATE / 2), N_MELS + 2))
    widths, ramps = np.diff(corners), np.subtract.outer(corners, bins)
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    filters *= (2.0 / (corners[2:] - corners[:-2]))[:, None]
    return filters


# Slaney's scale: linear, 200/3 Hz a mel, up to 1 kHz (15 mel); then 27 mels for a factor of 6.4.
_LINEAR_HZ, _BREAK_HZ, _LOG_STEP = 200.0 / 3, 1000.0, np.log(6.4) / 27.0


def _hz_to_slaney(hz: float) -> float:
    return float(_BREAK_HZ / _LINEAR_HZ + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def _slaney_to_hz(mels: np.ndarray) -> np.ndarray:
    above = _BREAK_HZ * np.exp(_LOG_STEP * (mels - _BREAK_HZ / _LINEAR_HZ))
    return np.where(mels >= _BREAK_HZ / _LINEAR_HZ, above, _LINEAR_HZ * mels)
