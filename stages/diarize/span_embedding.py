"""Speaker embeddings of arbitrary spans of a track, batched by length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavemill.stages.diarize.spans import Span

Vectors = Callable[[NDArray[np.float32]], NDArray[np.floating]]  # (n, samples) -> (n, d)


class SpanWindows(BaseModel):
    """What a model sees of a span."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_ms: int = Field(500, ge=1)  # shorter spans are extended on both sides
    max_ms: int = Field(10_000, ge=1)  # of longer ones, the mean of even windows of this length
    grid_ms: int = Field(100, ge=1)  # lengths are cut to multiples, so that spans share batches

    @model_validator(mode="after")
    def _ordered(self) -> SpanWindows:
        if self.max_ms < self.min_ms:
            raise ValueError("max_ms is below min_ms")
        return self


class SpanEmbedder:
    """Maps n spans of one track to (n, d) float32 unit vectors.

    Windows are embedded without padding, which would change what the model sees, so only equal
    lengths share a batch. Results are kept: the stage asks for the same spans several times.
    """

    def __init__(
        self,
        samples: NDArray[np.float32],
        sample_rate: int,
        vectors: Vectors,
        min_samples: int,
        windows: SpanWindows,
        batch: int,
    ) -> None:
        """Embed spans of `samples`; the model fails below `min_samples` of them."""
        per_ms = sample_rate / 1000
        self._rate, self._vectors, self._batch = sample_rate, vectors, batch
        self._shortest = max(min_samples, round(windows.min_ms * per_ms))
        self._longest = max(self._shortest, round(windows.max_ms * per_ms))
        self._grid = max(1, round(windows.grid_ms * per_ms))
        self._samples = np.pad(samples, (0, max(0, self._shortest - samples.size)))
        self._known: dict[Span, NDArray[np.float32]] = {}

    def __call__(self, spans: Sequence[Span]) -> NDArray[np.float32]:
        """Return one unit vector per span, (n, d) float32."""
        wanted = [span for span in dict.fromkeys(spans) if span not in self._known]
        self._known.update(zip(wanted, self._embedded(wanted), strict=True))
        if not spans:
            return np.zeros((0, 0), np.float32)
        return np.stack([self._known[span] for span in spans])

    def _embedded(self, spans: Sequence[Span]) -> list[NDArray[np.float32]]:
        by_length: dict[int, list[tuple[int, int]]] = {}  # length: (span, first sample)
        for index, span in enumerate(spans):
            for first, length in self.windows(span):
                by_length.setdefault(length, []).append((index, first))
        sums: dict[int, NDArray[np.float64]] = {}
        for length, windows in sorted(by_length.items()):
            for begin in range(0, len(windows), self._batch):
                group = windows[begin : begin + self._batch]
                audio = np.stack([self._samples[first : first + length] for _, first in group])
                for (index, _), vector in zip(group, _unit(self._vectors(audio)), strict=True):
                    sums[index] = sums.get(index, 0) + vector
        return [_unit(sums[index]).astype(np.float32) for index in range(len(spans))]

    def windows(self, span: Span) -> list[tuple[int, int]]:
        """Return (first sample, length) of what is embedded for a span, inside the track."""
        start, end = (min(t * self._rate // 1000, self._samples.size) for t in span)
        if end - start > self._longest:
            count = -(-(end - start) // self._longest)
            firsts = np.linspace(start, end - self._longest, count).round().astype(int)
            return [(int(first), self._longest) for first in firsts]
        length = max(self._shortest, (end - start) // self._grid * self._grid)
        first = start + (end - start - length) // 2  # in the middle, or as far as the track goes
        return [(max(0, min(first, self._samples.size - length)), length)]


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scale to length one; a vector that has none (silence) becomes the first axis."""
    wide = np.nan_to_num(np.asarray(vectors, np.float64), posinf=0.0, neginf=0.0)
    norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    axis = np.eye(1, wide.shape[-1])[0]
    return np.where(norms > 0, wide / np.maximum(norms, 1e-30), axis)
