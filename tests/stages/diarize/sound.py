"""Audio and engines for the tests of this stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from wavemill.stages.diarize.engine import (
    Diarization,
    DiarizationConfig,
    DiarizationEngine,
    TrackAudio,
    Turn,
)
from wavemill.stages.diarize.spans import Span, intersect

RATE = 16_000


class ArrayTrack:
    """A track over samples in memory, at 16 kHz."""

    track = 0

    def __init__(self, samples: np.ndarray) -> None:
        self.samples = samples.astype(np.float32)

    def read(self, start_ms: int, end_ms: int, sample_rate: int | None = None) -> np.ndarray:
        assert sample_rate in (None, RATE)
        return self.samples[start_ms * RATE // 1000 : end_ms * RATE // 1000]

    def stream(self, sample_rate: int, chunk_ms: int = 60_000) -> Iterator[np.ndarray]:
        assert sample_rate == RATE
        step = chunk_ms * RATE // 1000
        for first in range(0, len(self.samples), step):
            yield self.samples[first : first + step]


class ScriptConfig(DiarizationConfig):
    """Thresholds that let the script through."""

    merge_similarity: float = 0.9
    chunk_similarity: float = 0.1


class Script(DiarizationEngine[ScriptConfig]):
    """An engine that knows the answer: fixed turns, one axis of the embedding per speaker."""

    name: ClassVar[str] = "script"
    Config = ScriptConfig
    turns: ClassVar[tuple[Turn, ...]] = ()
    overlap: ClassVar[tuple[Span, ...]] = ()

    def weights_identity(self) -> str:
        return "none"

    def load(self, device: str) -> None:
        pass

    def diarize(self, track: TrackAudio, regions: Sequence[Span] = ()) -> Diarization:  # noqa: ARG002
        speech = [(t.start_ms, t.end_ms) for t in self.turns]
        speech = intersect(speech, regions) if regions else speech
        turns = tuple(
            Turn(start, end, turn.speaker)
            for turn in self.turns
            for start, end in intersect([(turn.start_ms, turn.end_ms)], speech)
        )
        return Diarization(tuple(speech), turns, self._embed, self.overlap)

    def _embed(self, spans: Sequence[Span]) -> np.ndarray:
        out = np.zeros((len(spans), 8), np.float32)
        for row, span in zip(out, spans, strict=True):
            row[7] = 1e-3
            for turn in self.turns:
                inside = intersect([span], [(turn.start_ms, turn.end_ms)])
                row[turn.speaker] += sum(end - start for start, end in inside)
        return out / np.linalg.norm(out, axis=1, keepdims=True)
