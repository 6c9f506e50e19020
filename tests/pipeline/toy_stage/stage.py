"""A stage as somebody would add it: how long a segment is by its clock, in quarters of a second."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from wavemill.manifests.recording import Recording
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.segments import segments_of
from wavemill.stages.stage import Stage
from wavemill.stages.tables import batch, field

SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording that the segment is of"),
        field("segment_id", pa.string(), "The segment"),
        field("ticks", pa.int64(), "How often the clock ticks in it"),
    ]
)


class ClockSettings(BaseModel):
    """Settings of clock."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tick_ms: int = 250


class Clock(Stage[ClockSettings]):
    """The stage."""

    name = "clock"
    version = 1
    inputs = ("diarize",)
    schema = SCHEMA
    Settings = ClockSettings

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        rows = [
            {
                "recording_id": recording.recording_id,
                "segment_id": segment.segment_id,
                "ticks": (segment.end_ms - segment.start_ms) // self.settings.tick_ms,
            }
            for segment in segments_of(recording, upstream)
        ]
        if rows:
            yield batch(rows, SCHEMA)
