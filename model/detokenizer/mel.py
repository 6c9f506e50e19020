"""Log-mel frames of audio as the vocoder and the flow network know them.

Fixtures: detokenizer, section 9. Unlike `model.mel`, for 24 kHz and with natural logarithms.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from wavemill.model.detokenizer.config import VocoderConfig

MAGNITUDE_FLOOR = 1e-9  # added to power
LOG_FLOOR = 1e-5
# Slaney's scale: linear up to 1 kHz, logarithmic above.
LINEAR_HZ = 200.0 / 3  # per mel
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / LINEAR_HZ
LOG_STEP = np.log(6.4) / 27.0


def log_mel(audio: Tensor, config: VocoderConfig) -> Tensor:
    """Return float32 (..., samples // hop_size, num_mels) of float32 audio (..., samples).

    Audio is at `config.sampling_rate`, in [-1, 1]. Raises ValueError when it is shorter than
    n_fft - 2 * ((n_fft - hop_size) // 2) samples: one frame at the published settings.
    """
    margin = (config.n_fft - config.hop_size) // 2
    if audio.shape[-1] < max(config.n_fft - 2 * margin, margin + 1):
        raise ValueError(f"{audio.shape[-1]} samples of audio are too short for a mel frame")
    rows = audio.reshape(-1, audio.shape[-1])
    padded = functional.pad(rows[:, None], (margin, margin), mode="reflect")[:, 0]
    length = config.win_size or config.n_fft
    window = torch.hann_window(length, device=audio.device)
    spectrum = torch.stft(
        padded, config.n_fft, config.hop_size, length, window, center=False, return_complex=True
    )
    magnitude = (torch.view_as_real(spectrum).square().sum(-1) + MAGNITUDE_FLOOR).sqrt()
    filters = torch.from_numpy(mel_filters(config)).to(audio.device)
    mel = (filters @ magnitude).clamp_min(LOG_FLOOR).log()
    return mel.transpose(1, 2).reshape(*audio.shape[:-1], -1, config.num_mels)


@lru_cache(maxsize=8)
def mel_filters(config: VocoderConfig) -> np.ndarray:
    """Return triangular filters of equal area on Slaney's scale: (num_mels, n_fft // 2 + 1)."""
    top = config.sampling_rate / 2 if config.fmax is None else config.fmax
    corners = _hertz(np.linspace(_mel(config.fmin), _mel(top), config.num_mels + 2))
    bins = np.fft.rfftfreq(config.n_fft, 1 / config.sampling_rate)
    low, centre, high = (corners[i : i + config.num_mels, None] for i in range(3))
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles * 2 / (high - low)).astype(np.float32)


def _mel(hertz: float) -> float:
    if hertz < BREAK_HZ:
        return hertz / LINEAR_HZ
    return float(BREAK_MEL + np.log(hertz / BREAK_HZ) / LOG_STEP)


def _hertz(mel: np.ndarray) -> np.ndarray:
    logarithmic = BREAK_HZ * np.exp(LOG_STEP * (mel - BREAK_MEL))
    return np.where(mel < BREAK_MEL, mel * LINEAR_HZ, logarithmic)
