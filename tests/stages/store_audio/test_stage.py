"""Stored audio of recordings in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.stages.kept import RATE, RAW, SPANS, audio, labelled, name, shared, upstream
from tests.support import MemoryUpstream
from wavemill.manifests.recording import Recording
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.stage import NoSettings
from wavemill.stages.store_audio import stage as module
from wavemill.stages.store_audio.stage import SCHEMA, StoreAudio


def run(recording: Recording, tables: MemoryUpstream, share: float = 0.0) -> list[dict]:
    stage = StoreAudio.build(NoSettings(), "cpu", shared(share))
    return pa.Table.from_batches(stage(recording, tables), schema=SCHEMA).to_pylist()


def test_rows_hold_the_segments_audio() -> None:
    rows = run(RAW, upstream([True, True, True]))
    assert [row["segment_id"] for row in rows] == [name(span) for span in SPANS]
    for row, (start, end) in zip(rows, SPANS, strict=True):
        samples, rate = decode_flac(row["audio"])
        assert rate == row["sample_rate"] == RATE
        np.testing.assert_array_equal(samples, audio()[start * 48 : end * 48])


def test_only_kept_segments_are_stored_and_others_change_nothing() -> None:
    everything = {row["segment_id"]: row for row in run(RAW, upstream([True, True, True]))}
    some = run(RAW, upstream([False, True, False]))
    assert some == [everything[name(SPANS[1])]]
    assert run(RAW, upstream([False, False, False])) == []


def test_the_version_that_was_chosen_is_stored() -> None:
    row = run(RAW, upstream([True, False, False], version_gain=0.0), share=1.0)[0]
    assert row["audio_version"] == "enhanced"
    assert not decode_flac(row["audio"])[0].any()


def test_many_segments_come_in_bounded_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENTS_AT_ONCE", 2)
    stage = StoreAudio.build(NoSettings(), "cpu", shared(0.0))
    batches = list(stage(RAW, upstream([True, True, True])))
    assert [len(batch) for batch in batches] == [2, 1]


def test_items_keep_their_own_rate(tmp_path: Path) -> None:
    rows = run(*labelled(tmp_path / "a.wav"), share=1.0)
    assert [row["sample_rate"] for row in rows] == [8000, 8000]
    assert [len(decode_flac(row["audio"])[0]) for row in rows] == [4000, 4000]
    assert {row["audio_version"] for row in rows} == {"original"}
