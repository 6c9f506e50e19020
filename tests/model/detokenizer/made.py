"""Small detokenizers whose weights are a formula, the same on every machine."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from wavemill.model.detokenizer.config import (
    DetokenizerConfig,
    FlowConfig,
    StreamSettings,
    VocoderConfig,
)
from wavemill.model.detokenizer.detokenizer import Detokenizer

BANDS = 8
HOP = 12  # samples per frame
LOUDNESS = 0.05  # leaves the audio below full scale, where nothing is clamped

CONFIG = DetokenizerConfig(
    flow=FlowConfig(input_size=BANDS, semantic_vocab_size=32, hidden_size=32, depth=2, num_heads=2),
    vocoder=VocoderConfig(
        num_mels=BANDS,
        upsample_rates=(4, 3),
        upsample_kernel_sizes=(8, 5),
        upsample_initial_channel=16,
        resblock_kernel_sizes=(3, 5),
        resblock_dilation_sizes=((1, 3), (1, 3)),
        use_tanh_at_final=False,
        n_fft=32,
        hop_size=HOP,
    ),
)
QUICK = StreamSettings(ode_points=4, cache_frames=300)


def made_detokenizer(
    settings: StreamSettings = QUICK,
    config: DetokenizerConfig = CONFIG,
    kind: type[Detokenizer] = Detokenizer,
) -> Detokenizer:
    detokenizer = kind.from_config(config, settings)
    for part in (detokenizer.flow, detokenizer.vocoder):
        fill(part)
    detokenizer.vocoder.conv_post.weight.data *= LOUDNESS
    return detokenizer


def fill(module: nn.Module) -> None:
    """Give every parameter values in (-1, 1), scaled to keep the variance of what they multiply."""
    for index, parameter in enumerate(module.parameters()):
        scale = math.sqrt(3 / (parameter[0].numel() if parameter.dim() > 1 else 30))
        parameter.data = (scale * scattered(parameter.numel(), index)).view(parameter.shape)


def scattered(count: int, seed: int) -> Tensor:
    """Return float32 (count,) in (-1, 1) without pattern: digits of a sine far behind the point."""
    numbers = torch.arange(1, count + 1, dtype=torch.float64)
    return (2 * torch.frac(1e4 * torch.sin(12.9898 * numbers + 0.618 * seed).abs()) - 1).float()


def tokens_for(count: int, seed: int = 0) -> Tensor:
    size = CONFIG.flow.semantic_vocab_size
    return ((scattered(count, 100 + seed) + 1) / 2 * size).long().clamp(0, size - 1)


def made_audio(frames: int) -> Tensor:
    """Return a sweep of `frames` hops."""
    time = torch.arange(frames * HOP) / (frames * HOP)
    return 0.3 * torch.sin(300 * time**2 + 40 * time)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
