"""BigVGAN: log-mel frames to audio (report section 2.4; fixtures: detokenizer, section 8).

Parameter names are those of the published checkpoint with weight norm folded into weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wavemill.model.detokenizer.antialias import ACTIVATION_REACH, Activation
from wavemill.model.detokenizer.config import VocoderConfig

EDGE_KERNEL = 7  # of the first and the last convolution


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


def reach(config: VocoderConfig) -> tuple[int, int]:
    """Return how many frames before and after its own an output sample can depend on.

    With (40, 40) for the published configuration; trained weights hardly use the outer ones.
    """
    first, last = 0, config.samples_per_frame - 1  # an output frame's samples, traced back
    first, last = first - EDGE_KERNEL // 2, last + EDGE_KERNEL // 2
    first, last = first - ACTIVATION_REACH, last + ACTIVATION_REACH
    block = max(
        sum(2 * ACTIVATION_REACH + (kernel - 1) // 2 * (dilation + 1) for dilation in dilations)
        for kernel, dilations in zip(
            config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
        )
    )
    stages = zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)
    for rate, kernel in reversed(list(stages)):
        padding = (kernel - rate) // 2
        first = -((kernel - 1 - padding - first + block) // rate)
        last = (last + block + padding) // rate
    return EDGE_KERNEL // 2 - first, last + EDGE_KERNEL // 2
