"""Scores that need no audio: of a segment's times, transcript and language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from wavemill.manifests.recording import Item, Recording
from wavemill.stages.recording_stage import RecordingError, Upstream
from wavemill.stages.score import stored
from wavemill.stages.score_text.scores import SCORES
from wavemill.stages.score_text.text import (
    character_count,
    compression_ratio,
    repeated_ngram_ratio,
    words_of,
)
from wavemill.stages.segments import Segment, segments_of
from wavemill.stages.stage import Stage
from wavemill.stages.tables import batch, field

SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording that the segment is of"),
        field("segment_id", pa.string(), "The segment"),
        field(
            "text_source",
            pa.string(),
            "Where text comes from, and so whose rules hold: asr or manifest (labelled)",
        ),
        *(score.field for score in stored(SCORES)),
    ]
)


class Config(BaseModel):
    """Settings of score_text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ngram: int = Field(default=3, ge=1)  # words in an n-gram of repeated_ngram_ratio


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is known of a segment's text, from a transcriber or from a manifest."""

    source: str
    text: str | None
    language: str | None
    language_probability: float | None = None
    compression_ratio: float | None = None
    asr_confidence: float | None = None
    avg_logprob: float | None = None
    no_speech_prob: float | None = None


class ScoreText(Stage[Config]):
    """The stage."""

    name = "score_text"
    version = 2
    inputs = ("diarize", "transcribe")
    schema = SCHEMA
    scores = SCORES
    Settings = Config
    section = "filter.text"
    reads_labels = True

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        transcripts = transcripts_of(recording, upstream)
        rows = [
            score(recording.recording_id, segment, transcripts[segment.segment_id], self.settings)
            for segment in segments_of(recording, upstream)
        ]
        if rows:
            yield batch(rows, SCHEMA)


def transcripts_of(recording: Recording, upstream: Upstream) -> dict[str, Transcript]:
    """Return the transcript of every segment, by segment_id.

    Raises RecordingError `missing_transcript` when a segment has none.
    """
    segments = segments_of(recording, upstream)
    if recording.labelled:
        return {s.segment_id: _from_item(recording, s.item) for s in segments if s.item}
    columns = [
        "segment_id",
        "text",
        "language",
        "language_probability",
        "compression_ratio",
        "asr_confidence",
        "avg_logprob",
        "no_speech_prob",
    ]
    found = {
        row.pop("segment_id"): _heard(recording, Transcript(source="asr", **row))
        for row in upstream.table("transcribe", columns).to_pylist()
    }
    missing = [s.segment_id for s in segments if s.segment_id not in found]
    if missing:
        raise RecordingError(
            "missing_transcript", f"{len(missing)} segments have no transcript, e.g. {missing[0]}"
        )
    return found


def _heard(recording: Recording, transcript: Transcript) -> Transcript:
    """Return a transcript in the language that the manifest states, where none was identified.

    An engine that assumes another one has written down sounds that it does not know: its text is
    worth nothing, which is what the probability 0 says.
    """
    assumed = transcript.language_probability is None and transcript.language is not None
    if not assumed or recording.language in (None, transcript.language):
        return transcript
    return replace(transcript, language=recording.language, language_probability=0.0)


def _from_item(recording: Recording, item: Item) -> Transcript:
    return Transcript("manifest", item.text, item.language or recording.language)


def score(
    recording_id: str, segment: Segment, transcript: Transcript, config: Config
) -> dict[str, Any]:
    """Return a row of SCHEMA."""
    duration = segment.duration_s
    speech = None if segment.speech_ms is None else segment.speech_ms / 1000
    return {
        "recording_id": recording_id,
        "segment_id": segment.segment_id,
        "text_source": transcript.source,
        "duration_s": duration,
        "speech_ratio": None if speech is None else _ratio(speech, duration),
        "overlap_ratio": segment.overlap_ratio,
        "speaker_similarity": segment.speaker_similarity,
        "language": transcript.language,
        "language_probability": transcript.language_probability,
        **_text_scores(transcript, duration, config),
        "asr_confidence": transcript.asr_confidence,
        "avg_logprob": transcript.avg_logprob,
        "no_speech_prob": transcript.no_speech_prob,
    }


def _text_scores(transcript: Transcript, duration: float, config: Config) -> dict[str, Any]:
    text = transcript.text
    if text is None:
        return dict.fromkeys(
            (
                "text_length",
                "chars_per_second",
                "words_per_second",
                "repeated_ngram_ratio",
                "compression_ratio",
            )
        )
    words, characters = words_of(text), character_count(text)
    own = transcript.compression_ratio
    return {
        "text_length": characters,
        "chars_per_second": _ratio(characters, duration),
        "words_per_second": _ratio(len(words), duration),
        "repeated_ngram_ratio": repeated_ngram_ratio(words, config.ngram),
        "compression_ratio": compression_ratio(text) if own is None else own,
    }


def _ratio(amount: float, duration: float) -> float:
    return amount / duration if duration > 0 else 0.0
