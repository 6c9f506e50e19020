"""Transcribe: what is said in each segment, with the time and confidence of every word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pydantic import Field

from wavemill.manifests.recording import Recording
from wavemill.stages.audio.block_table import STAGE_OF
from wavemill.stages.audio.track import open_tracks
from wavemill.stages.audio.version import AudioVersion
from wavemill.stages.engine import StageSettings, with_engines
from wavemill.stages.recording_stage import Division, Upstream
from wavemill.stages.segments import Segment, segments_of
from wavemill.stages.stage import EngineStage
from wavemill.stages.tables import batch, field
from wavemill.stages.transcribe.engine import TranscribeEngine, Transcript, Word
from wavemill.stages.transcribe.engines import ENGINES

WORD = pa.struct(
    [
        field("word", pa.string(), "As it is written in the text"),
        field("start_ms", pa.int64(), "Start in the recording, ms"),
        field("end_ms", pa.int64(), "End in the recording, ms"),
        field("confidence", pa.float64(), "0 to 1"),
    ]
)
SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording: hash of the file's content"),
        field("segment_id", pa.string(), "Segment: recording, track, start and end"),
        field("language", pa.string(), "ISO 639-1 code, identified or assumed; und: neither"),
        field("language_probability", pa.float64(), "Of that language; null: assumed", True),
        field("text", pa.string(), "What was said; empty: no speech found"),
        field("words", pa.list_(WORD), "Words in time order, within the segment"),
        field("asr_confidence", pa.float64(), "0 to 1 over the segment; 0 for an empty text"),
        field("avg_logprob", pa.float64(), "Mean log probability of tokens; null: unknown", True),
        field("no_speech_prob", pa.float64(), "Probability of no speech; null: unknown", True),
        field(
            "compression_ratio",
            pa.float64(),
            "Bytes of text by bytes after zlib; null: the engine does not look at it",
            True,
        ),
    ]
)


class TranscribeSettings(StageSettings):
    """Settings of the transcribe stage."""

    engine: str = "faster_whisper"
    reads: AudioVersion = "original"  # report: enhanced
    batch_size: int = Field(32, ge=1)  # segments handed to the engine at once


Config = with_engines(TranscribeSettings, ENGINES)


class Transcribe(EngineStage[TranscribeSettings, TranscribeEngine[Any]]):
    """The stage."""

    name = "transcribe"
    version = 1
    schema = SCHEMA
    engines = ENGINES
    Settings = Config

    @property
    def division(self) -> Division:
        return Division("diarize", self.settings.batch_size)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (STAGE_OF[self.settings.reads], "diarize")

    @property
    def reads_audio(self) -> AudioVersion:
        return self.settings.reads

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Yield a row for every segment, in order, a batch per `batch_size`; none if labelled."""
        if recording.labelled:
            return
        segments = segments_of(recording, upstream)
        if not segments:
            return
        opened = open_tracks(recording, upstream, self.settings.reads)
        tracks = {track.track: track for track in opened}
        rate = self.engine.sample_rate
        for first in range(0, len(segments), self.settings.batch_size):
            some = segments[first : first + self.settings.batch_size]
            clips = [tracks[s.track].read(s.start_ms, s.end_ms, rate) for s in some]
            transcripts = self.engine.transcribe(clips)
            yield batch(
                [
                    row(recording.recording_id, segment, transcript)
                    for segment, transcript in zip(some, transcripts, strict=True)
                ],
                SCHEMA,
            )


def row(recording_id: str, segment: Segment, transcript: Transcript) -> dict[str, Any]:
    """Return a row of SCHEMA: the words moved from the segment's time to the recording's."""
    return {
        "recording_id": recording_id,
        "segment_id": segment.segment_id,
        "language": transcript.language,
        "language_probability": transcript.language_probability,
        "text": transcript.text,
        "words": [_in_recording(word, segment) for word in transcript.words],
        "asr_confidence": transcript.asr_confidence,
        "avg_logprob": transcript.avg_logprob,
        "no_speech_prob": transcript.no_speech_prob,
        "compression_ratio": transcript.compression_ratio,
    }


def _in_recording(word: Word, segment: Segment) -> dict[str, Any]:
    return {
        "word": word.word,
        "start_ms": segment.start_ms + word.start_ms,
        "end_ms": min(segment.start_ms + word.end_ms, segment.end_ms),
        "confidence": word.confidence,
    }
