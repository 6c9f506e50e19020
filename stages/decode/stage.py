"""Decode: a recording as FLAC blocks of its tracks, which every later stage reads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pydantic import Field

from wavemill.manifests.recording import Recording
from wavemill.stages.audio.block_table import SCHEMA
from wavemill.stages.audio.clock import duration_ms
from wavemill.stages.audio.decode import open_audio
from wavemill.stages.audio.flac import encode_flac
from wavemill.stages.audio.limits import DecodeLimits
from wavemill.stages.audio.missing import missing_rows, span_errors
from wavemill.stages.audio.mixing import MAX_SAMPLE_RATE, Channels, Turned, tracks_of
from wavemill.stages.audio.resample import rechunk
from wavemill.stages.audio.timeline import Missing
from wavemill.stages.recording_stage import SpanError, Upstream
from wavemill.stages.stage import Stage
from wavemill.stages.tables import batch


class DecodeSettings(DecodeLimits):
    """Settings of the decode stage, and the limits within which everything is decoded."""

    channels: Channels = "mix"  # "split": each channel is a track (calls with a side each)
    max_sample_rate: int = Field(MAX_SAMPLE_RATE, ge=8000)  # Hz; higher sources are resampled
    block_seconds: int = Field(60, ge=1)


class Decode(Stage[DecodeSettings]):
    """The stage. The one place where the source of a raw recording is decoded."""

    name = "decode"
    version = 1
    schema = SCHEMA
    Settings = DecodeSettings

    @classmethod
    def needs_worker(cls) -> bool:
        return True

    def __call__(
        self,
        recording: Recording,
        upstream: Upstream,  # noqa: ARG002
    ) -> Iterator[pa.RecordBatch | SpanError]:
        """Yield one batch per block, its rows by track; then the spans that are damaged.

        Labelled recordings yield nothing. The source is decoded once, so RecordingError (see
        `open_audio`) may come after rows: a truncated end shows at the end.
        """
        if recording.labelled:
            return
        settings = self.settings
        with open_audio(recording.uri, settings, recording.recording_id) as source:
            turned = Turned()
            audio = tracks_of(source, settings.channels, settings.max_sample_rate, turned)
            rate = audio.sample_rate
            for index, block in enumerate(rechunk(audio.blocks, settings.block_seconds * rate)):
                start_ms = index * settings.block_seconds * 1000
                inverted = turned.within(start_ms, start_ms + settings.block_seconds * 1000)
                id_ = recording.recording_id
                yield _rows(id_, start_ms, rate, block, source.missing, inverted)
            yield from span_errors(recording.uri, source.missing, settings)


def _rows(
    recording_id: str,
    start_ms: int,
    rate: int,
    block: np.ndarray,
    missing: list[Missing],
    inverted: list[int],
) -> pa.RecordBatch:
    end_ms = start_ms + duration_ms(block.shape[-1], rate)
    lacks = missing_rows(missing, start_ms, end_ms)
    rows = [
        {
            "recording_id": recording_id,
            "track": track,
            "version": "original",
            "start_ms": start_ms,
            "end_ms": end_ms,
            "sample_rate": rate,
            "missing": lacks,
            "audio": encode_flac(samples, rate),
            "inverted_channels": inverted,
        }
        for track, samples in enumerate(block)
    ]
    return batch(rows, SCHEMA)
