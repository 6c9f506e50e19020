"""Denoise: a recording as aligned FLAC blocks, the original beside the enhanced version."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from manifests.recording import Recording
from stages.audio.clock import duration_ms
from stages.audio.decode import DecodeLimits, open_audio
from stages.audio.flac import encode_flac
from stages.audio.mixing import MAX_SAMPLE_RATE, Channels, tracks_of
from stages.denoise.aligned import aligned_blocks
from stages.denoise.engine import DenoiseEngine
from stages.denoise.engines import ENGINES
from stages.engine import StageSettings, selected_engine, with_engines
from stages.recording_stage import RecordingStage, Upstream
from stages.tables import batch, field

NAME = "denoise"
VERSION = 1
INPUTS: tuple[str, ...] = ()
SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording: hash of the file's content"),
        field("track", pa.int16(), "Track: 0 for a mix, else the channel"),
        field("version", pa.string(), "'original' or 'enhanced'; the two are sample-aligned"),
        field("start_ms", pa.int64(), "Start of the block in the recording, ms"),
        field("end_ms", pa.int64(), "End of the block, ms; of the last block rounded up"),
        field("sample_rate", pa.int32(), "Sample rate of the block, Hz"),
        field("audio", pa.binary(), "The block as FLAC: mono, 16 bit"),
    ]
)


class DenoiseSettings(StageSettings):
    """Settings of the denoise stage."""

    engine: str = "rnnoise"
    channels: Channels = "mix"  # "split": each channel is a track (calls with a side each)
    max_sample_rate: int = Field(MAX_SAMPLE_RATE, ge=8000)  # Hz; higher sources are resampled
    block_seconds: int = Field(60, ge=1)
    missing_ms: int = Field(DecodeLimits().missing_ms, ge=0)  # more missing at the end: damaged
    gap_ms: int = Field(DecodeLimits().gap_ms, ge=0)  # more missing in the middle: damaged
    silence_dbfs: float = Field(DecodeLimits().silence_dbfs, le=0)  # peak below: silent


Config = with_engines(DenoiseSettings, ENGINES)


@dataclass(frozen=True)
class Denoise:
    """The stage with its engine loaded."""

    settings: DenoiseSettings
    engine: DenoiseEngine[Any]

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:  # noqa: ARG002
        """Yield one batch per block: rows by start_ms, track, version ('original' first).

        Labelled recordings yield nothing. The source is decoded once, so RecordingError (see
        `open_audio`) may come after rows: a truncated end shows at the end.
        """
        if recording.labelled:
            return
        settings = self.settings
        limits = DecodeLimits(settings.missing_ms, settings.gap_ms, settings.silence_dbfs)
        with open_audio(recording.uri, limits, recording.recording_id) as source:
            rate = min(source.sample_rate, settings.max_sample_rate)
            tracks = 1 if settings.channels == "mix" else source.channels
            audio = tracks_of(
                source.blocks, settings.channels, source.sample_rate, settings.max_sample_rate
            )
            length = settings.block_seconds * rate
            for index, pairs in enumerate(aligned_blocks(self.engine, audio, tracks, rate, length)):
                start_ms = index * settings.block_seconds * 1000
                yield _rows(recording.recording_id, start_ms, rate, pairs)


def _rows(
    recording_id: str, start_ms: int, rate: int, pairs: list[tuple[np.ndarray, np.ndarray]]
) -> pa.RecordBatch:
    rows = [
        {
            "recording_id": recording_id,
            "track": track,
            "version": version,
            "start_ms": start_ms,
            "end_ms": start_ms + duration_ms(samples.size, rate),
            "sample_rate": rate,
            "audio": encode_flac(samples, rate),
        }
        for track, pair in enumerate(pairs)
        for version, samples in zip(("original", "enhanced"), pair, strict=True)
    ]
    return batch(rows, SCHEMA)


def build(config: DenoiseSettings, device: str) -> RecordingStage:
    """Construct the stage and load its engine; raises EngineUnavailable."""
    engine: DenoiseEngine[Any] = selected_engine(config, ENGINES)  # type: ignore[assignment]
    engine.load(device)
    return Denoise(config, engine)
