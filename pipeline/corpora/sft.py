"""The corpus for supervised fine-tuning: labelled items as conversations.

A conversation is an instruction and the audio from the user, and the transcript or answer from
the assistant (report sections 3.2 and 4.2). As in `pretrain` beside it, tables are joined and
nothing is computed. The report has every instruction as text and as speech; here they are text
only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from wavemill.manifests.recording import Item, Recording, Task
from wavemill.pipeline.corpora.instructions import instructions_digest
from wavemill.pipeline.corpora.instructions.choice import choose_instruction, written_language
from wavemill.pipeline.corpora.pretrain import AUDIO
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.segments import Segment, segments_of
from wavemill.stages.stage import Stage
from wavemill.stages.tables import batch, field

# The fields of MESSAGE, and `messages`, are nullable also where they never are null: `datasets`
# recognises no other Audio column.
MESSAGE = pa.struct(
    [
        field("role", pa.string(), "'user' or 'assistant'", True),
        field("kind", pa.string(), "'text' or 'audio'", True),
        field("text", pa.string(), "null: kind is audio", True),
        field("audio", AUDIO, "as FLAC, mono, 16 bit; null: kind is text", True),
        field("semantic_tokens", pa.list_(pa.int32()), "12.5 per second; null as audio", True),
    ]
)
SCHEMA = pa.schema(
    [
        field("sample_id", pa.string(), "segment_id of the audio, as in the stages' tables"),
        field("recording_id", pa.string(), "hash of the recording's content"),
        field("task", pa.string(), "asr, aqa, aac, ser, sec, asc, or as the manifest says"),
        field("source", pa.string(), "URI of the recording"),
        field("speaker", pa.string(), "from the manifest, or as diarized", nullable=True),
        field("language", pa.string(), "ISO 639-1 code", nullable=True),
        field("license", pa.string(), "from the manifest", nullable=True),
        field("split", pa.string(), "from the manifest, or drawn", nullable=True),
        field("messages", pa.list_(MESSAGE), "instruction, audio, answer", nullable=True),
        field("metadata", pa.string(), "JSON: extra fields of the manifest"),
        field("lineage_id", pa.string(), "key into the snapshot's lineage table"),
    ]
)


def _features() -> str:
    """Return what makes `datasets` show the audio in `messages` as an Audio column."""
    message: dict[str, Any] = {
        name: {"_type": "Value", "dtype": "string"} for name in ("role", "kind", "text")
    }
    message["audio"] = {"_type": "Audio"}
    tokens = {"_type": "Value", "dtype": "int32"}
    message["semantic_tokens"] = {"_type": "List", "feature": tokens}
    features = {"messages": {"_type": "List", "feature": message}}
    return json.dumps({"info": {"features": features}})


HUGGINGFACE = _features()


class SftSettings(BaseModel):
    """How conversations are made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    # sample: English or Mandarin after what the sample is written in (see `written_language`),
    # by seed where it is in neither.
    instruction_language: Literal["sample", "en", "zh"] = "sample"
    asr_from_pretrain: bool = False  # transcribed segments of raw recordings, as ASR samples


@dataclass(frozen=True, slots=True)
class Sample:
    """What a conversation is made of, besides the audio."""

    sample_id: str
    task: str
    question: str | None
    answer: str
    language: str | None
    speaker: str | None
    about: Item | Recording  # whose licence, split and metadata hold


class Sft(Stage[SftSettings]):
    """The corpus as a stage."""

    name = "sft"
    version = 2
    inputs = ("diarize", "transcribe", "score_text", "verdict", "store_audio", "tokenize")
    schema = SCHEMA.with_metadata({"huggingface": HUGGINGFACE})
    Settings = SftSettings
    reads_labels = True
    corpus = True

    @property
    def labelled_only(self) -> bool:
        return not self.settings.asr_from_pretrain

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "instructions": instructions_digest()}

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Yield one row per kept labelled item, or per transcribed segment if settings say so."""
        if not recording.labelled and self.labelled_only:
            return
        audio = _by_segment(upstream, "store_audio", "audio")
        tokens = _by_segment(upstream, "tokenize", "semantic_tokens")
        rows = [
            {
                "sample_id": sample.sample_id,
                "recording_id": recording.recording_id,
                "task": sample.task,
                "source": recording.uri,
                "speaker": sample.speaker,
                "language": sample.language,
                "license": sample.about.license,
                "split": sample.about.split,
                "messages": _messages(
                    sample,
                    audio[sample.sample_id]["audio"],
                    tokens[sample.sample_id]["semantic_tokens"],
                    self.settings,
                ),
                "metadata": sample.about.metadata,
                "lineage_id": upstream.lineage_id,
            }
            for sample in _samples(recording, upstream)
        ]
        if rows:
            yield batch(rows, SCHEMA)


def _samples(recording: Recording, upstream: Upstream) -> Iterator[Sample]:
    verdicts = upstream.table("verdict", ["segment_id", "kept"]).to_pylist()
    kept = {row["segment_id"] for row in verdicts if row["kept"]}
    languages = _by_segment(upstream, "score_text", "language")
    texts = {} if recording.labelled else _by_segment(upstream, "transcribe", "text")
    for segment in segments_of(recording, upstream):
        key = segment.segment_id
        if key not in kept:
            continue
        language = languages[key]["language"]
        if segment.item is not None:
            yield _of_item(segment, segment.item, language)
        elif text := texts[key]["text"]:
            yield Sample(key, Task.ASR, None, text, language, segment.speaker, recording)


def _by_segment(upstream: Upstream, stage: str, *columns: str) -> dict[str, dict[str, Any]]:
    rows = upstream.table(stage, ["segment_id", *columns]).to_pylist()
    return {row["segment_id"]: row for row in rows}


def _of_item(segment: Segment, item: Item, language: str | None) -> Sample:
    # A manifest may have the transcript in `answer`, or the caption in `text`.
    given = (item.text, item.answer) if item.task == Task.ASR else (item.answer, item.text)
    answer = next(text for text in given if text is not None)
    return Sample(
        segment.segment_id, item.task, item.question, answer, language, item.speaker, item
    )


def _messages(
    sample: Sample, flac: bytes, tokens: list[int], settings: SftSettings
) -> list[dict[str, Any]]:
    audio = {"bytes": flac, "path": f"{sample.sample_id}.flac"}
    return [
        _message("user", text=_instruction(sample, settings)),
        _message("user", audio=audio, semantic_tokens=tokens),
        _message("assistant", text=sample.answer),
    ]


def _message(role: str, **content: Any) -> dict[str, Any]:
    empty = {"text": None, "audio": None, "semantic_tokens": None}
    return {"role": role, "kind": "text" if "text" in content else "audio", **empty, **content}


def _instruction(sample: Sample, settings: SftSettings) -> str:
    language = (
        written_language(sample.question or sample.answer, sample.language)
        if settings.instruction_language == "sample"
        else settings.instruction_language
    )
    return choose_instruction(
        sample.task, sample.question, language, settings.seed, sample.sample_id
    )
