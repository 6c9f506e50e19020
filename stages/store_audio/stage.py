"""The audio of the segments that are kept, as a corpus stores it."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from wavemill.manifests.recording import Recording
from wavemill.stages.audio.flac import encode_flac
from wavemill.stages.audio.track import open_tracks
from wavemill.stages.audio.version import choose_audio_version
from wavemill.stages.recording_stage import Division, Upstream
from wavemill.stages.segments import kept_segments
from wavemill.stages.stage import NoSettings, Stage
from wavemill.stages.tables import batch, field

SEGMENTS_AT_ONCE = 32  # in a batch: bounds memory, at 27 s and 48 kHz, to about 50 MB
SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording that the segment is of"),
        field("segment_id", pa.string(), "The segment"),
        field("audio_version", pa.string(), "Version that is stored: original or enhanced"),
        field("sample_rate", pa.int32(), "Of audio, in Hz"),
        field("audio", pa.binary(), "The segment's samples as FLAC, mono, 16 bit"),
    ]
)


class StoreAudio(Stage[NoSettings]):
    """The stage. Apart from tokenize, so that another tokenizer encodes no audio anew."""

    name = "store_audio"
    version = 1
    inputs = ("decode", "denoise", "diarize")
    schema = SCHEMA
    Settings = NoSettings
    shared = ("audio_version", "limits")
    selected_by = "verdict"

    @property
    def division(self) -> Division:
        return Division("verdict", SEGMENTS_AT_ONCE)

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Yield a row for every kept segment, in order, a batch per SEGMENTS_AT_ONCE."""
        segments = kept_segments(recording, upstream)
        if not segments:
            return
        version = choose_audio_version(recording, self.shared_settings.audio_version)
        opened = open_tracks(recording, upstream, version, self.shared_settings.limits)
        tracks = {track.track: track for track in opened}
        for first in range(0, len(segments), SEGMENTS_AT_ONCE):
            rows = []
            for segment in segments[first : first + SEGMENTS_AT_ONCE]:
                track = tracks[segment.track]
                samples = track.read(segment.start_ms, segment.end_ms)
                rows.append(
                    {
                        "recording_id": recording.recording_id,
                        "segment_id": segment.segment_id,
                        "audio_version": version,
                        "sample_rate": track.sample_rate,
                        "audio": encode_flac(samples, track.sample_rate),
                    }
                )
            yield batch(rows, SCHEMA)
