"""BigVGAN: log-mel frames to audio (report section 2.4).

Its periodic activations stand between twofold resampling, so that they add no aliases. Parameter
names are those of the published checkpoint with weight norm folded into weights; what is computed
is in `docs/published-format.md`, "Vocoder". Shapes: B items, C channels, T samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavemill.model.detokenizer.config import VocoderConfig

EDGE_KERNEL = 7  # of the first and the last convolution
TAPS = 12
CUTOFF = 0.25  # of the doubled rate
HALF_WIDTH = 0.3  # of the transition band
EPSILON = 1e-9


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


class ResidualBlock(nn.Module):
    """Per dilation: activation, dilated convolution, activation, convolution, sum."""

    def __init__(
        self, channels: int, kernel: int, dilations: Sequence[int], config: VocoderConfig
    ) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=dilation, padding="same")
            for dilation in dilations
        )
        self.convs2 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding="same") for _ in dilations
        )
        self.activations = nn.ModuleList(
            activation(channels, config) for _ in range(2 * len(dilations))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T) to the same shape."""
        layers = zip(
            self.activations[::2], self.convs1, self.activations[1::2], self.convs2, strict=True
        )
        for before, dilated, between, plain in layers:
            x = x + plain(between(dilated(before(x))))
        return x


class BigVgan(nn.Module):
    """Upsampling stages, each the mean of parallel residual blocks."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.upsample_initial_channel
        same = EDGE_KERNEL // 2
        self.conv_pre = nn.Conv1d(config.num_mels, width, EDGE_KERNEL, padding=same)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            up = nn.ConvTranspose1d(
                width, width // 2, kernel, stride=rate, padding=(kernel - rate) // 2
            )
            self.ups.append(nn.Sequential(up))
            width //= 2
            for size, dilations in zip(
                config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
            ):
                self.resblocks.append(ResidualBlock(width, size, dilations, config))
        self.activation_post = activation(width, config)
        self.conv_post = nn.Conv1d(
            width, 1, EDGE_KERNEL, padding=same, bias=config.use_bias_at_final
        )

    def forward(self, mel: Tensor) -> Tensor:
        """Turn log-mel (B, frames, bands) into audio (B, frames * samples_per_frame) in [-1, 1].

        Input of another dtype is brought to the weights'; output is float32.
        """
        x = self.conv_pre(mel.transpose(1, 2).to(self.conv_pre.weight.dtype))
        parallel = len(self.config.resblock_kernel_sizes)
        for stage, up in enumerate(self.ups):
            x = up(x)
            blocks = self.resblocks[stage * parallel : (stage + 1) * parallel]
            x = torch.stack([block(x) for block in blocks]).mean(0)
        x = self.conv_post(self.activation_post(x))[:, 0]
        x = torch.tanh(x) if self.config.use_tanh_at_final else x.clamp(-1, 1)
        return x.float()


def activation(channels: int, config: VocoderConfig) -> Activation:
    """Return the anti-aliased activation that `config` names."""
    return Activation(channels, config.activation == "snakebeta", config.snake_logscale)
