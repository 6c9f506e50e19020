"""Denoise: a recording as aligned FLAC blocks, the original beside the enhanced version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from wavemill.manifests.recording import Recording
from wavemill.stages.audio.clock import duration_ms
from wavemill.stages.audio.decode import open_audio
from wavemill.stages.audio.flac import encode_flac
from wavemill.stages.audio.limits import DecodeLimits
from wavemill.stages.audio.missing import MISSING, missing_rows, span_errors
from wavemill.stages.audio.mixing import MAX_SAMPLE_RATE, Channels, Turned, tracks_of
from wavemill.stages.audio.timeline import Missing
from wavemill.stages.denoise.aligned import aligned_blocks
from wavemill.stages.denoise.engine import DenoiseEngine
from wavemill.stages.denoise.engines import ENGINES
from wavemill.stages.engine import StageSettings, with_engines
from wavemill.stages.recording_stage import SpanError, Upstream
from wavemill.stages.stage import EngineStage
from wavemill.stages.tables import batch, field

SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording: hash of the file's content"),
        field("track", pa.int16(), "Track: 0 for a mix, else the channel"),
        field("version", pa.string(), "'original' or 'enhanced'; the two are sample-aligned"),
        field("start_ms", pa.int64(), "Start of the block in the recording, ms"),
        field("end_ms", pa.int64(), "End of the block, ms; of the last block rounded up"),
        field("sample_rate", pa.int32(), "Sample rate of the block, Hz"),
        field("missing", MISSING, "Spans in which silence stands for audio that the source lacks"),
        field("audio", pa.binary(), "The block as FLAC: mono, 16 bit"),
        field(
            "inverted_channels",
            pa.list_(pa.int16()),
            "Channels turned over somewhere in the block, since the mix would have lost them",
        ),
    ]
)


class DenoiseSettings(StageSettings, DecodeLimits):
    """Settings of the denoise stage, and the limits within which everything is decoded."""

    engine: str = "rnnoise"
    channels: Channels = "mix"  # "split": each channel is a track (calls with a side each)
    max_sample_rate: int = Field(MAX_SAMPLE_RATE, ge=8000)  # Hz; higher sources are resampled
    block_seconds: int = Field(60, ge=1)


Config = with_engines(DenoiseSettings, ENGINES)


class Denoise(EngineStage[DenoiseSettings, DenoiseEngine[Any]]):
    """The stage."""

    name = "denoise"
    version = 3
    schema = SCHEMA
    engines = ENGINES
    Settings = Config

    def __call__(
        self,
        recording: Recording,
        upstream: Upstream,  # noqa: ARG002
    ) -> Iterator[pa.RecordBatch | SpanError]:
        """Yield one batch per block: rows by start_ms, track, version ('original' first).

        Then the spans that are damaged.

        Labelled recordings yield nothing. The source is decoded once, so RecordingError (see
        `open_audio`) may come after rows: a truncated end shows at the end.
        """
        if recording.labelled:
            return
        settings = self.settings
        with open_audio(recording.uri, settings, recording.recording_id) as source:
            turned = Turned()
            audio = tracks_of(source, settings.channels, settings.max_sample_rate, turned)
            tracks = 1 if settings.channels == "mix" else source.channels
            rate = audio.sample_rate
            length = settings.block_seconds * rate
            blocks = aligned_blocks(self.engine, audio.blocks, tracks, rate, length)
            for index, pairs in enumerate(blocks):
                start_ms = index * settings.block_seconds * 1000
                inverted = turned.within(start_ms, start_ms + settings.block_seconds * 1000)
                id_ = recording.recording_id
                yield _rows(id_, start_ms, rate, pairs, source.missing, inverted)
            yield from span_errors(recording.uri, source.missing, settings)


def _rows(
    recording_id: str,
    start_ms: int,
    rate: int,
    pairs: list[tuple[np.ndarray, np.ndarray]],
    missing: list[Missing],
    inverted: list[int],
) -> pa.RecordBatch:
    end_ms = start_ms + duration_ms(pairs[0][0].size, rate)
    lacks = missing_rows(missing, start_ms, end_ms)
    rows = [
        {
            "recording_id": recording_id,
            "track": track,
            "version": version,
            "start_ms": start_ms,
            "end_ms": end_ms,
            "sample_rate": rate,
            "missing": lacks,
            "audio": encode_flac(samples, rate),
            "inverted_channels": inverted,
        }
        for track, pair in enumerate(pairs)
        for version, samples in zip(("original", "enhanced"), pair, strict=True)
    ]
    return batch(rows, SCHEMA)
