"""The voice of any span of a track, from the statistics of its frames.

Two figures are measured on recordings of one speaker each (`benchmarks/diarization.py
--calibrate`: read speech and strings of digits, original and after RNNoise; no meetings): how far
the sounds said still show in the voice of 1.5 s, and in that of a quarter of a second.
A recording whose voices flicker more than those from one quarter second to the next is noisier,
and all deviations in it count for less, by one common factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wavemill.stages.diarize.cepstra import FRAMES_PER_SECOND
from wavemill.stages.diarize.phonetic import VoiceStatistics
from wavemill.stages.diarize.spans import Span

CHUNK_S = 1.5
FLICKER_FRAMES = 24  # about a quarter of a second of speech
FRAME_MS = 1000 // FRAMES_PER_SECOND
MIN_PIECES = 4  # fewer pieces than this say nothing about flicker
# Standard deviations of cepstra 1 to 12.
WITHIN = np.array([1.0, 1.34, 1.74, 1.36, 2.44, 2.06, 1.62, 2.21, 2.09, 2.27, 2.07, 1.71])
FLICKER = np.array([2.25, 2.89, 3.49, 3.53, 3.59, 3.88, 3.7, 4.42, 3.85, 4.38, 3.81, 3.81])


@dataclass(frozen=True, slots=True)
class Voices:
    """Whitened voice statistics of a track, summed over all frames before each one.

    (frames + 1, 12) float64, so that a span's statistics are a difference of two rows.
    """

    first: NDArray[np.float64]
    precision: NDArray[np.float64]
    common_ground: float

    @classmethod
    def of(
        cls,
        statistics: VoiceStatistics,
        chosen: NDArray[np.int64],
        frames: int,
        step: int,
        common_ground: float,
    ) -> Self:
        """Whiten the statistics of the `chosen` of all `frames`, of which every `step`-th counts.

        Afterwards 1.5 s of one speaker have a precision of about 1 and a variance of about 1.
        """
        scale = WITHIN * np.sqrt(restlessness(statistics, step))
        per_chunk = step / (CHUNK_S * FRAMES_PER_SECOND)
        first = np.zeros((frames + 1, len(WITHIN)))
        precision = np.zeros_like(first)
        first[chosen + 1] = statistics.first / scale * per_chunk
        precision[chosen + 1] = statistics.precision * per_chunk
        np.cumsum(first, axis=0, out=first)
        np.cumsum(precision, axis=0, out=precision)
        return cls(first, precision, common_ground)

    def between(self, spans: Sequence[Span]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the sums over the frames that begin inside each span: (n, 12) twice."""
        edges = np.asarray(spans, dtype=np.int64).reshape(-1, 2) // FRAME_MS
        edges = np.clip(edges, 0, len(self.first) - 1)
        return (
            self.first[edges[:, 1]] - self.first[edges[:, 0]],
            self.precision[edges[:, 1]] - self.precision[edges[:, 0]],
        )

    def embed(self, spans: Sequence[Span]) -> NDArray[np.float32]:
        """Return (n, 13) float32 unit vectors: the expected voice and a constant part.

        Voices are relative to the mean voice of the recording, so with one speaker they are
        noise around zero and their directions mean nothing. The constant part, the same in
        each, makes close voices similar whatever their direction: cosines then order pairs by
        distance, and a span without evidence looks like the mean voice.
        """
        first, precision = self.between(spans)
        voice = first / (precision + 1.0)
        ground = np.full((len(voice), 1), self.common_ground)
        lifted = np.concatenate([voice, ground], axis=1)
        return (lifted / np.linalg.norm(lifted, axis=1, keepdims=True)).astype(np.float32)


def restlessness(statistics: VoiceStatistics, step: int) -> float:
    """Return how much more (or less) voices flicker than in the calibration, as a variance."""
    flicker = short_term_variance(statistics, step)
    return 1.0 if flicker is None else float(np.mean(flicker / FLICKER**2))


def short_term_variance(statistics: VoiceStatistics, step: int) -> NDArray[np.float64] | None:
    """Return the variance from one quarter second to the next, (12,); None for too little."""
    pieces = mean_voices(statistics, FLICKER_FRAMES // step)
    if len(pieces) < MIN_PIECES:
        return None
    return np.asarray(np.mean(np.diff(pieces, axis=0) ** 2, axis=0) / 2)


def mean_voices(statistics: VoiceStatistics, length: int) -> NDArray[np.float64]:
    """Return the voice of each `length` successive frames, (n // length, 12)."""
    count = len(statistics.first) // length
    shape = (count, length, statistics.first.shape[1])
    first = statistics.first[: count * length].reshape(shape).sum(axis=1)
    precision = statistics.precision[: count * length].reshape(shape).sum(axis=1)
    return np.asarray(first / np.maximum(precision, 1.0))
