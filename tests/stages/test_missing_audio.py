"""What a recording lacks, through the stages: rows, scores, and errors with their span."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.stages.audio.made import sweep, timed
from tests.stages.test_score_stages import scored
from tests.support import MemoryUpstream
from wavemill.manifests.identify import content_id
from wavemill.manifests.recording import Item, Recording
from wavemill.stages.audio.block_table import SCHEMA
from wavemill.stages.audio.decode import probe
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.audio.limits import DecodeLimits
from wavemill.stages.decode.stage import Decode, DecodeSettings
from wavemill.stages.recording_stage import SpanError
from wavemill.stages.stage import SharedSettings

RATE = 48_000
SOUND = sweep(10, RATE)


def damaged(path: Path) -> Path:
    """A FLAC of 10 s that lacks some of it after 4 s."""
    data = bytearray(timed(path, SOUND, RATE, "flac").read_bytes())
    start = len(data) // 2
    data[start : start + 20_000] = np.random.default_rng(3).bytes(20_000)
    path.write_bytes(data)
    return path


def decoded(path: Path, **settings: object) -> tuple[list[dict], list[SpanError]]:
    stage = Decode.build(DecodeSettings.model_validate(settings), "cpu")
    found = list(
        stage(Recording(content_id(str(path)), str(path), 10_000), MemoryUpstream("r", {}))
    )
    batches = [batch for batch in found if isinstance(batch, pa.RecordBatch)]
    errors = [error for error in found if isinstance(error, SpanError)]
    return pa.Table.from_batches(batches, SCHEMA).to_pylist(), errors


def test_blocks_name_the_silence_in_them(tmp_path: Path) -> None:
    rows, errors = decoded(damaged(tmp_path / "a.flac"), block_seconds=2)
    spans = [span for row in rows for span in row["missing"]]
    assert {span["kind"] for span in spans} == {"damage"}
    assert sum(span["end_ms"] - span["start_ms"] for span in spans) == pytest.approx(
        sum(error.end_ms - error.start_ms for error in errors), abs=5
    )
    for row in rows:
        audio, _ = decode_flac(row["audio"])
        for span in row["missing"]:
            start, end = (span[key] - row["start_ms"] for key in ("start_ms", "end_ms"))
            assert 0 <= start < end <= 2000
            assert not audio[(start + 2) * 48 : (end - 2) * 48].any()
    assert rows[-1]["end_ms"] == 10_000


def test_a_gap_is_no_error_until_it_is_too_long(tmp_path: Path) -> None:
    path = timed(tmp_path / "a.mka", SOUND, RATE, "libopus", gaps=[(4.0, 0.8)])
    rows, errors = decoded(path)
    assert errors == []
    assert [span["kind"] for span in rows[0]["missing"]] == ["gap"]
    rows, errors = decoded(path, gap_ms=100)
    assert [error.reason for error in errors] == ["time_jump"]
    assert rows[0]["missing"] == []


def test_labelled_items_count_damage_as_missing_and_tell_of_it(tmp_path: Path) -> None:
    path = damaged(tmp_path / "a.flac")
    _, told = decoded(path)
    start, end = told[0].start_ms, told[-1].end_ms
    items = (Item("a", 0, 2000), Item("b", start, end), Item("c", start - 500, end + 500))
    recording = Recording(
        content_id(str(path)), str(path), probe(str(path)).duration_ms, items=items
    )
    (_, scores), errors = scored(recording, SharedSettings(), MemoryUpstream("r", {}))
    ratios = {row["segment_id"]: row["missing_ratio"] for row in scores.to_pylist()}
    assert sorted(ratios.values()) == pytest.approx(
        [0.0, (end - start) / (end - start + 1000), 1.0], abs=0.01
    )
    assert errors == told


def test_labels_behind_a_closed_hole_miss_the_sound(tmp_path: Path) -> None:
    path = timed(tmp_path / "a.mka", SOUND, RATE, "libopus", gaps=[(4.0, 0.8)])
    limits = DecodeLimits(gap_ms=100)
    items = (Item("a", 1000, 2000), Item("b", 6000, 7000))
    recording = Recording(
        content_id(str(path)), str(path), probe(str(path), limits).duration_ms, items=items
    )
    shared = SharedSettings(limits=limits)
    (_, scores), (error,) = scored(recording, shared, MemoryUpstream("r", {}))
    assert [row["missing_ratio"] for row in scores.to_pylist()] == [0.0, 1.0]
    assert isinstance(error, SpanError)
    assert error.reason == "time_jump"
