"""Mel cepstra as PocketSphinx computes them, streaming.

The parameters are those of its en-us model (`feat.params` and the defaults of its front end),
because the frames are compared with the Gaussians of that model. Its noise removal is left out:
the audio is enhanced already.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
HOP = 160  # 10 ms
FRAMES_PER_SECOND = SAMPLE_RATE // HOP
COEFFICIENTS = 13
_WINDOW = 410
_FFT = 512
_BANDS = 25
_LOWEST_HZ, _HIGHEST_HZ = 130.0, 6800.0
_LIFTER = 22
_PREEMPHASIS = 0.97
_FULL_SCALE = 32768.0  # the model was trained on 16-bit samples
_FLOOR = 1e-4
_FRAMES_AT_ONCE = 3000


@dataclass(frozen=True, slots=True)
class Cepstra:
    """Frames of one track, one per 10 ms."""

    values: NDArray[np.float32]  # (frames, 13), liftered, no mean subtracted
    level_db: NDArray[np.float32]  # (frames,) mean of the log mel bands


class CepstraStream:
    """Cepstra of one track, fed piece by piece."""

    def __init__(self) -> None:
        self._bank = _mel_bank()
        self._transform = _cosine_transform()
        self._window = np.hamming(_WINDOW).astype(np.float32)
        self._previous = np.float32(0)
        self._rest = np.zeros(0, np.float32)
        self._values: list[NDArray[np.float32]] = []
        self._levels: list[NDArray[np.float32]] = []

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Take the next samples, (n,) float32 at 16 kHz, full scale 1.0."""
        if not len(samples):
            return
        scaled = np.asarray(samples, np.float32) * np.float32(_FULL_SCALE)
        shifted = np.concatenate([[self._previous], scaled[:-1]])
        self._previous = scaled[-1]
        emphasised = scaled - np.float32(_PREEMPHASIS) * shifted
        self._rest = np.concatenate([self._rest, emphasised.astype(np.float32)])
        while (count := min(self._available(), _FRAMES_AT_ONCE)) > 0:
            self._take(count)

    def finish(self) -> Cepstra:
        """Return all frames; a rest shorter than a window (26 ms) gives none."""
        if not self._values:
            return Cepstra(np.zeros((0, COEFFICIENTS), np.float32), np.zeros(0, np.float32))
        return Cepstra(np.concatenate(self._values), np.concatenate(self._levels))

    def _available(self) -> int:
        return (len(self._rest) - _WINDOW) // HOP + 1

    def _take(self, count: int) -> None:
        frames = np.lib.stride_tricks.sliding_window_view(self._rest, _WINDOW)[: count * HOP : HOP]
        spectrum = np.fft.rfft(frames * self._window, _FFT)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        bands = np.log(np.maximum(power @ self._bank, np.float32(_FLOOR)))
        self._values.append(bands @ self._transform)
        self._levels.append(bands.mean(axis=1) * np.float32(10 / np.log(10)))
        self._rest = self._rest[count * HOP :]


def _mel_bank() -> NDArray[np.float32]:
    """Triangular filters of unit area, edges rounded to FFT bins: (257, 25)."""
    bin_hz = SAMPLE_RATE / _FFT
    mels = np.linspace(_to_mel(_LOWEST_HZ), _to_mel(_HIGHEST_HZ), _BANDS + 2)
    edges = np.round(700 * (10 ** (mels / 2595) - 1) / bin_hz) * bin_hz
    hertz = np.arange(_FFT // 2 + 1)[:, None] * bin_hz
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (hertz - left) / (centre - left), (right - hertz) / (right - centre)
    bank = np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left)
    return bank.astype(np.float32)


def _to_mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _cosine_transform() -> NDArray[np.float32]:
    """Orthonormal DCT-II of the log bands, then the sine lifter: (25, 13)."""
    order = np.arange(COEFFICIENTS)
    basis = np.cos(np.pi * order * (np.arange(_BANDS)[:, None] + 0.5) / _BANDS)
    basis *= np.where(order == 0, np.sqrt(1 / _BANDS), np.sqrt(2 / _BANDS))
    lifter = 1 + _LIFTER / 2 * np.sin(np.pi * order / _LIFTER)
    return (basis * lifter).astype(np.float32)
