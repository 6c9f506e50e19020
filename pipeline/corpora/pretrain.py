"""The pre-training corpus: what the stages know of each kept segment, in one row.

Tables are joined here and nothing is computed: no audio is decoded and no model runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from wavemill.manifests.recording import Item, Recording, Task
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.score import Score, stored
from wavemill.stages.segments import Segment, segments_of
from wavemill.stages.stage import NoSettings, Stage
from wavemill.stages.tables import batch, field

SEGMENTS_AT_ONCE = 32  # in a batch: bounds memory, at 27 s and 48 kHz, to about 50 MB
WORD = pa.struct(
    [
        pa.field("word", pa.string()),
        pa.field("start_ms", pa.int64()),
        pa.field("end_ms", pa.int64()),
        pa.field("confidence", pa.float64()),
    ]
)
AUDIO = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])

FIELDS = [
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
]
LINEAGE = field("lineage_id", pa.string(), "key into the snapshot's lineage table")

# What the `datasets` library looks for: it then shows `audio` as an Audio column.
HUGGINGFACE = json.dumps({"info": {"features": {"audio": {"_type": "Audio"}}}})


def _schema(scores: Sequence[Score]) -> pa.Schema:
    """Return the schema of a corpus with these scores."""
    fields = [*FIELDS, *(score.field for score in scores), LINEAGE]
    return pa.schema(fields).with_metadata({"huggingface": HUGGINGFACE})


class Pretrain(Stage[NoSettings]):
    """The corpus as a stage; `among` adds the scores that other stages declare for it."""

    name = "pretrain"
    version = 1
    inputs = (
        "diarize",
        "transcribe",
        "score_text",
        "verdict",
        "store_audio",
        "tokenize",
        "tokenize_text",
    )
    schema = _schema(())
    Settings = NoSettings
    reads_labels = True
    corpus = True
    quality: ClassVar[Mapping[str, Sequence[str]]] = {}  # stage -> its scores that rows have

    @classmethod
    def among(cls, stages: Sequence[type[Stage[Any]]]) -> type[Pretrain]:
        """Return the stage whose rows have all scores of `stages` that are for the corpus."""
        quality: dict[str, list[str]] = {}
        placed: list[tuple[int, Score]] = []
        for stage in stages:
            for score in stored(stage.scores):
                if score.corpus_place is not None:
                    quality.setdefault(stage.name, []).append(score.column)
                    placed.append((score.corpus_place, score))
        placed.sort(key=lambda one: one[0])
        fields = {
            "inputs": tuple(dict.fromkeys((*cls.inputs, *quality))),
            "quality": quality,
            "schema": _schema([score for _, score in placed]),
            "__module__": cls.__module__,
            "__doc__": cls.__doc__,
        }
        return type("Pretrain", (cls,), fields)

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Yield one row per kept segment that has a transcript, in time order."""
        kept = {r["segment_id"] for r in upstream.table("verdict").to_pylist() if r["kept"]}
        tables = {
            name: _by_segment(upstream, name)
            for name in ("transcribe", "score_text", "tokenize", "tokenize_text")
        }
        audio = StoredAudio(upstream, kept)
        scores = [_by_segment(upstream, name, columns) for name, columns in self.quality.items()]
        segments = [
            segment
            for segment in segments_of(recording, upstream)
            if segment.segment_id in kept and _is_transcribed_speech(segment.item)
        ]
        for first in range(0, len(segments), SEGMENTS_AT_ONCE):
            rows = [
                {
                    **_row(recording, segment, tables, audio.take(segment.segment_id)),
                    **{k: v for table in scores for k, v in table[segment.segment_id].items()},
                    "lineage_id": upstream.lineage_id,
                }
                for segment in segments[first : first + SEGMENTS_AT_ONCE]
            ]
            yield batch(rows, self.schema)


class StoredAudio:
    """The rows of store_audio, read as they are asked for: they are most of a corpus.

    They stand in time order, but for those that were added when more was kept; what is read on
    the way to one of these is held until it is asked for.
    """

    def __init__(self, upstream: Upstream, kept: Set[str]) -> None:
        self._batches = upstream.batches("store_audio")
        self._kept = kept
        self._held: dict[str, dict[str, Any]] = {}

    def take(self, segment_id: str) -> dict[str, Any]:
        """Return the row of a segment, once. Raises KeyError if there is none."""
        while segment_id not in self._held:
            found = next(self._batches, None)
            if found is None:
                raise KeyError(segment_id)
            wanted = found.filter(pc.is_in(found["segment_id"], pa.array(list(self._kept))))
            self._held.update((row["segment_id"], row) for row in wanted.to_pylist())
        return self._held.pop(segment_id)


def _by_segment(
    upstream: Upstream, stage: str, columns: Sequence[str] | None = None
) -> dict[str, dict[str, Any]]:
    wanted = None if columns is None else ["segment_id", *columns]
    return {row["segment_id"]: row for row in upstream.table(stage, wanted).to_pylist()}


def _is_transcribed_speech(item: Item | None) -> bool:
    """Whether a segment belongs to `pretrain`: labels that are not transcripts feed `sft` only."""
    return item is None or (item.task == Task.ASR and item.text is not None)


def _row(
    recording: Recording,
    segment: Segment,
    tables: Mapping[str, Mapping[str, dict[str, Any]]],
    stored: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a row without its scores and without `lineage_id`."""
    key, item = segment.segment_id, segment.item
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
        "language": tables["score_text"][key]["language"],
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
    }
