"""What every diarization engine gives: speech, turns and a way to embed any interval."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wavemill.stages.diarize.spans import Span
from wavemill.stages.engine import Engine, EngineConfig

Embed = Callable[[Sequence[Span]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch that one speaker holds; `speaker` is a cluster number of the engine."""

    start_ms: int
    end_ms: int
    speaker: int


@dataclass(frozen=True, slots=True)
class Diarization:
    """Who speaks when in one track, before post-processing.

    `embed` maps n spans to an (n, d) float32 array of unit-norm speaker embeddings; cosines
    between them are compared with the thresholds in the engine's config. It must accept every
    span that lies inside the track, speech or not.
    """

    speech: tuple[Span, ...]  # in time order, no overlap
    turns: tuple[Turn, ...]  # in time order; inside speech
    embed: Embed
    overlap: tuple[Span, ...] = ()  # where several speak at once, if the engine can tell


class TrackAudio(Protocol):
    """What diarization needs of `wavemill.stages.audio.track.Track`."""

    track: int

    def read(self, start_ms: int, end_ms: int, sample_rate: int | None = None) -> np.ndarray:
        """Return float32 mono samples of the span."""
        ...

    def stream(self, sample_rate: int, chunk_ms: int = 60_000) -> Iterator[np.ndarray]:
        """Yield the whole track, in order, float32 mono."""
        ...


class DiarizationConfig(EngineConfig):
    """Fields every diarization engine has: thresholds in the geometry of its own embedding."""

    merge_similarity: float = Field(ge=-1, le=1)  # clusters more alike than this are one speaker
    chunk_similarity: float = Field(ge=-1, le=1)  # neighbours less alike are two speakers


C = TypeVar("C", bound=DiarizationConfig)


class DiarizationEngine(Engine[C]):
    """Base of the engines of this stage."""

    @abstractmethod
    def diarize(self, track: TrackAudio, regions: Sequence[Span] = ()) -> Diarization:
        """Diarize one track; `regions` (in order, no overlap) restrict speech unless empty.

        Deterministic, and nothing is kept between calls.
        """
