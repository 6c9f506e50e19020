"""Text tokens of recordings in memory."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tests.stages.kept import RAW, SPANS, TEXTS, labelled, name, upstream
from wavemill.manifests.recording import Recording
from wavemill.stages.segments import segments_of
from wavemill.stages.tokenize_text.stage import SCHEMA, Config, TokenizeText
from wavemill.stages.tokenize_text.whisper_bpe import WhisperBpe


def text_rows(recording: Recording) -> dict[str, list[int]]:
    stage = TokenizeText.build(Config(), "cpu")
    batches = stage(recording, upstream([False] * 3))
    table = pa.Table.from_batches(batches, schema=SCHEMA)
    return {row["segment_id"]: row["text_tokens"] for row in table.to_pylist()}


def test_every_transcript_has_text_tokens_kept_or_not() -> None:
    engine = WhisperBpe(WhisperBpe.Config())
    engine.load("cpu")
    found = text_rows(RAW)
    assert [engine.decode(ids) for ids in found.values()] == TEXTS
    assert list(found) == [name(span) for span in SPANS]


def test_an_item_without_a_transcript_has_no_text_tokens(tmp_path: Path) -> None:
    recording, _ = labelled(tmp_path / "a.wav")
    spoken, event = segments_of(recording, upstream([True] * 3))
    found = text_rows(recording)
    assert list(found) == [spoken.segment_id]
    assert event.segment_id not in found
    assert len(found[spoken.segment_id]) > 3
