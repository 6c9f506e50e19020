"""Recordings as tables, and their digests."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavemill.manifests.recording import Item, Recording
from wavemill.manifests.table import (
    SCHEMA,
    audio_digest,
    label_digest,
    recordings_from_table,
    recordings_table,
)

TIMES = st.integers(0, 2**40)
TEXTS = st.text(max_size=8)
MAYBE = st.none() | TEXTS
ITEMS = st.builds(
    Item, item_id=TEXTS, start_ms=TIMES, end_ms=TIMES, task=TEXTS, text=MAYBE, question=MAYBE,
    answer=MAYBE, speaker=MAYBE, language=MAYBE, license=MAYBE, split=MAYBE, metadata=TEXTS,
    channel=st.none() | st.integers(0, 63),
)  # fmt: skip
RECORDINGS = st.builds(
    Recording,
    recording_id=TEXTS,
    uri=TEXTS,
    duration_ms=TIMES,
    regions=st.lists(st.tuples(TIMES, TIMES), max_size=3).map(tuple),
    speaker=MAYBE, language=MAYBE, license=MAYBE, split=MAYBE, metadata=TEXTS,
    items=st.lists(ITEMS, max_size=3).map(tuple),
)  # fmt: skip

AUDIO = "bbba89bb113ad142c3309f40e9f5aa110c07fe8ac34b2822fa25f71ee806daf1"
LABEL = "883509ba0b2887ab2c2f815144441422a9f526b26c534f21f3905b7bc8b19bb4"
ITEM = Item("i" * 32, 100, 200, "asr", "text", "q", "a", "sp", "en", "CC0", "train", '{"a": 1}')
RECORDING = Recording(
    "r" * 32, "/x/é\n.wav", 1000, ((0, 10),), "sp", "en", "CC0", "train", '{"b": 2}', (ITEM,)
)


@given(st.lists(RECORDINGS, max_size=4))
def test_there_and_back(recordings: list[Recording]) -> None:
    assert recordings_from_table(recordings_table(recordings)) == recordings


def test_through_parquet(tmp_path: Path) -> None:
    recordings = [RECORDING, Recording("0" * 32, "/y.wav", 5)]
    pq.write_table(recordings_table(recordings), tmp_path / "t.parquet")
    table = pq.read_table(tmp_path / "t.parquet")
    assert recordings_from_table(table) == recordings
    assert table.schema.equals(SCHEMA)


def test_schema_has_every_field_and_describes_it() -> None:
    assert set(SCHEMA.names) == {f.name for f in fields(Recording)}
    item = SCHEMA.field("items").type.value_type
    assert {f.name for f in item} == {f.name for f in fields(Item)}
    region = SCHEMA.field("regions").type.value_type
    described: list[pa.Field] = [*SCHEMA, *item, *region]
    assert all(f.metadata[b"description"] for f in described)


def test_digests_are_the_same_for_ever() -> None:
    assert audio_digest(RECORDING) == AUDIO
    assert label_digest(RECORDING) == LABEL


CHANGES = {
    "recording_id": "other", "uri": "other", "duration_ms": 7, "regions": ((0, 11),),
    "speaker": None, "language": "de", "license": None, "split": "test", "metadata": "{}",
}  # fmt: skip
ITEM_CHANGES = {
    "item_id": "other", "start_ms": 99, "end_ms": 201, "task": "aqa", "text": "other",
    "question": None, "answer": "other", "speaker": None, "language": "de", "license": None,
    "split": "test", "metadata": "{}", "channel": 0,
}  # fmt: skip


def test_all_changes_are_tried() -> None:
    assert {*CHANGES, "items"} == {f.name for f in fields(Recording)}
    assert set(ITEM_CHANGES) == {f.name for f in fields(Item)}


@pytest.mark.parametrize("name", CHANGES)
def test_digests_see_what_they_should(name: str) -> None:
    changed = replace(RECORDING, **{name: CHANGES[name]})
    assert label_digest(changed) != label_digest(RECORDING)
    audio = audio_digest(changed) != audio_digest(RECORDING)
    assert audio == (name in ("recording_id", "regions"))


@pytest.mark.parametrize("name", ITEM_CHANGES)
def test_digests_see_changed_items(name: str) -> None:
    changed = replace(RECORDING, items=(replace(ITEM, **{name: ITEM_CHANGES[name]}),))
    assert label_digest(changed) != label_digest(RECORDING)
    audio = audio_digest(changed) != audio_digest(RECORDING)
    assert audio == (name in ("start_ms", "end_ms", "channel"))


@given(RECORDINGS, RECORDINGS)
def test_same_label_digest_only_for_the_same(one: Recording, two: Recording) -> None:
    assert (label_digest(one) == label_digest(two)) == (one == two)
