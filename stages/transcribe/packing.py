"""Clips of one recording in windows of fixed length, and words given back to their clips.

Whisper reads 30 s at a time, however short a clip is, so that a clip of 4 s costs as much as one
of 30 s. Neighbouring clips share a window, with silence between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Placed:
    """A clip in a window: where its first sample and the one after its last are."""

    clip: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Window:
    """Clips that are decoded together, in order."""

    placed: tuple[Placed, ...]

    @property
    def samples(self) -> int:
        return self.placed[-1].end

    def audio(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Return float32 (samples,): the clips, and silence between them."""
        audio = np.zeros(self.samples, np.float32)
        for one in self.placed:
            audio[one.start : one.end] = clips[one.clip]
        return audio

    def clip_at(self, sample: float) -> Placed:
        """Return the clip to which a time belongs: it lies in it, or is nearest to it."""
        return min(self.placed, key=lambda one: max(one.start - sample, sample - one.end, 0.0))


def packed(lengths: Sequence[int], window: int, gap: int) -> list[Window]:
    """Fill windows of `window` samples with clips of these lengths, in order, `gap` apart.

    A clip that is longer than a window has one of its own.
    """
    windows: list[Window] = []
    placed: list[Placed] = []
    for index, length in enumerate(lengths):
        start = placed[-1].end + gap if placed else 0
        if placed and start + length > window:
            windows.append(Window(tuple(placed)))
            placed, start = [], 0
        placed.append(Placed(index, start, start + length))
    if placed:
        windows.append(Window(tuple(placed)))
    return windows
