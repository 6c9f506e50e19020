"""The tokenize stages over recordings in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from tests.support import MemoryUpstream
from wavemill.manifests.identify import content_id
from wavemill.manifests.recording import Item, Recording
from wavemill.stages.audio.flac import decode_flac, encode_flac
from wavemill.stages.audio.version import AudioVersionSettings
from wavemill.stages.segments import segments_of
from wavemill.stages.stage import SharedSettings
from wavemill.stages.tokenize import tokenize, tokenize_text
from wavemill.stages.tokenize.whisper_bpe import WhisperBpe

RATE = 48_000
SPANS = [(0, 1000), (1000, 1081), (1200, 3000)]
RAW = Recording("r", "r.wav", 3000)
TEXTS = ["one", "two", ""]


def audio() -> np.ndarray:
    values = np.random.default_rng(0).integers(-3000, 3000, 3 * RATE)
    return (values / 32768).astype(np.float32)


def name(span: tuple[int, int]) -> str:
    return f"r-0-{span[0]}-{span[1]}"


def upstream(kept: list[bool], version_gain: float = 0.5) -> MemoryUpstream:
    versions = {"original": audio(), "enhanced": np.float32(version_gain) * audio()}
    denoise = [
        {
            "recording_id": "r",
            "track": 0,
            "version": version,
            "start_ms": 0,
            "end_ms": 3000,
            "sample_rate": RATE,
            "missing": [],
            "audio": encode_flac(samples, RATE),
        }
        for version, samples in versions.items()
    ]
    diarize = [
        {
            "recording_id": "r",
            "segment_id": name(span),
            "segment_index": index,
            "track": 0,
            "start_ms": span[0],
            "end_ms": span[1],
            "speaker": "S00",
            "speech_ms": 80,
            "overlap_ratio": 0.0,
            "speaker_similarity": 1.0,
        }
        for index, span in enumerate(SPANS)
    ]
    pairs = list(zip(SPANS, kept, TEXTS, strict=True))
    verdict = [{"recording_id": "r", "segment_id": name(s), "kept": k} for s, k, _ in pairs]
    transcribe = [{"recording_id": "r", "segment_id": name(s), "text": t} for s, _, t in pairs]
    rows = {"denoise": denoise, "diarize": diarize, "verdict": verdict, "transcribe": transcribe}
    return MemoryUpstream("r", {stage: pa.Table.from_pylist(r) for stage, r in rows.items()})


def version(enhanced_share: float) -> SharedSettings:
    chosen = AudioVersionSettings(seed=0, enhanced_share=enhanced_share)
    return SharedSettings(audio_version=chosen)


def run(recording: Recording, tables: MemoryUpstream, share: float = 0.0) -> list[dict]:
    stage = tokenize.Tokenize.build(tokenize.Config(), "cpu", version(share))
    return pa.Table.from_batches(stage(recording, tables), schema=tokenize.SCHEMA).to_pylist()


def test_rows_hold_the_segments_audio_and_a_token_for_every_80_ms() -> None:
    rows = run(RAW, upstream([True, True, True]))
    assert [row["segment_id"] for row in rows] == [name(span) for span in SPANS]
    assert [len(row["semantic_tokens"]) for row in rows] == [13, 2, 23]
    for row, (start, end) in zip(rows, SPANS, strict=True):
        samples, rate = decode_flac(row["audio"])
        assert rate == row["sample_rate"] == RATE
        np.testing.assert_array_equal(samples, audio()[start * 48 : end * 48])


def test_only_kept_segments_are_tokenized_and_others_change_nothing() -> None:
    everything = {row["segment_id"]: row for row in run(RAW, upstream([True, True, True]))}
    some = run(RAW, upstream([False, True, False]))
    assert some == [everything[name(SPANS[1])]]
    assert run(RAW, upstream([False, False, False])) == []


def test_the_version_that_was_chosen_is_stored() -> None:
    row = run(RAW, upstream([True, False, False], version_gain=0.0), share=1.0)[0]
    assert row["audio_version"] == "enhanced"
    assert not decode_flac(row["audio"])[0].any()


def test_many_segments_come_in_bounded_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenize, "SEGMENTS_AT_ONCE", 2)
    stage = tokenize.Tokenize.build(tokenize.Config(), "cpu", version(0.0))
    batches = list(stage(RAW, upstream([True, True, True])))
    assert [len(batch) for batch in batches] == [2, 1]


def labelled(path: Path) -> Recording:
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(8000), 8000)
    items = (Item("b", 500, 1000, answer="a dog"), Item("a", 0, 500, text="seven <|en|>"))
    return Recording(content_id(str(path)), str(path), 1000, items=items)


def test_items_keep_their_own_rate(tmp_path: Path) -> None:
    recording = labelled(tmp_path / "a.wav")
    tables = upstream([True, True, True])
    segments = segments_of(recording, tables)
    key = recording.recording_id
    verdict = [{"recording_id": key, "segment_id": s.segment_id, "kept": True} for s in segments]
    rows = run(recording, MemoryUpstream(key, {"verdict": pa.Table.from_pylist(verdict)}))
    assert [(row["sample_rate"], len(row["semantic_tokens"])) for row in rows] == [(8000, 7)] * 2
    assert {row["audio_version"] for row in rows} == {"original"}


def text_rows(recording: Recording) -> dict[str, list[int]]:
    stage = tokenize_text.TokenizeText.build(tokenize_text.Config(), "cpu")
    batches = stage(recording, upstream([False] * 3))
    table = pa.Table.from_batches(batches, schema=tokenize_text.SCHEMA)
    return {row["segment_id"]: row["text_tokens"] for row in table.to_pylist()}


def test_every_transcript_has_text_tokens_kept_or_not() -> None:
    engine = WhisperBpe(WhisperBpe.Config())
    engine.load("cpu")
    found = text_rows(RAW)
    assert [engine.decode(ids) for ids in found.values()] == TEXTS
    assert list(found) == [name(span) for span in SPANS]


def test_an_item_without_a_transcript_has_no_text_tokens(tmp_path: Path) -> None:
    recording = labelled(tmp_path / "a.wav")
    spoken, event = segments_of(recording, upstream([True] * 3))
    found = text_rows(recording)
    assert list(found) == [spoken.segment_id]
    assert event.segment_id not in found
    assert len(found[spoken.segment_id]) > 3
