"""The transcribe stage: one row per segment, times in the recording, batches in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.support import MemoryUpstream, stored_tables
from wavemill.manifests.recording import Item, Recording
from wavemill.stages.audio.flac import encode_flac
from wavemill.stages.audio.version import AudioVersion
from wavemill.stages.engine import EngineConfig
from wavemill.stages.transcribe.engine import TranscribeEngine, Transcript, Word
from wavemill.stages.transcribe.stage import SCHEMA, Config, Transcribe, TranscribeSettings

RATE = 8000
RECORDING = Recording("r", "a.wav", 6000)


class Loudness(TranscribeEngine[EngineConfig]):
    """Writes down how loud a clip is: one word from its first to its last 100 ms."""

    name = "loudness"
    sample_rate = 16_000  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(EngineConfig())
        self.batches: list[int] = []

    def weights_identity(self) -> str:
        return "none"

    def load(self, device: str) -> None: ...

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        self.batches.append(len(clips))
        return [self._transcript(clip) for clip in clips]

    def _transcript(self, clip: np.ndarray) -> Transcript:
        duration_ms = clip.size // 16
        text = f"{np.abs(clip).mean():.1f}"
        word = Word(text, 100, duration_ms + 7, 0.5)
        return Transcript(text, (word,), "en", 0.5, 0.9, -0.1, 0.2, 1.5)


def upstream(spans: list[tuple[int, int, int]]) -> MemoryUpstream:
    """Two tracks of 6 s at levels 0.2 and 0.7 (enhanced), silent in the original."""
    blocks = [
        {
            "recording_id": "r",
            "track": track,
            "version": version,
            "start_ms": 0,
            "end_ms": 6000,
            "sample_rate": RATE,
            "missing": [],
            "audio": encode_flac(np.full(6 * RATE, level, np.float32), RATE),
        }
        for track, level in enumerate((0.2, 0.7))
        for version, level in (("original", 0.0), ("enhanced", level))
    ]
    segments = [
        {
            "recording_id": "r",
            "track": track,
            "segment_id": f"r-{track}-{start}-{end}",
            "segment_index": index,
            "start_ms": start,
            "end_ms": end,
            "speaker": "S00",
            "speech_ms": end - start,
            "overlap_ratio": 0.0,
            "speaker_similarity": 1.0,
        }
        for index, (track, start, end) in enumerate(spans)
    ]
    diarize = pa.Table.from_pylist(segments) if segments else no_segments()
    return MemoryUpstream("r", {**stored_tables(blocks), "diarize": diarize})


def no_segments() -> pa.Table:
    names = ("segment_id", "segment_index", "track", "start_ms", "end_ms", "speaker")
    names += ("speech_ms", "overlap_ratio", "speaker_similarity", "recording_id")
    return pa.table({name: pa.array([], pa.string()) for name in names})


def rows(stage: Any, *spans: tuple[int, int, int]) -> list[dict[str, Any]]:
    batches = list(stage(RECORDING, upstream(list(spans))))
    assert all(batch.schema == SCHEMA for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()]


def test_rows_in_segment_order_with_times_of_the_recording() -> None:
    engine = Loudness()
    stage = Transcribe(TranscribeSettings(batch_size=2, reads="enhanced"), engine=engine)
    found = rows(stage, (0, 500, 1500), (1, 1000, 3000), (0, 4000, 4500))
    assert engine.batches == [2, 1]
    assert [row["segment_id"] for row in found] == [
        "r-0-500-1500",
        "r-1-1000-3000",
        "r-0-4000-4500",
    ]
    assert [row["text"] for row in found] == ["0.2", "0.7", "0.2"]
    words = [row["words"][0] for row in found]
    assert [(w["start_ms"], w["end_ms"]) for w in words] == [
        (600, 1500),
        (1100, 3000),
        (4100, 4500),
    ]
    assert found[0]["recording_id"] == "r"
    known = ("language_probability", "avg_logprob", "no_speech_prob", "compression_ratio")
    assert [found[0][name] for name in known] == [0.9, -0.1, 0.2, 1.5]


def test_labelled_recordings_and_recordings_without_speech_yield_nothing() -> None:
    stage = Transcribe(TranscribeSettings(reads="enhanced"), engine=Loudness())
    labelled = Recording("r", "a.wav", 6000, items=(Item("i", 0, 1000, text="yes"),))
    assert list(stage(labelled, MemoryUpstream("r", {}))) == []
    assert rows(stage) == []


def test_by_default_a_segment_without_words_has_a_row() -> None:
    # All that is there is no speech.
    config = Config(reads="enhanced", faster_whisper={"silence_dbfs": 0})
    (found,) = rows(Transcribe.build(config, "cpu"), (0, 0, 1000))
    assert found == {
        "recording_id": "r",
        "segment_id": "r-0-0-1000",
        "language": "und",
        "language_probability": None,
        "text": "",
        "words": [],
        "asr_confidence": 0.0,
        "avg_logprob": None,
        "no_speech_prob": None,
        "compression_ratio": None,
    }


def test_every_field_is_described() -> None:
    fields = [*SCHEMA, *SCHEMA.field("words").type.value_type]
    assert all(field.metadata[b"description"] for field in fields)


def test_unknown_settings_are_refused() -> None:
    for section in ({"engine": "whisperer"}, {"beem": 1}, {"faster_whisper": {"beam_size": 0}}):
        with pytest.raises(ValueError, match=next(iter(section))):
            Config(**section)


@pytest.mark.parametrize(("reads", "text"), [("original", "0.0"), ("enhanced", "0.7")])
def test_reads_says_which_audio_is_transcribed(reads: AudioVersion, text: str) -> None:
    stage = Transcribe(TranscribeSettings(reads=reads), engine=Loudness())
    (row,) = rows(stage, (1, 0, 1000))
    assert row["text"] == text
