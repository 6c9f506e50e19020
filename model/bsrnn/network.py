"""The Band-Split RNN: band split, recurrences over time and over bands, complex mask.

Shapes: B items of a batch, F bins, T frames, K bands, N features. Everything is float32, spectra
are complex64. Sources: Luo and Yu 2022 (arXiv 2209.15174), Yu et al. 2022 (arXiv 2212.00406).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wavemill.model.audio import inverse_stft, stft
from wavemill.model.bsrnn.config import BsrnnConfig, band_bins, two_way_bands

EPSILON = 1e-5  # added to variances
LEVEL_FLOOR = 1e-5  # RMS, -100 dBFS: what is softer is not raised to full level


class Stft(nn.Module):
    """Short-time Fourier transform with a window whose square adds up to one, and its inverse.

    Frames of `window` samples every `window / 2`, weighted by the root of a Hann window. The same
    window on the way back makes the two an identity for audio of any length: nothing is lost at
    the ends, since they are padded with zeros.
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
        missing = -audio.shape[-1] % self.hop
        padded = nn.functional.pad(audio, (self.hop, missing + self.hop))
        return stft(padded, self.size, self.hop, self.window) / self.hop**0.5

    def inverse(self, spectrum: Tensor, samples: int) -> Tensor:
        """Transform complex64 (batch, bins, frames) back to float32 (batch, samples)."""
        audio = inverse_stft(spectrum * self.hop**0.5, self.size, self.hop, self.window)
        return audio[..., self.hop : self.hop + samples]


class GlobalNorm(nn.Module):
    """Group norm of one group: an item's mean and variance over all, then a gain per feature."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, ..., features)."""
        axes = tuple(range(1, x.dim()))
        variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
        scale = torch.rsqrt(variance + EPSILON)
        return (x - mean) * scale * self.weight + self.bias


class BandSplit(nn.Module):
    """Each band's bins, normalised, as N features."""

    def __init__(self, bins: tuple[int, ...], features: int) -> None:
        super().__init__()
        self.bins = bins
        self.norms = nn.ModuleList(GlobalNorm(2 * width) for width in bins)
        self.projections = nn.ModuleList(nn.Linear(2 * width, features) for width in bins)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Turn complex (B, F, T) into (B, T, K, N)."""
        parts = torch.split(torch.view_as_real(spectrum).transpose(1, 2), list(self.bins), dim=2)
        bands = [
            projection(norm(part.flatten(2)))
            for part, norm, projection in zip(parts, self.norms, self.projections, strict=True)
        ]
        return torch.stack(bands, dim=2)


class TimeRecurrence(nn.Module):
    """Residual block: every band by itself through a bidirectional LSTM over time."""

    def __init__(self, config: BsrnnConfig) -> None:
        super().__init__()
        self.norm = GlobalNorm(config.features)
        self.rnn = nn.LSTM(config.features, config.hidden, batch_first=True, bidirectional=True)
        self.projection = nn.Linear(2 * config.hidden, config.features)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, K, N) to the same shape."""
        batch, frames, bands, features = x.shape
        rows = self.norm(x).transpose(1, 2).reshape(batch * bands, frames, features)
        out = self.projection(self.rnn(rows)[0])
        return x + out.view(batch, bands, frames, features).transpose(1, 2)


class BandRecurrence(nn.Module):
    """Residual block: every frame by itself through LSTMs over the bands.

    The upward LSTM sees all bands, the downward one only the lowest `two_way`: low bands learn
    nothing from the unstable high ones, which know all that lies below them (Yu et al. 2022).
    """

    def __init__(self, config: BsrnnConfig) -> None:
        super().__init__()
        self.two_way = two_way_bands(config)
        self.high = len(band_bins(config)) - self.two_way
        self.norm = GlobalNorm(config.features)
        self.up = nn.LSTM(config.features, config.hidden, batch_first=True)
        if self.two_way:
            self.down = nn.LSTM(config.features, config.hidden, batch_first=True)
            self.projection = nn.Linear(2 * config.hidden, config.features)
        if self.high:
            self.high_projection = nn.Linear(config.hidden, config.features)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, K, N) to the same shape."""
        rows = self.norm(x).flatten(0, 1)
        up = self.up(rows)[0]
        parts = []
        if self.two_way:
            down = self.down(rows[:, : self.two_way].flip(1))[0].flip(1)
            parts.append(self.projection(torch.cat([up[:, : self.two_way], down], dim=-1)))
        if self.high:
            parts.append(self.high_projection(up[:, self.two_way :]))
        return x + torch.cat(parts, dim=1).view(x.shape)


class BandEstimate(nn.Module):
    """From each band's features to a complex number per bin: norm, tanh layer, gated layer."""

    def __init__(self, config: BsrnnConfig, start: float) -> None:
        """Give `start` (real) as the first value of every bin, so that training begins there."""
        super().__init__()
        bins = band_bins(config)
        self.norms = nn.ModuleList(GlobalNorm(config.features) for _ in bins)
        self.hidden = nn.ModuleList(nn.Linear(config.features, config.mask_hidden) for _ in bins)
        self.gated = nn.ModuleList(nn.Linear(config.mask_hidden, 4 * width) for width in bins)
        for layer, width in zip(self.gated, bins, strict=True):
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
            # Values are (bin, real or imaginary), then as many gates, which begin half open.
            nn.init.constant_(layer.bias[: 2 * width : 2], 2 * start)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, T, K, N) into complex (B, F, T)."""
        parts = []
        for band, (norm, hidden, gated) in enumerate(
            zip(self.norms, self.hidden, self.gated, strict=True)
        ):
            values = nn.functional.glu(gated(torch.tanh(hidden(norm(x[:, :, band])))), dim=-1)
            parts.append(values.reshape(*values.shape[:2], -1, 2))
        return torch.view_as_complex(torch.cat(parts, dim=2)).transpose(1, 2)


class Bsrnn(nn.Module):
    """Noisy waveforms to clean ones, of any length, each item of a batch by itself."""

    def __init__(self, config: BsrnnConfig) -> None:
        super().__init__()
        self.config = config
        self.stft = Stft(config.window)
        self.split = BandSplit(band_bins(config), config.features)
        self.blocks = nn.ModuleList(
            block(config) for _ in range(config.pairs) for block in (TimeRecurrence, BandRecurrence)
        )
        self.mask = BandEstimate(config, start=1.0)
        self.residual = BandEstimate(config, start=0.0) if config.residual else None

    def forward(self, audio: Tensor) -> Tensor:
        """Enhance float32 (B, samples) at `config.sample_rate`; the output has the same shape.

        An item's level does not matter: it is brought to an RMS of 1 and back.
        """
        level = audio.square().mean(-1, keepdim=True).sqrt().clamp_min(LEVEL_FLOOR)
        enhanced = self.enhance_spectrum(self.stft(audio / level))
        return self.stft.inverse(enhanced, audio.shape[-1]) * level

    def enhance_spectrum(self, spectrum: Tensor) -> Tensor:
        """Return mask * spectrum + residual; complex (B, F, T) both."""
        features = self.split(spectrum)
        for block in self.blocks:
            features = block(features)
        enhanced: Tensor = self.mask(features) * spectrum
        return enhanced if self.residual is None else enhanced + self.residual(features)
