"""Audio from log-mel frames without a vocoder: what a trained one is to be better than.

The magnitudes of bands are spread over their bins, and phases are found that fit (fast Griffin-Lim,
Perraudin et al. 2013). For the frames of `model.detokenizer.mel`; `model.mel` has its own.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from wavemill.model.detokenizer.config import VocoderConfig
from wavemill.model.detokenizer.mel import LOG_FLOOR, mel_filters

MOMENTUM = 0.99  # of Perraudin et al.
SPREADING_STEPS = 30  # multiplicative updates from band to bin magnitudes
TINY = 1e-8
EDGE = 1e-3  # least weight of a sample: keeps the outermost finite


def griffin_lim(mel: Tensor, config: VocoderConfig, iterations: int = 60, seed: int = 0) -> Tensor:
    """Return audio float32 (frames * hop_size,) whose log-mel is near `mel` (frames, num_mels).

    Starts from random phases, which `seed` decides.
    """
    if not len(mel):
        return mel.new_zeros(0)
    magnitude = bin_magnitudes(mel.float(), config)
    phases = torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(seed))
    spectrum = torch.polar(magnitude, 2 * torch.pi * phases.to(magnitude.device))
    previous = torch.zeros_like(spectrum)
    for _ in range(iterations):
        consistent = _stft(_inverse_stft(spectrum, config), config)
        ahead = consistent + MOMENTUM * (consistent - previous)
        previous = consistent
        spectrum = torch.polar(magnitude, ahead.angle())
    margin = (config.n_fft - config.hop_size) // 2
    return _inverse_stft(spectrum, config)[margin : margin + len(mel) * config.hop_size]


def bin_magnitudes(mel: Tensor, config: VocoderConfig) -> Tensor:
    """Return magnitudes (frames, n_fft // 2 + 1), none negative, whose bands are those of `mel`.

    Starts with the filters' least squares solution, cut off at zero, and brings its bands to the
    wanted ones by multiplicative updates (Lee and Seung 1999).
    """
    filters = torch.from_numpy(mel_filters(config)).to(mel.device)
    bands = mel.exp() - LOG_FLOOR
    bands = bands.clamp_min(0.0)
    magnitude = (bands @ torch.from_numpy(_inverse_filters(config)).to(mel.device).T).clamp_min(
        TINY
    )
    wanted = bands @ filters
    for _ in range(SPREADING_STEPS):
        magnitude = magnitude * wanted / (magnitude @ filters.T @ filters + TINY)
    return magnitude


@lru_cache(maxsize=8)
def _inverse_filters(config: VocoderConfig) -> np.ndarray:
    return np.linalg.pinv(mel_filters(config)).astype(np.float32)


def _window(config: VocoderConfig, like: Tensor) -> Tensor:
    length = config.win_size or config.n_fft
    window = torch.hann_window(length, device=like.device)
    before = (config.n_fft - length) // 2
    return functional.pad(window, (before, config.n_fft - length - before))


def _stft(padded: Tensor, config: VocoderConfig) -> Tensor:
    """Audio with its margins -> complex (frames, n_fft // 2 + 1)."""
    pieces = padded.unfold(0, config.n_fft, config.hop_size)
    return torch.fft.rfft(pieces * _window(config, padded))


def _inverse_stft(spectrum: Tensor, config: VocoderConfig) -> Tensor:
    """Complex (frames, n_fft // 2 + 1) -> audio with its margins: least-squares overlap-add."""
    window = _window(config, spectrum.real)
    pieces = torch.fft.irfft(spectrum, n=config.n_fft) * window
    weight = _overlap_add(window.square().expand(len(pieces), -1), config)
    return _overlap_add(pieces, config) / weight.clamp_min(EDGE)


def _overlap_add(pieces: Tensor, config: VocoderConfig) -> Tensor:
    length = (len(pieces) - 1) * config.hop_size + config.n_fft
    return functional.fold(
        pieces.T[None], (1, length), (1, config.n_fft), stride=(1, config.hop_size)
    ).flatten()
