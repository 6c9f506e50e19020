"""A scoring stage as somebody would add it: how calm a segment is, by one of two scales."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from wavemill.manifests.recording import Recording
from wavemill.stages.engine import Engine, EngineConfig, StageSettings, with_engines
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.score import (
    BY_ENGINE,
    Aspect,
    AtLeast,
    AtMost,
    Difference,
    Quotient,
    Score,
    stored,
)
from wavemill.stages.segments import segments_of
from wavemill.stages.stage import EngineStage
from wavemill.stages.tables import batch, field

SCORES = (
    Score(
        column="calm",
        title="Calmness",
        description="How calm the segment is, on the scale of the engine",
        aspect=Aspect.QUALITY,
        better="higher",
        rules=(AtLeast("not_calm", asr=BY_ENGINE, labelled=BY_ENGINE),),
        corpus_place=9,
    ),
    Difference(
        column="calm_less_duration",
        title="Calmness less duration",
        description="calm less duration_s",
        aspect=Aspect.QUALITY,
        left="calm",
        right="duration_s",
        rules=(AtLeast("calmer_for_longer", labelled=-1e9),),
    ),
    Quotient(
        column="calm_per_word",
        title="Calmness per word",
        description="calm by words_per_second",
        aspect=Aspect.QUALITY,
        left="calm",
        right="words_per_second",
        rules=(AtMost("too_calm_for_words", asr=9.0),),
    ),
)
SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording that the segment is of"),
        field("segment_id", pa.string(), "The segment"),
        *(score.field for score in stored(SCORES)),
    ]
)


class CalmEngine(Engine[EngineConfig]):
    """Makes a number of a duration."""

    per_second: float

    def weights_identity(self) -> str:
        return "none"

    def load(self, device: str) -> None:
        del device


class Seconds(CalmEngine):
    name = "seconds"
    per_second = 1.0

    def thresholds(self) -> Mapping[str, float]:
        return {"min_calm": 1.5}


class Milliseconds(CalmEngine):
    name = "milliseconds"
    per_second = 1000.0

    def thresholds(self) -> Mapping[str, float]:
        return {"min_calm": 1500.0}


class Undeclared(CalmEngine):
    name = "undeclared"
    per_second = 0.0


ENGINES = {engine.name: engine for engine in (Seconds, Milliseconds, Undeclared)}


class CalmSettings(StageSettings):
    """Settings of score_calm."""

    engine: str = "seconds"


class ScoreCalm(EngineStage[CalmSettings, CalmEngine]):
    """The stage."""

    name = "score_calm"
    version = 1
    inputs = ("diarize",)
    schema = SCHEMA
    scores = SCORES
    engines = ENGINES
    Settings = with_engines(CalmSettings, ENGINES)

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        rows: list[dict[str, Any]] = [
            {
                "recording_id": recording.recording_id,
                "segment_id": segment.segment_id,
                "calm": segment.duration_s * self.engine.per_second,
            }
            for segment in segments_of(recording, upstream)
        ]
        if rows:
            yield batch(rows, SCHEMA)
