"""The tables of stored audio: the original blocks by decode, the enhanced ones by denoise."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from wavemill.stages.audio.missing import MISSING
from wavemill.stages.tables import field

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
STAGE_OF: Mapping[str, str] = {"original": "decode", "enhanced": "denoise"}  # by audio version
