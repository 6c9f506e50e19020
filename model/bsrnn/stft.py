"""Short-time Fourier transform with a window whose square adds up to one, and its inverse."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Stft(nn.Module):
    """Frames of `window` samples every `window / 2`, weighted by the root of a Hann window.

    The same window on the way back makes the two an identity for audio of any length: nothing is
    lost at the ends, since they are padded with zeros.
    """

    window: Tensor

    def __init__(self, window: int) -> None:
        super().__init__()
        self.size = window
        self.hop = window // 2
        # No part of a checkpoint: it follows from the size.
        self.register_buffer("window", torch.hann_window(window).sqrt(), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Transform float32 (batch, samples) to complex64 (batch, bins, frames).

        There are window // 2 + 1 bins and ceil(samples / hop) + 1 frames; frame k is centred on
        sample k * hop. White noise of variance 1 gives bins of mean square 1.
        """
        padded = nn.functional.pad(audio, (0, -audio.shape[-1] % self.hop))
        spectrum = torch.stft(
            padded,
            self.size,
            self.hop,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        return spectrum / self.hop**0.5

    def inverse(self, spectrum: Tensor, samples: int) -> Tensor:
        """Transform complex64 (batch, bins, frames) back to float32 (batch, samples)."""
        whole = (spectrum.shape[-1] - 1) * self.hop
        audio = torch.istft(
            spectrum * self.hop**0.5,
            self.size,
            self.hop,
            window=self.window,
            center=True,
            length=whole,
        )
        return audio[..., :samples]
