"""Networks that distinguish real speech from a vocoder's, by periods, by scales and by spectra.

Multi-period and multi-scale discriminators as in HiFi-GAN (Kong et al. 2020), multi-resolution as
in BigVGAN (Lee et al. 2023). All convolutions have weight norm. Each discriminator turns audio
(batch, samples) into scores (batch, ...) and the features of its layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from wavemill.model.audio import stft

SLOPE = 0.1  # of the leaky rectifiers
SCALE_LAYERS = (
    (15, 1, 1),
    (41, 2, 4),
    (41, 2, 16),
    (41, 4, 16),
    (41, 4, 16),
    (41, 1, 16),
    (5, 1, 1),
)
RESOLUTION_STRIDES = (1, 2, 2, 2, 1)  # over frequency

Scored = tuple[Tensor, list[Tensor]]  # scores, features


class DiscriminatorSettings(BaseModel):
    """Which discriminators there are, and how wide; the defaults are the papers'."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)  # samples
    period_channels: tuple[int, ...] = (32, 128, 512, 1024, 1024)
    scales: int = 3  # each at half the rate of the one before
    scale_channels: tuple[int, ...] = (128, 128, 256, 512, 1024, 1024, 1024)  # of SCALE_LAYERS
    # n_fft, hop, window in samples
    resolutions: tuple[tuple[int, int, int], ...] = (
        (1024, 120, 600),
        (2048, 240, 1200),
        (512, 50, 240),
    )
    resolution_channels: int = 32


class PeriodDiscriminator(nn.Module):
    """Sees every `period`-th sample, in `period` columns."""

    def __init__(self, period: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.period = period
        ins = (1, *channels[:-1])
        strides = [3] * (len(channels) - 1) + [1]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(i, o, (5, 1), (stride, 1), padding=(2, 0)))
            for i, o, stride in zip(ins, channels, strides, strict=True)
        )
        self.score = weight_norm(nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, audio: Tensor) -> Scored:
        padded = functional.pad(audio[:, None], (0, -audio.shape[1] % self.period), mode="reflect")
        rows = padded.view(len(audio), 1, -1, self.period)
        return _scored(self.layers, self.score, rows)


class ScaleDiscriminator(nn.Module):
    """Sees audio at a `halvings`-th half of its rate."""

    def __init__(self, halvings: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.halvings = halvings
        ins = (1, *channels[:-1])
        self.layers = nn.ModuleList(
            weight_norm(
                nn.Conv1d(i, o, size, stride, size // 2, groups=math.gcd(groups, math.gcd(i, o)))
            )
            for i, o, (size, stride, groups) in zip(ins, channels, SCALE_LAYERS, strict=True)
        )
        self.score = weight_norm(nn.Conv1d(channels[-1], 1, 3, padding=1))

    def forward(self, audio: Tensor) -> Scored:
        audio = audio[:, None]
        for _ in range(self.halvings):
            audio = functional.avg_pool1d(audio, 4, 2, padding=2)
        return _scored(self.layers, self.score, audio)


class ResolutionDiscriminator(nn.Module):
    """Sees magnitudes of a short-time spectrum."""

    window: Tensor

    def __init__(self, n_fft: int, hop: int, length: int, channels: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(length), persistent=False)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(i, channels, (size, 3), (stride, 1), (size // 2, 1)))
            for i, size, stride in zip(
                (1, *[channels] * 4), (9, 9, 9, 9, 3), RESOLUTION_STRIDES, strict=True
            )
        )
        self.score = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> Scored:
        with torch.autocast(audio.device.type, enabled=False):
            half = self.n_fft // 2  # frames are centred
            padded = functional.pad(audio.float()[:, None], (half, half), mode="reflect")[:, 0]
            spectrum = stft(padded, self.n_fft, self.hop, self.window)
            # The root has no gradient at zero.
            magnitude = (spectrum.real**2 + spectrum.imag**2 + 1e-9).sqrt()
        return _scored(self.layers, self.score, magnitude[:, None])


class Discriminators(nn.Module):
    """All of them."""

    def __init__(self, settings: DiscriminatorSettings) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            [
                *(PeriodDiscriminator(p, settings.period_channels) for p in settings.periods),
                *(ScaleDiscriminator(n, settings.scale_channels) for n in range(settings.scales)),
                *(
                    ResolutionDiscriminator(*resolution, settings.resolution_channels)
                    for resolution in settings.resolutions
                ),
            ]
        )

    def forward(self, audio: Tensor) -> list[Scored]:
        """Return scores and features of each discriminator for audio (batch, samples)."""
        return [part(audio) for part in self.parts]


def _scored(layers: nn.ModuleList, last: nn.Module, x: Tensor) -> Scored:
    features = []
    for layer in layers:
        x = functional.leaky_relu(layer(x), SLOPE)
        features.append(x)
    score = last(x)
    return score.flatten(1), [*features, score]
