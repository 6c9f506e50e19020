"""The pre-training corpus: what the stages know of each kept segment, in one row.

Tables are joined here and nothing is computed: no audio is decoded and no model runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from wavemill.manifests.recording import Item, Recording, Task
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.segments import Segment, segments_of
from wavemill.stages.stage import NoSettings, Stage
from wavemill.stages.tables import batch, field

WORD = pa.struct(
    [
        pa.field("word", pa.string()),
        pa.field("start_ms", pa.int64()),
        pa.field("end_ms", pa.int64()),
        pa.field("confidence", pa.float64()),
    ]
)
AUDIO = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])

SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "hash of the recording's content"),
        field("segment_id", pa.string(), "recording, track, start and end (and label, if any)"),
        field("segment_index", pa.int32(), "place in the recording, counting rejected segments"),
        field("source", pa.string(), "URI of the recording"),
        field("start_ms", pa.int64(), "start in the recording"),
        field("end_ms", pa.int64(), "end in the recording"),
        field("duration", pa.float64(), "seconds"),
        field("speaker", pa.string(), "label, consistent over the recording"),
        field("language", pa.string(), "ISO 639-1 code", nullable=True),
        field("text", pa.string(), "transcript"),
        field("text_source", pa.string(), "'asr' or 'manifest'"),
        field("words", pa.list_(WORD), "words with times in the recording; null: not timed", True),
        # Nullable only because `datasets` recognises no other Audio column; it never is null.
        field("audio", AUDIO, "the segment as FLAC, mono, 16 bit", nullable=True),
        field("sample_rate", pa.int32(), "of `audio`, in Hz"),
        field("audio_version", pa.string(), "'original' or 'enhanced'"),
        field("semantic_tokens", pa.list_(pa.int32()), "12.5 per second"),
        field("text_tokens", pa.list_(pa.int32()), "`text` in the text tokenizer's ids"),
        field("license", pa.string(), "from the manifest", nullable=True),
        field("split", pa.string(), "from the manifest, or drawn", nullable=True),
        field("metadata", pa.string(), "JSON: extra fields of the manifest"),
        field("dnsmos_overall", pa.float64(), "DNSMOS overall quality, 1-5", nullable=True),
        field("dnsmos_signal", pa.float64(), "DNSMOS speech quality, 1-5", nullable=True),
        field("dnsmos_background", pa.float64(), "DNSMOS background quality, 1-5", nullable=True),
        field("snr_db", pa.float64(), "estimated signal-to-noise ratio", nullable=True),
        field("asr_confidence", pa.float64(), "of the transcript, 0-1", nullable=True),
        field("language_probability", pa.float64(), "null: assumed, not identified", nullable=True),
        field("speaker_similarity", pa.float64(), "cosine to its speaker", nullable=True),
        field("overlap_ratio", pa.float64(), "share with another speaker talking", nullable=True),
        field("lineage_id", pa.string(), "key into the snapshot's lineage table"),
    ]
)

# What the `datasets` library looks for: it then shows `audio` as an Audio column.
HUGGINGFACE = json.dumps({"info": {"features": {"audio": {"_type": "Audio"}}}})


class Pretrain(Stage[NoSettings]):
    """The corpus as a stage."""

    name = "pretrain"
    version = 1
    inputs = (
        "diarize",
        "transcribe",
        "score_audio",
        "score_text",
        "verdict",
        "store_audio",
        "tokenize",
        "tokenize_text",
    )
    schema = SCHEMA.with_metadata({"huggingface": HUGGINGFACE})
    Settings = NoSettings
    reads_labels = True
    corpus = True

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Yield one row per kept segment that has a transcript, in time order."""
        kept = {r["segment_id"] for r in upstream.table("verdict").to_pylist() if r["kept"]}
        tables = {name: _by_segment(upstream, name) for name in self.inputs if name != "diarize"}
        rows = [
            _row(recording, segment, tables, upstream.lineage_id)
            for segment in segments_of(recording, upstream)
            if segment.segment_id in kept and _is_transcribed_speech(segment.item)
        ]
        if rows:
            yield batch(rows, SCHEMA)


def _by_segment(upstream: Upstream, stage: str) -> dict[str, dict[str, Any]]:
    return {row["segment_id"]: row for row in upstream.table(stage).to_pylist()}


def _is_transcribed_speech(item: Item | None) -> bool:
    """Whether a segment belongs to `pretrain`: labels that are no transcript feed `sft` only."""
    return item is None or (item.task == Task.ASR and item.text is not None)


def _row(
    recording: Recording,
    segment: Segment,
    tables: Mapping[str, Mapping[str, dict[str, Any]]],
    lineage_id: str,
) -> dict[str, Any]:
    key, item = segment.segment_id, segment.item
    stored = tables["store_audio"][key]
    scores = {**tables["score_audio"][key], **tables["score_text"][key]}
    transcript = tables["transcribe"].get(key, {})
    label: Recording | Item = item or recording
    return {
        "recording_id": recording.recording_id,
        "segment_id": key,
        "segment_index": segment.segment_index,
        "source": recording.uri,
        "start_ms": segment.start_ms,
        "end_ms": segment.end_ms,
        "duration": segment.duration_s,
        "speaker": segment.speaker,
        "language": scores["language"],
        "text": transcript["text"] if item is None else item.text,
        "text_source": "asr" if item is None else "manifest",
        "words": transcript.get("words"),
        "audio": {"bytes": stored["audio"], "path": f"{key}.flac"},
        "sample_rate": stored["sample_rate"],
        "audio_version": stored["audio_version"],
        "semantic_tokens": tables["tokenize"][key]["semantic_tokens"],
        "text_tokens": tables["tokenize_text"][key]["text_tokens"],
        "license": label.license,
        "split": label.split,
        "metadata": label.metadata,
        **{name: scores[name] for name in _QUALITY},
        "speaker_similarity": segment.speaker_similarity,
        "overlap_ratio": segment.overlap_ratio,
        "lineage_id": lineage_id,
    }


_QUALITY = (
    "dnsmos_overall",
    "dnsmos_signal",
    "dnsmos_background",
    "snr_db",
    "asr_confidence",
    "language_probability",
)
