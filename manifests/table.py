"""Recordings as a table, and digests of recordings for the fingerprints of a build."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import pyarrow as pa

from wavemill.manifests.recording import Item, Recording


def _field(name: str, kind: pa.DataType, description: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


_SPAN = [
    _field("start_ms", pa.int64(), "start in the recording, ms"),
    _field("end_ms", pa.int64(), "end in the recording, ms"),
]
_ABOUT = [
    _field("speaker", pa.string(), "speaker as the manifest names it", nullable=True),
    _field("language", pa.string(), "language as the manifest states it", nullable=True),
    _field("license", pa.string(), "licence as the manifest states it", nullable=True),
    _field("split", pa.string(), "train, test, ... as the manifest states it", nullable=True),
    _field("metadata", pa.string(), "JSON text: the manifest's fields that have no column"),
]
ITEM = pa.struct(
    [
        _field(
            "item_id", pa.string(), "hash of recording, span, channel, task, question, answer, text"
        ),
        *_SPAN,
        _field("task", pa.string(), "asr, aqa, ... in small letters"),
        _field("text", pa.string(), "transcript", nullable=True),
        _field("question", pa.string(), "what is asked about the audio", nullable=True),
        _field("answer", pa.string(), "the answer to that", nullable=True),
        *_ABOUT,
        _field("channel", pa.int16(), "channel of the file, from 0; null: all, mixed", True),
    ]
)
SCHEMA = pa.schema(
    [
        _field("recording_id", pa.string(), "first 32 hex digits of the SHA-256 of the content"),
        _field("uri", pa.string(), "path, or path/to/shard.tar#member"),
        _field(
            "duration_ms",
            pa.int64(),
            "length, ms: counted by its packets; decoding decides in the end",
        ),
        _field(
            "regions",
            pa.list_(_field("region", pa.struct(_SPAN), "one span")),
            "spans to use, in order, not overlapping; empty: all of the recording",
        ),
        *_ABOUT,
        _field(
            "items",
            pa.list_(_field("item", ITEM, "one labelled utterance")),
            "labelled utterances in order of time; empty for a raw recording",
        ),
    ]
)
_NAMES = [f.name for f in fields(Recording)]
_ITEM_NAMES = [f.name for f in fields(Item)]
_PLAIN = [f.name for f in fields(Recording) if f.name not in ("regions", "items")]


def recordings_table(recordings: Sequence[Recording]) -> pa.Table:
    """Return one row per recording, in the order given, with `SCHEMA`."""
    columns: dict[str, list[Any]] = {
        name: [getattr(recording, name) for recording in recordings] for name in _PLAIN
    }
    columns["regions"] = [
        [{"start_ms": start, "end_ms": end} for start, end in recording.regions]
        for recording in recordings
    ]
    columns["items"] = [[asdict(item) for item in recording.items] for recording in recordings]
    return pa.table(columns, schema=SCHEMA)


def recordings_from_table(table: pa.Table) -> list[Recording]:
    """Return the recordings in a table with `SCHEMA`, the inverse of `recordings_table`."""
    plain = [table.column(name).to_pylist() for name in _PLAIN]
    nested = (table.column("regions").to_pylist(), table.column("items").to_pylist())
    return [
        Recording(
            **dict(zip(_PLAIN, values, strict=True)),
            regions=tuple((span["start_ms"], span["end_ms"]) for span in regions),
            items=tuple(Item(**item) for item in items),
        )
        for *values, regions, items in zip(*plain, *nested, strict=True)
    ]


def audio_digest(recording: Recording) -> str:
    """Return the SHA-256 (64 hex digits) of the input of stages that read only audio.

    It covers the content and the spans that are used, but no labels, name or path.
    """
    spans = [(item.start_ms, item.end_ms, *_without_none(item.channel)) for item in recording.items]
    return _digest(["audio", recording.recording_id, recording.regions, spans])


def label_digest(recording: Recording) -> str:
    """Return the SHA-256 (64 hex digits) of all fields of a recording."""
    known: dict[str, Any] = {name: getattr(recording, name) for name in _NAMES}
    known["items"] = [_known_of(item) for item in recording.items]
    return _digest(["label", known])


def _known_of(item: Item) -> dict[str, Any]:
    known = {name: getattr(item, name) for name in _ITEM_NAMES}
    if item.channel is None:  # digests made before items had channels stay valid
        del known["channel"]
    return known


def _without_none(value: int | None) -> tuple[int, ...]:
    return () if value is None else (value,)


def _digest(value: Any) -> str:
    # Sorted keys, no spaces, ASCII only: the same text for every version of Python.
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
