"""A file of voices: recordings to speak like, with what is said in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.tables import field

AUDIO = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
SCHEMA = pa.schema(
    [
        field("voice", pa.string(), "name of the voice, unique"),
        field("segment_id", pa.string(), "as in the corpus"),
        field("recording_id", pa.string(), "hash of the recording's content"),
        field("source", pa.string(), "URI of the recording"),
        field("speaker", pa.string(), "label, as in the corpus"),
        field("language", pa.string(), "ISO 639-1 code", True),
        field("license", pa.string(), "from the manifest", True),
        field("split", pa.string(), "from the manifest, or drawn", True),
        field("duration", pa.float64(), "seconds"),
        field("text", pa.string(), "what is said"),
        field("dnsmos_overall", pa.float64(), "DNSMOS P.835 overall, 1 to 5", True),
        field("snr_db", pa.float64(), "estimated signal-to-noise ratio, dB", True),
        field("audio", AUDIO, "FLAC, mono, 16 bit", True),
    ]
)


@dataclass(frozen=True)
class VoiceRow:
    """What a caster has to know of a voice."""

    name: str
    split: str | None


def read_voices(path: Path) -> list[VoiceRow]:
    """Return the voices of a file by name, without their sound. Raises EngineUnavailable."""
    rows = _read(path, ["voice", "split"]).to_pylist()
    found = [VoiceRow(row["voice"], row["split"]) for row in rows]
    return sorted(found, key=lambda one: one.name)


def read_samples(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return text and FLAC of each voice: `text`, `audio`, by name. Raises EngineUnavailable."""
    rows = _read(path, ["voice", "text", "audio"]).to_pylist()
    return {row["voice"]: {"text": row["text"], "audio": row["audio"]["bytes"]} for row in rows}


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        table = pq.read_table(path, columns=columns)
        missing = [name for name in columns if name not in table.column_names]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        names = table["voice"].to_pylist()
        if not names or len(set(names)) < len(names):
            raise ValueError("it has no voices" if not names else "two voices have one name")
    except (OSError, ValueError, pa.ArrowException) as error:
        why = " ".join(str(error).split())
        raise EngineUnavailable(
            f"{path} is no file of voices ({why}); remedy: make one with `wavemill voices`"
        ) from None
    return table
