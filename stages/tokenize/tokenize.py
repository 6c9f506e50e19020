"""Semantic tokens and stored audio of the segments that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pyarrow as pa

from wavemill.manifests.recording import Recording
from wavemill.model.tokenizer.kmeans import tokens_in
from wavemill.stages.audio.flac import encode_flac
from wavemill.stages.audio.limits import DEFAULT_LIMITS, DecodeLimits
from wavemill.stages.audio.track import Track, open_tracks
from wavemill.stages.audio.version import VersionSettings, choose_version
from wavemill.stages.engine import StageSettings, selected_engine, with_engines
from wavemill.stages.recording_stage import RecordingStage, Upstream
from wavemill.stages.segments import Segment, segments_of
from wavemill.stages.tables import batch, field
from wavemill.stages.tokenize.engine import TokenizeEngine
from wavemill.stages.tokenize.engines import ENGINES

NAME = "tokenize"
VERSION = 2
INPUTS = ("denoise", "diarize")
COVERS = "verdict"  # the segments with `kept` there are tokenized; their values do not depend on it
SEGMENTS_AT_ONCE = 32  # in a batch: bounds memory, at 27 s and 48 kHz, to about 50 MB
SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording that the segment is of"),
        field("segment_id", pa.string(), "The segment"),
        field("audio_version", pa.string(), "Version that is stored: original or enhanced"),
        field("sample_rate", pa.int32(), "Of audio, in Hz"),
        field("audio", pa.binary(), "The segment's samples as FLAC, mono, 16 bit"),
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


class Tokenize:
    """The stage."""

    def __init__(
        self,
        engine: TokenizeEngine[Any],
        version: VersionSettings,
        limits: DecodeLimits = DEFAULT_LIMITS,
    ) -> None:
        self.engine = engine
        self.version = version
        self.limits = limits

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        verdicts = upstream.table("verdict", ["segment_id", "kept"]).to_pylist()
        kept = {row["segment_id"] for row in verdicts if row["kept"]}
        segments = [s for s in segments_of(recording, upstream) if s.segment_id in kept]
        if not segments:
            return
        version = choose_version(recording, self.version)
        opened = open_tracks(recording, upstream, version, self.limits)
        tracks = {track.track: track for track in opened}
        for first in range(0, len(segments), SEGMENTS_AT_ONCE):
            group = segments[first : first + SEGMENTS_AT_ONCE]
            rows, clips = zip(*(self._read(tracks[s.track], s) for s in group), strict=True)
            tokens = self.engine.tokens(clips, [tokens_in(s.end_ms - s.start_ms) for s in group])
            yield batch(
                [
                    {
                        "recording_id": recording.recording_id,
                        "segment_id": segment.segment_id,
                        "audio_version": version,
                        "semantic_tokens": codes.tolist(),
                        **row,
                    }
                    for segment, row, codes in zip(group, rows, tokens, strict=True)
                ],
                SCHEMA,
            )

    def _read(self, track: Track, segment: Segment) -> tuple[dict[str, Any], np.ndarray]:
        """Return a segment's stored columns, and its clip as the engine wants it."""
        stored = track.read(segment.start_ms, segment.end_ms)
        clip = track.read(segment.start_ms, segment.end_ms, self.engine.sample_rate)
        columns = {
            "sample_rate": track.sample_rate,
            "audio": encode_flac(stored, track.sample_rate),
        }
        return columns, clip


def build(
    config: TokenizeSettings,
    device: str,
    version: VersionSettings,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> RecordingStage:
    """Construct the stage and load its engine; all stages share `version` and `limits`."""
    engine = cast(TokenizeEngine[Any], selected_engine(config, ENGINES))
    engine.load(device)
    return Tokenize(engine, version, limits)
