"""Scores of a segment's samples that need no model: cheap, so that a new one costs little.

The stage comes after score_audio, which says what version of the audio is scored, so that a
recording that cannot be decoded fails once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from wavemill.manifests.recording import Recording
from wavemill.stages.audio.timeline import Kind
from wavemill.stages.audio.track import Track, open_tracks
from wavemill.stages.recording_stage import Division, Upstream
from wavemill.stages.score import stored
from wavemill.stages.score_signal.scores import SCORES
from wavemill.stages.score_signal.signal import (
    ClippingSettings,
    SnrSettings,
    clipping_ratio,
    peak_dbfs,
    snr_db,
)
from wavemill.stages.segments import Segment, segments_of
from wavemill.stages.stage import Stage
from wavemill.stages.tables import batch, field

SAMPLE_RATE = 16_000  # Hz, at which the signal-to-noise ratio is estimated
SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording that the segment is of"),
        field("segment_id", pa.string(), "The segment"),
        *(score.field for score in stored(SCORES)),
        field(
            "inverted_channels",
            pa.list_(pa.int16()),
            "Channels turned over in the mix (of a raw recording: in blocks that it touches)",
        ),
    ]
)


class ScoreSignalSettings(BaseModel):
    """Settings of score_signal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    snr: SnrSettings = SnrSettings()
    clipping: ClippingSettings = ClippingSettings()


class ScoreSignal(Stage[ScoreSignalSettings]):
    """The stage; one segment at a time is in memory."""

    name = "score_signal"
    version = 2
    inputs = ("decode", "denoise", "diarize", "score_audio")
    schema = SCHEMA
    scores = SCORES
    Settings = ScoreSignalSettings
    section = "filter.signal"
    shared = ("limits",)

    @property
    def division(self) -> Division:
        return Division("diarize")

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Yield a row for each segment, of its samples in the version that score_audio chose.

        But for clipping, which is heard in the original: denoisers round what was cut off.
        """
        versions = upstream.table("score_audio", ["audio_version"])["audio_version"].unique()
        if not len(versions):  # no segments
            return
        version = versions[0].as_py()
        opened = open_tracks(recording, upstream, version, self.shared_settings.limits)
        tracks = {track.track: track for track in opened}
        originals = tracks
        if version != "original":
            opened = open_tracks(recording, upstream, "original", self.shared_settings.limits)
            originals = {track.track: track for track in opened}
        rows = [
            {
                "recording_id": recording.recording_id,
                "segment_id": segment.segment_id,
                **self._scores(tracks[segment.track], originals[segment.track], segment),
            }
            for segment in segments_of(recording, upstream)
        ]
        yield batch(rows, SCHEMA)

    def _scores(self, track: Track, original: Track, segment: Segment) -> dict[str, Any]:
        span = segment.start_ms, segment.end_ms
        native = track.read(*span)
        before = native if original is track else original.read(*span)
        audio = track.read(*span, SAMPLE_RATE)
        expected = (segment.end_ms - segment.start_ms) * track.sample_rate / 1000
        beyond = max(0.0, 1.0 - len(native) / expected) if expected >= 1 else 1.0
        return {
            "missing_ratio": min(1.0, beyond + track.lacking(*span, Kind.DAMAGE)),
            "gap_ratio": track.lacking(*span, Kind.GAP),
            "peak_dbfs": peak_dbfs(native),
            "clipping_ratio": clipping_ratio(before, self.settings.clipping),
            "snr_db": snr_db(audio, SAMPLE_RATE, self.settings.snr),
            "inverted_channels": track.inverted(*span),
        }
