"""Semantic tokens of recordings in memory."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.stages.kept import RAW, SPANS, labelled, name, shared, upstream
from tests.support import MemoryUpstream
from wavemill.manifests.recording import Recording
from wavemill.stages.tokenize import stage as module
from wavemill.stages.tokenize.stage import SCHEMA, Config, Tokenize


def run(recording: Recording, tables: MemoryUpstream, share: float = 0.0) -> list[dict]:
    stage = Tokenize.build(Config(), "cpu", shared(share))
    return pa.Table.from_batches(stage(recording, tables), schema=SCHEMA).to_pylist()


def test_there_is_a_token_for_every_80_ms() -> None:
    rows = run(RAW, upstream([True, True, True]))
    assert [row["segment_id"] for row in rows] == [name(span) for span in SPANS]
    assert [len(row["semantic_tokens"]) for row in rows] == [13, 2, 23]


def test_only_kept_segments_are_tokenized_and_others_change_nothing() -> None:
    everything = {row["segment_id"]: row for row in run(RAW, upstream([True, True, True]))}
    some = run(RAW, upstream([False, True, False]))
    assert some == [everything[name(SPANS[1])]]
    assert run(RAW, upstream([False, False, False])) == []


def test_the_version_that_was_chosen_is_tokenized() -> None:
    original, enhanced = (
        run(RAW, upstream([True, False, False], version_gain=0.0), share)[0] for share in (0.0, 1.0)
    )
    assert len(set(enhanced["semantic_tokens"])) == 1  # silence
    assert len(set(original["semantic_tokens"])) > 1


def test_many_segments_come_in_bounded_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENTS_AT_ONCE", 2)
    stage = Tokenize.build(Config(), "cpu", shared(0.0))
    batches = list(stage(RAW, upstream([True, True, True])))
    assert [len(batch) for batch in batches] == [2, 1]


def test_items_are_tokenized_at_the_engines_rate(tmp_path: Path) -> None:
    rows = run(*labelled(tmp_path / "a.wav"))
    assert [len(row["semantic_tokens"]) for row in rows] == [7, 7]
