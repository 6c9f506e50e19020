"""Scores of how a segment sounds to people, as a model hears its samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from wavemill.manifests.recording import Recording
from wavemill.stages.audio.missing import span_errors
from wavemill.stages.audio.track import Track, open_tracks
from wavemill.stages.audio.version import choose_audio_version
from wavemill.stages.engine import StageSettings, with_engines
from wavemill.stages.recording_stage import Division, SpanError, Upstream
from wavemill.stages.score import stored
from wavemill.stages.score_audio.engine import QualityEngine
from wavemill.stages.score_audio.engines import ENGINES
from wavemill.stages.score_audio.scores import SCORES
from wavemill.stages.segments import Segment, segments_of
from wavemill.stages.stage import EngineStage
from wavemill.stages.tables import batch, field

SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording that the segment is of"),
        field("segment_id", pa.string(), "The segment"),
        field("audio_version", pa.string(), "Version that was scored: original or enhanced"),
        *(score.field for score in stored(SCORES)),
    ]
)
# This stage measured the signal, too, before score_signal did. Its fingerprint still has those
# settings at their defaults, so that a WORKDIR of that time keeps its ratings.
_OF_THE_SIGNAL = {
    "snr": {"frame_ms": 25, "hop_ms": 10, "noise_quantile": 0.2, "highest_db": 60.0},
    "clipping": {
        "near_peak": 0.98,
        "near_full_scale": 0.995,
        "step": 2 / 32768,
        "run": 3,
        "lowest_peak": 0.05,
    },
}


class ScoreAudioSettings(StageSettings):
    """Settings of score_audio."""

    engine: str = "dnsmos"


Config = with_engines(ScoreAudioSettings, ENGINES)


class ScoreAudio(EngineStage[ScoreAudioSettings, QualityEngine[Any]]):
    """The stage; one segment at a time is in memory."""

    name = "score_audio"
    version = 3
    inputs = ("decode", "denoise", "diarize")
    schema = SCHEMA
    scores = SCORES
    engines = ENGINES
    Settings = Config
    section = "filter.audio"
    shared = ("audio_version", "limits")

    @property
    def division(self) -> Division:
        return Division("diarize")

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), **_OF_THE_SIGNAL}

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
        for track in opened[:1]:  # all share a source; of a raw recording decode has said it
            yield from span_errors(recording.uri, track.found_missing, self.shared_settings.limits)

    def _scores(self, track: Track, segment: Segment) -> dict[str, Any]:
        audio = track.read(segment.start_ms, segment.end_ms, self.engine.sample_rate)
        quality = self.engine.quality([np.clip(audio, -1.0, 1.0)])[0] if audio.size else None
        return {
            "dnsmos_overall": quality.overall if quality else None,
            "dnsmos_signal": quality.signal if quality else None,
            "dnsmos_background": quality.background if quality else None,
        }
