"""Scores that need audio: a function of a segment's own samples in the chosen version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from wavemill.manifests.recording import Recording
from wavemill.stages.audio.missing import span_errors
from wavemill.stages.audio.timeline import Kind
from wavemill.stages.audio.track import Track, open_tracks
from wavemill.stages.audio.version import choose_audio_version
from wavemill.stages.engine import StageSettings, with_engines
from wavemill.stages.filter.engines import ENGINES
from wavemill.stages.filter.quality import QualityEngine
from wavemill.stages.filter.signal import (
    ClippingSettings,
    SnrSettings,
    clipping_ratio,
    peak_dbfs,
    snr_db,
)
from wavemill.stages.recording_stage import SpanError, Upstream
from wavemill.stages.segments import Segment, segments_of
from wavemill.stages.stage import EngineStage
from wavemill.stages.tables import batch, field

SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording that the segment is of"),
        field("segment_id", pa.string(), "The segment"),
        field("audio_version", pa.string(), "Version that was scored: original or enhanced"),
        field(
            "missing_ratio", pa.float64(), "Share of the segment that is damaged or beyond the end"
        ),
        field("gap_ratio", pa.float64(), "Share that is silence in gaps of the recording's times"),
        field("peak_dbfs", pa.float64(), "Highest sample, dB of full scale; null: no audio", True),
        field("snr_db", pa.float64(), "Estimated signal-to-noise ratio, dB; null: no sound", True),
        field("clipping_ratio", pa.float64(), "Share of samples in flat tops, 0 to 1"),
        field(
            "dnsmos_overall", pa.float64(), "DNSMOS P.835 overall, 1 to 5; null: too short", True
        ),
        field("dnsmos_signal", pa.float64(), "DNSMOS P.835 speech, 1 to 5; null: too short", True),
        field(
            "dnsmos_background",
            pa.float64(),
            "DNSMOS P.835 background, 1 to 5; null alike",
            True,
        ),
        field(
            "inverted_channels",
            pa.list_(pa.int16()),
            "Channels turned over in the mix (of a raw recording: in blocks that it touches)",
        ),
    ]
)


class ScoreAudioSettings(StageSettings):
    """Settings of score_audio."""

    engine: str = "dnsmos"
    snr: SnrSettings = SnrSettings()
    clipping: ClippingSettings = ClippingSettings()


Config = with_engines(ScoreAudioSettings, ENGINES)


class ScoreAudio(EngineStage[ScoreAudioSettings, QualityEngine[Any]]):
    """The stage; one segment at a time is in memory."""

    name = "score_audio"
    version = 3
    inputs = ("denoise", "diarize")
    schema = SCHEMA
    engines = ENGINES
    Settings = Config
    section = "filter.audio"
    shared = ("audio_version", "limits")

    def __call__(
        self, recording: Recording, upstream: Upstream
    ) -> Iterator[pa.RecordBatch | SpanError]:
        """Yield the scores; then the spans of a labelled recording that are damaged."""
        version = choose_audio_version(recording, self.shared_settings.audio_version)
        opened = open_tracks(recording, upstream, version, self.shared_settings.limits)
        tracks = {track.track: track for track in opened}
        rows = [
            {
                "recording_id": recording.recording_id,
                "segment_id": segment.segment_id,
                "audio_version": version,
                **self._scores(tracks[segment.track], segment),
            }
            for segment in segments_of(recording, upstream)
        ]
        if rows:
            yield batch(rows, SCHEMA)
        for track in opened[:1]:  # all share a source; of a raw recording denoise has told
            yield from span_errors(recording.uri, track.found_missing, self.shared_settings.limits)

    def _scores(self, track: Track, segment: Segment) -> dict[str, Any]:
        span = segment.start_ms, segment.end_ms
        native = track.read(*span)
        audio = track.read(*span, self.engine.sample_rate)
        quality = self.engine.quality([np.clip(audio, -1.0, 1.0)])[0] if audio.size else None
        expected = (segment.end_ms - segment.start_ms) * track.sample_rate / 1000
        beyond = max(0.0, 1.0 - len(native) / expected) if expected >= 1 else 1.0
        return {
            "missing_ratio": min(1.0, beyond + track.lacking(*span, Kind.DAMAGE)),
            "gap_ratio": track.lacking(*span, Kind.GAP),
            "peak_dbfs": peak_dbfs(native),
            "snr_db": snr_db(audio, self.engine.sample_rate, self.settings.snr),
            "clipping_ratio": clipping_ratio(native, self.settings.clipping),
            "dnsmos_overall": quality.overall if quality else None,
            "dnsmos_signal": quality.signal if quality else None,
            "dnsmos_background": quality.background if quality else None,
            "inverted_channels": track.inverted(segment.start_ms, segment.end_ms),
        }
