"""What `wavemill diff` tells, on small tables, and what `snapshots` lists."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.pipeline.toys import recording
from wavemill.manifests.recording import Recording
from wavemill.manifests.table import recordings_table
from wavemill.pipeline.snapshots import LINEAGE_SCHEMA, Snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import ERRORS_SCHEMA
from wavemill.pipeline.upkeep.difference import (
    ConfigChange,
    Difference,
    RuleChange,
    SegmentChange,
    compare,
)
from wavemill.stages.score_text.stage import ScoreText
from wavemill.stages.verdict.stage import Verdict

A, B, C = (recording(name, 10_000) for name in "abc")
# Recording, segment (as many seconds long), rules that it breaks.
Rows = Sequence[tuple[Recording, int, list[str]]]


def _table(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Fill the columns that a test has nothing to say of with something of their type."""
    plain = {"string": "", "double": 0.0, "int64": 0, "bool": False}
    filler = {f.name: None if f.nullable else plain.get(str(f.type)) for f in schema}
    full = [filler | row for row in rows]
    return pa.Table.from_pylist(full, schema=schema)


def snapshot(
    store: Store,
    number: int,
    recordings: Sequence[Recording],
    segments: Rows,
    failed: Sequence[Recording] = (),
    config: dict[str, Any] | None = None,
) -> Snapshot:
    """Write as much of a snapshot as a comparison reads."""
    folder = f"snapshots/{number:06d}"
    store.write_table(f"{folder}/recordings.parquet", recordings_table(recordings))
    errors = [{"stage": "tokenize", "recording_id": r.recording_id} for r in failed]
    store.write_table(f"{folder}/errors.parquet", _table(errors, ERRORS_SCHEMA))
    scores, verdicts = [], []
    for rec, seconds, broken in segments:
        ids = {"recording_id": rec.recording_id, "segment_id": f"{rec.recording_id}-{seconds}"}
        scores.append({**ids, "duration_s": seconds})
        rules = [{"rule": rule} for rule in broken]
        verdicts.append({**ids, "kept": not broken, "broken": rules})
    lineage = []
    for stage, rows in ((ScoreText, scores), (Verdict, verdicts)):
        key = f"stages/{stage.name}/{number}/s.parquet"
        store.write_table(key, _table(rows, stage.schema))
        lineage.append({"stage": stage.name, "output": key})
    store.write_table(f"{folder}/lineage.parquet", _table(lineage, LINEAGE_SCHEMA))
    store.write_text(f"{folder}/config.json", json.dumps(config or {}))
    return Snapshot(number, None, "", "", "", "", len(recordings), 0, 0, {})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path)


def difference(store: Store, older: Snapshot, newer: Snapshot) -> Difference:
    return compare(store, older, newer)


def test_the_same_twice_is_no_difference(store: Store) -> None:
    one, two = (snapshot(store, n, [A], [(A, 1, []), (A, 2, ["short"])]) for n in (1, 2))
    assert difference(store, one, two) == Difference(1, 2, (), (), (), ())


def test_recordings_come_go_and_change(store: Store) -> None:
    relabelled = recording("b", 10_000, license="CC0")
    one = snapshot(store, 1, [A, B], [])
    two = snapshot(store, 2, [relabelled, C], [])
    found = [(c.recording_id, c.change) for c in difference(store, one, two).recordings]
    assert found == [
        (C.recording_id, "added"),
        (B.recording_id, "changed"),
        (A.recording_id, "removed"),
    ]


def test_a_moved_rule_is_named_with_what_it_let_in_and_out(store: Store) -> None:
    one = snapshot(store, 1, [A], [(A, 1, ["short", "noisy"]), (A, 2, []), (A, 3, ["noisy"])])
    two = snapshot(store, 2, [A], [(A, 1, []), (A, 2, ["loud"]), (A, 3, ["loud"])])
    found = difference(store, one, two)
    assert found.rules == (
        RuleChange("loud", 0, 0, 1, 2000),
        RuleChange("noisy", 1, 1000, 0, 0),
        RuleChange("short", 1, 1000, 0, 0),
    )
    assert found.segments == (
        SegmentChange("newly kept", 1, 1000),
        SegmentChange("newly rejected", 1, 2000),
    )


def test_segments_of_one_side_are_told_apart_from_rules(store: Store) -> None:
    one = snapshot(store, 1, [A], [(A, 1, []), (A, 2, ["short"])])
    two = snapshot(store, 2, [B], [(B, 3, []), (B, 4, ["short"])])
    found = difference(store, one, two)
    assert found.rules == ()
    assert found.segments == (
        SegmentChange("kept before and gone", 1, 1000),
        SegmentChange("new and kept", 1, 3000),
    )


def test_a_recording_that_fails_is_a_rule_of_its_own(store: Store) -> None:
    one = snapshot(store, 1, [A], [(A, 1, [])])
    two = snapshot(store, 2, [A], [(A, 1, [])], failed=[A])
    assert difference(store, one, two).rules == (RuleChange("(error)", 0, 0, 1, 1000),)


def test_fields_of_the_configuration_have_their_names(store: Store) -> None:
    one = snapshot(store, 1, [A], [], config={"a": {"b": 1, "c": [1]}, "old": True})
    two = snapshot(store, 2, [A], [], config={"a": {"b": 2, "c": [1]}})
    assert difference(store, one, two).config == (
        ConfigChange("a.b", 1, 2),
        ConfigChange("old", True, None),
    )


def test_a_snapshot_without_segments_can_be_compared(store: Store) -> None:
    one = snapshot(store, 1, [A], [])
    store.write_table("snapshots/000001/lineage.parquet", LINEAGE_SCHEMA.empty_table())
    two = snapshot(store, 2, [A], [(A, 1, [])])
    assert difference(store, one, two).segments == (SegmentChange("new and kept", 1, 1000),)
