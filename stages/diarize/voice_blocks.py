"""The voice of any span of a track, from statistics of the speech in blocks of 100 ms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wavemill.stages.diarize.spans import Span

BLOCK_MS = 100
FRAMES = 5  # of features in a block
SPANS_AT_ONCE = 1024

# Maps means and deviations of features, (n, 2 * channels) float32, to embeddings (n, d) float32.
Embedding = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class VoiceBlocks:
    """Mean and variance of the features of speech in each block that has any: 2 KiB a block.

    Half precision suffices: the statistics of a span come from many of them.
    """

    numbers: NDArray[np.int64]  # (n,) of the blocks in the track, ascending
    counts: NDArray[np.float32]  # (n,) frames of speech
    means: NDArray[np.float16]  # (n, channels)
    variances: NDArray[np.float16]  # (n, channels)

    @classmethod
    def of(cls, first_block: int, features: NDArray[np.float32], spoken: NDArray[np.bool_]) -> Self:
        """Summarise a stretch: features (frames, channels), and which frames are speech."""
        blocks = -(-len(features) // FRAMES)
        fill = blocks * FRAMES - len(features)
        frames = np.pad(features, ((0, fill), (0, 0))).reshape(blocks, FRAMES, -1)
        weights = np.pad(spoken, (0, fill)).reshape(blocks, FRAMES, 1).astype(np.float32)
        counts = weights.sum(axis=(1, 2))
        kept = counts > 0
        frames, weights, counts = frames[kept], weights[kept], counts[kept]
        means = (frames * weights).sum(axis=1) / counts[:, None]
        variances = ((frames - means[:, None]) ** 2 * weights).sum(axis=1) / counts[:, None]
        numbers = first_block + np.flatnonzero(kept)
        return cls(numbers, counts, means.astype(np.float16), variances.astype(np.float16))

    @classmethod
    def joined(cls, stretches: Iterable[Self], limit: int, channels: int) -> Self:
        """Join the blocks of successive stretches, at most `limit` of them, without a copy."""
        numbers, counts = np.zeros(limit, np.int64), np.zeros(limit, np.float32)
        means, variances = (np.zeros((limit, channels), np.float16) for _ in range(2))
        filled = 0
        for part in stretches:
            here = slice(filled, filled + len(part.numbers))
            numbers[here], counts[here] = part.numbers, part.counts
            means[here], variances[here] = part.means, part.variances
            filled = here.stop
        return cls(numbers[:filled], counts[:filled], means[:filled], variances[:filled])

    def embed(self, spans: Sequence[Span], embedding: Embedding) -> NDArray[np.float32]:
        """Return one unit vector per span, (n, d) float32, of the speech in the blocks it touches.

        A span without speech has the voice of the nearest block that has some; without any
        speech in the track all vectors are alike.
        """
        groups = [spans[i : i + SPANS_AT_ONCE] for i in range(0, len(spans), SPANS_AT_ONCE)]
        found = [embedding(self._statistics(group)) for group in groups or [spans]]
        vectors = np.concatenate(found)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def _statistics(self, spans: Sequence[Span]) -> NDArray[np.float32]:
        """Return means and deviations over the frames of each span, (n, 2 * channels)."""
        channels = self.means.shape[1]
        out = np.zeros((len(spans), 2 * channels), np.float32)
        for row, (first, last) in zip(out, self._ranges(spans), strict=True):
            counts = self.counts[first:last, None]
            total = max(float(counts.sum()), 2.0)
            means = self.means[first:last].astype(np.float32)
            mean = (means * counts).sum(axis=0) / max(float(counts.sum()), 1.0)
            squares = (means - mean) ** 2 + self.variances[first:last]
            row[:channels] = mean
            row[channels:] = np.sqrt((squares * counts).sum(axis=0) / (total - 1))
        return out

    def _ranges(self, spans: Sequence[Span]) -> list[tuple[int, int]]:
        """Return the first and the last but one of the blocks of each span."""
        edges = np.asarray(spans, np.int64).reshape(-1, 2)
        first = np.searchsorted(self.numbers, edges[:, 0] // BLOCK_MS)
        last = np.searchsorted(self.numbers, -(-edges[:, 1] // BLOCK_MS))
        lone = np.flatnonzero(first >= last)
        if len(lone) and len(self.numbers):
            middle = edges[lone].mean(axis=1) / BLOCK_MS
            after = np.clip(np.searchsorted(self.numbers, middle), 0, len(self.numbers) - 1)
            before = np.maximum(after - 1, 0)
            nearer = np.abs(self.numbers[before] - middle) <= np.abs(self.numbers[after] - middle)
            first[lone] = np.where(nearer, before, after)
            last[lone] = first[lone] + 1
        return list(zip(first.tolist(), last.tolist(), strict=True))
