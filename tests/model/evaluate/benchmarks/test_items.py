"""Files of items: what is written is read, and what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem, Items, ItemsError, write_items
from wavemill.model.evaluate.sound import SAMPLE_RATE, UnreadableSound, decoded, encoded

TEXTS = st.lists(st.text(max_size=8), max_size=3).map(tuple)
ITEMS = st.builds(
    BenchmarkItem,
    item_id=st.text(min_size=1, max_size=5),
    audio=st.none() | st.binary(min_size=1, max_size=20),
    question=st.none() | st.text(max_size=10),
    options=TEXTS,
    references=TEXTS,
    language=st.sampled_from(["en", "zh"]),
    details=st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2),
)


@settings(deadline=None, max_examples=25)
@given(items=st.lists(ITEMS, min_size=1, max_size=70, unique_by=lambda item: item.item_id))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, items: list[BenchmarkItem]
) -> None:
    path = tmp_path_factory.mktemp("items") / "items.parquet"
    assert write_items(path, items) == len(items)
    stored = Items(path)
    assert list(stored.read()) == items
    assert stored.ids == tuple(item.item_id for item in items)
    skip = {items[0].item_id}
    assert [item.item_id for item in stored.read(skip)] == [i.item_id for i in items[1:]]
    assert all(item.audio is None for item in stored.read(sound=False))


def test_lines_name_sound_beside_them(tmp_path: Path) -> None:
    tone = np.sin(np.arange(8000, dtype=np.float32) / 10) / 2
    (tmp_path / "a.wav").write_bytes(encoded(tone, 8000, "WAV"))
    path = tmp_path / "items.jsonl"
    path.write_text(
        '{"item_id": "a", "audio": "a.wav", "references": ["x"], "details": {"k": 1}}\n',
        encoding="utf-8",
    )
    (item,) = Items(path).read()
    assert item.audio is not None
    heard = decoded(item.audio)
    assert len(heard) == SAMPLE_RATE
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    assert item.details == {"k": 1}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['{"item_id": "a"}', '{"item_id": "a"}'], "two items are called 'a'"),
        (['{"item_id": "a"}', "nonsense"], "line 2 is not JSON"),
        (['{"audio": "a.wav"}'], "line 1: needs a string 'item_id'"),
        (['{"item_id": "a", "answer": "x"}'], "there is no key 'answer'"),
        ([""], "has no items"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, lines: list[str], said: str) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ItemsError, match=said):
        Items(path)


@pytest.mark.parametrize(
    ("values", "said"),
    [({"audio": "no.wav"}, "No such file"), ({"references": "text"}, "lists of strings")],
)
def test_wrong_items_are_named(tmp_path: Path, values: dict[str, object], said: str) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text(json.dumps({"item_id": "a7", **values}), encoding="utf-8")
    with pytest.raises(ItemsError, match=f"'a7'.*{said}"):
        list(Items(path).read())


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(ItemsError, match="is not a Parquet file"):
        Items(path)


def test_sound_that_is_none_says_so() -> None:
    with pytest.raises(UnreadableSound, match="no readable sound"):
        decoded(b"nothing that sounds")
    with pytest.raises(UnreadableSound, match="no samples"):
        decoded(encoded(np.zeros(0, np.float32), 16_000, "WAV"))
