"""Semantic tokens of the segments that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from wavemill.manifests.recording import Recording
from wavemill.model.tokenizer.kmeans import tokens_in
from wavemill.stages.audio.track import open_tracks
from wavemill.stages.audio.version import choose_audio_version
from wavemill.stages.engine import StageSettings, with_engines
from wavemill.stages.recording_stage import Division, Upstream
from wavemill.stages.segments import kept_segments
from wavemill.stages.stage import EngineStage
from wavemill.stages.tables import batch, field
from wavemill.stages.tokenize.engine import TokenizeEngine
from wavemill.stages.tokenize.engines import ENGINES

SEGMENTS_AT_ONCE = 32  # handed to the engine: bounds memory, at 27 s and 16 kHz, to about 50 MB
SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording that the segment is of"),
        field("segment_id", pa.string(), "The segment"),
        field(
            "semantic_tokens",
            pa.list_(pa.int32()),
            "12.5 a second: ceil((end_ms - start_ms) / 80) of them",
        ),
    ]
)


class TokenizeSettings(StageSettings):
    """Settings of tokenize."""

    engine: str = "kmeans"


Config = with_engines(TokenizeSettings, ENGINES)


class Tokenize(EngineStage[TokenizeSettings, TokenizeEngine[Any]]):
    """The stage."""

    name = "tokenize"
    version = 3
    inputs = ("decode", "denoise", "diarize")
    schema = SCHEMA
    engines = ENGINES
    Settings = Config
    shared = ("audio_version", "limits")
    selected_by = "verdict"

    @property
    def division(self) -> Division:
        return Division("verdict", SEGMENTS_AT_ONCE)

    def file_metadata(self) -> dict[str, str]:
        return {
            "semantic_tokenizer": f"{self.engine.name} {self.engine.weights_identity()}",
            "semantic_vocab_size": str(self.engine.vocab_size),
        }

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Yield a row for every kept segment, in order, a batch per SEGMENTS_AT_ONCE."""
        segments = kept_segments(recording, upstream)
        if not segments:
            return
        version = choose_audio_version(recording, self.shared_settings.audio_version)
        opened = open_tracks(recording, upstream, version, self.shared_settings.limits)
        tracks = {track.track: track for track in opened}
        rate = self.engine.sample_rate
        for first in range(0, len(segments), SEGMENTS_AT_ONCE):
            some = segments[first : first + SEGMENTS_AT_ONCE]
            clips = [tracks[s.track].read(s.start_ms, s.end_ms, rate) for s in some]
            tokens = self.engine.tokens(clips, [tokens_in(s.end_ms - s.start_ms) for s in some])
            yield batch(
                [
                    {
                        "recording_id": recording.recording_id,
                        "segment_id": segment.segment_id,
                        "semantic_tokens": codes.tolist(),
                    }
                    for segment, codes in zip(some, tokens, strict=True)
                ],
                SCHEMA,
            )
