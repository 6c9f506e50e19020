"""Taking a constant offset (DC) out of a stream, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from wavemill.stages.audio.resample import rechunk


@dataclass(frozen=True, slots=True)
class OffsetSettings:
    """What counts as an offset, and how it is taken out."""

    # Of full scale (-70 dB). Means of windows of good recordings of speech stay below 0.00025.
    floor: float = 0.0003
    # Looked for in the quietest quarter of a window's frames, where an offset spoils what is
    # measured: low sounds and lopsided voices have means, too. Once it is found, the floor alone
    # keeps the filter on.
    frame_ms: int = 50
    quiet_share: float = 0.25
    least_share: float = 0.25  # of the level of these frames
    window_s: int = 1
    corner_hz: float = 5.0  # of the high-pass filter; at 80 Hz it takes 0.02 dB
    fade_ms: int = 50  # from a window with the filter to one without


def without_offset(
    blocks: Iterable[np.ndarray], sample_rate: int, settings: OffsetSettings | None = None
) -> Iterator[np.ndarray]:
    """Yield float32 (channels, samples) without offset, in blocks of `window_s`.

    Where the offset of a channel's window reaches the floor, what lies below `corner_hz` is taken
    out (one pole); all other windows pass untouched, bit by bit. Depends on the samples alone,
    not on how they come in blocks.
    """
    settings = settings or OffsetSettings()
    removers: list[_Remover] = []
    for window in rechunk(blocks, sample_rate * settings.window_s):
        removers = removers or [_Remover(sample_rate, settings) for _ in window]
        changed = [remove(row) for remove, row in zip(removers, window, strict=True)]
        yield (
            window
            if all(c is None for c in changed)
            else np.stack([row if c is None else c for c, row in zip(changed, window, strict=True)])
        )


class _Remover:
    """The state of one channel."""

    def __init__(self, sample_rate: int, settings: OffsetSettings) -> None:
        self._settings = settings
        self._pole = math.exp(-2 * math.pi * settings.corner_hz / sample_rate)
        self._fade = np.linspace(1, 0, sample_rate * settings.fade_ms // 1000)
        self._frame = max(1, sample_rate * settings.frame_ms // 1000)
        self._least = sample_rate * settings.window_s // 2  # samples that can switch the filter
        self._offset: float | None = None  # where the low-passed signal stands; None: filter off
        self._first = True

    def __call__(self, window: np.ndarray) -> np.ndarray | None:
        """Return the window without its offset; None: as it is."""
        before, after = self._offset, self._offset is not None
        if self._first or window.size >= self._least:
            mean = float(window.mean(dtype=np.float64))
            if not math.isfinite(mean):  # whoever reads it will say so
                return None
            found = abs(mean) if after else self._in_pauses(window)
            after = found >= self._settings.floor
            if self._first:  # it began before the recording did
                before, self._first = mean if after else None, False
        if before is None and not after:
            return None
        from scipy.signal import lfilter

        start = [self._pole * (before or 0.0)]
        low, (state,) = lfilter([1 - self._pole], [1, -self._pole], window, zi=start)
        self._offset = state / self._pole if after else None
        if not after:
            fade = self._fade[: window.size]
            low[: fade.size] *= fade
            low[fade.size :] = 0
        return (window - low).astype(np.float32)

    def _in_pauses(self, window: np.ndarray) -> float:
        """Return the offset of the quietest frames; 0 where it is little beside their level."""
        length = min(self._frame, window.size)
        frames = window[: window.size // length * length].reshape(-1, length)
        levels = frames.std(axis=1)
        count = math.ceil(self._settings.quiet_share * len(frames))
        quiet = np.argsort(levels, kind="stable")[:count]
        offset = abs(float(frames[quiet].mean(dtype=np.float64)))
        little = self._settings.least_share * float(levels[quiet].mean())
        return offset if offset >= little else 0.0
