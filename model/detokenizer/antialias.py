"""Periodic activations between twofold resampling, so that they add no aliases (BigVGAN).

Shapes: B items, C channels, T samples. Fixtures: detokenizer, section 8 and `activation1d`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

TAPS = 12
CUTOFF = 0.25  # of the doubled rate
HALF_WIDTH = 0.3  # of the transition band
EPSILON = 1e-9
ACTIVATION_REACH = 5  # samples on each side that an activation looks at


def low_pass() -> Tensor:
    """Return the Kaiser-windowed sinc: float32 (TAPS,), its sum 1."""
    attenuation = 2.285 * (TAPS // 2 - 1) * math.pi * 4 * HALF_WIDTH + 7.95
    beta = 0.1102 * (attenuation - 8.7)
    window = torch.kaiser_window(TAPS, periodic=False, beta=beta, device="cpu")
    time = torch.arange(TAPS, device="cpu") - TAPS / 2 + 0.5
    taps = 2 * CUTOFF * window * torch.sinc(2 * CUTOFF * time)
    return taps / taps.sum()


class Snake(nn.Module):
    """u + sin(alpha u)^2 / beta, per channel; plain "snake" has alpha for both."""

    def __init__(self, channels: int, two: bool, logscale: bool) -> None:
        super().__init__()
        self.logscale = logscale
        start = torch.zeros(channels) if logscale else torch.ones(channels)
        self.alpha = nn.Parameter(start)
        self.beta = nn.Parameter(start.clone()) if two else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T) to the same shape."""
        alpha = self.alpha[:, None]
        beta = alpha if self.beta is None else self.beta[:, None]
        if self.logscale:
            alpha, beta = alpha.exp(), beta.exp()
        return x + torch.sin(x * alpha).square() / (beta + EPSILON)


class UpSample(nn.Module):
    """Twice the rate; the first and last sample go on beyond the ends."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", low_pass()[None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, C, T) into (B, C, 2 T)."""
        padded = functional.pad(x, (5, 5), mode="replicate")
        taps = self.filter.expand(x.shape[1], -1, -1)
        doubled = functional.conv_transpose1d(padded, 2 * taps, stride=2, groups=x.shape[1])
        return doubled[..., 15:-15]


class LowPass(nn.Module):
    """The filter of the way down, and every second sample of its output."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", low_pass()[None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, C, 2 T) into (B, C, T)."""
        padded = functional.pad(x, (5, 6), mode="replicate")
        taps = self.filter.expand(x.shape[1], -1, -1)
        return functional.conv1d(padded, taps, stride=2, groups=x.shape[1])


class DownSample(nn.Module):
    """Half the rate."""

    def __init__(self) -> None:
        super().__init__()
        self.lowpass = LowPass()

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, C, 2 T) into (B, C, T)."""
        return self.lowpass(x)


class Activation(nn.Module):
    """Up, activate, down.

    The published CUDA kernel differs from this in the first and last three samples, by at most
    0.013, because it goes on with the filtered signal beyond the ends.
    """

    def __init__(self, channels: int, two: bool, logscale: bool) -> None:
        super().__init__()
        self.act = Snake(channels, two, logscale)
        self.upsample = UpSample()
        self.downsample = DownSample()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T) to the same shape."""
        return self.downsample(self.act(self.upsample(x)))
