"""Labels that are about one channel of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.manifests.support import CountingProbe, reasons, scan, write_lines, write_wav
from wavemill.manifests.cache import HashCache
from wavemill.manifests.scan import scan_sources
from wavemill.pipeline.store import Store


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    write_wav(tmp_path / "mono.wav", 2000)
    write_wav(tmp_path / "st.wav", 2000, 2, channels=2)
    write_wav(tmp_path / "four.wav", 2000, 3, channels=4)
    return tmp_path


def channels(folder: Path, *lines: dict[str, Any]) -> list[tuple[str | None, int | None]]:
    """Return (text, channel) of the items of a manifest without errors."""
    found = scan(write_lines(folder / "m.jsonl", lines))
    assert found.errors == []
    items = [i for r in found.recordings for i in r.items]
    return sorted(((i.text, i.channel) for i in items), key=repr)


def test_one_span_on_each_channel_and_on_all(audio: Path) -> None:
    line = {"audio": "st.wav", "duration": 1, "text": "yes"}
    lines = [line, line | {"channel": 0}, line | {"channel": 1, "text": "no"}]
    assert channels(audio, *lines) == [("no", 1), ("yes", 0), ("yes", None)]


def test_the_only_channel_is_the_whole_file(audio: Path) -> None:
    plain = scan(write_lines(audio / "a.jsonl", [{"audio": "mono.wav", "text": "x"}]))
    named = scan(write_lines(audio / "b.jsonl", [{"audio": "mono.wav", "text": "x", "channel": 0}]))
    (one,), (two,) = plain.recordings[0].items, named.recordings[0].items
    assert (one.item_id, one.channel) == (two.item_id, two.channel)
    assert json.loads(two.metadata) == {"channel": 0}


@pytest.mark.parametrize("value", ["7 News", True, 1.5, None, {"a": 1}])
def test_what_is_no_number_is_something_else(audio: Path, value: Any) -> None:
    line = {"audio": "st.wav", "text": "x", "channel": value}
    assert channels(audio, line) == [("x", None)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"audio": "st.wav", "text": "x", "channel": 2}, "no_such_channel"),
        ({"audio": "mono.wav", "text": "x", "channel": 1}, "no_such_channel"),
        ({"audio": "mono.wav", "channel": 1}, "no_such_channel"),
        ({"audio": "st.wav", "text": "x", "channel": -1}, "bad_field"),
        ({"audio": "st.wav", "text": "x", "channel": 10**400}, "bad_field"),
        ({"audio": "st.wav", "channel": 1}, "unsupported_channel"),
    ],
)
def test_a_channel_that_cannot_be_read_is_a_row(
    audio: Path, line: dict[str, Any], reason: str
) -> None:
    good = {"audio": "four.wav", "text": "good"}
    found = scan(write_lines(audio / "m.jsonl", [line, good]))
    assert reasons(found) == [(f"{audio}/m.jsonl:1", reason)]
    assert [i.text for r in found.recordings for i in r.items] == ["good"]


def lhotse(name: str, ids: list[int] | None) -> dict[str, Any]:
    source = {"type": "file", "source": name} | ({} if ids is None else {"channels": ids})
    return {"id": name, "sources": [source], "sampling_rate": 8000, "duration": 2.0}


def spoken(channel: Any) -> dict[str, Any]:
    return {"id": "s", "recording_id": "st.wav", "start": 0.0, "duration": 1.0} | {
        "channel": channel,
        "text": "yes",
    }


def cut(recording: dict[str, Any], of_cut: Any, *of_supervisions: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "start": 0,
        "duration": 2.0,
        "channel": of_cut,
        "type": "MultiCut" if isinstance(of_cut, list) else "MonoCut",
        "recording": recording,
        "supervisions": [spoken(channel) for channel in of_supervisions],
    }


@pytest.mark.parametrize(
    ("line", "channel"),
    [
        (cut(lhotse("st.wav", [0, 1]), [0, 1], 1), 1),
        (cut(lhotse("st.wav", [0, 1]), [0, 1], [0]), 0),
        (cut(lhotse("st.wav", [0, 1]), [0, 1], [0, 1]), None),
        (cut(lhotse("st.wav", [0, 1]), [0, 1], None), None),
        (cut(lhotse("st.wav", [0, 1]), 1, 1), 1),
        (cut(lhotse("st.wav", [0, 1]), 1, [0, 1]), 1),
        (cut(lhotse("st.wav", [0, 1]), 1, None), 1),
        (cut(lhotse("st.wav", [4, 2]), [2, 4], 4), 0),  # what a recording calls its channels
        (cut(lhotse("st.wav", None), None, 1), 1),
        (cut(lhotse("mono.wav", [3]), 3, 3), None),
        (cut(lhotse("four.wav", [0, 1, 2, 3]), [1, 2], 2), 2),
    ],
)
def test_lhotse_supervisions_get_their_channel(
    audio: Path, line: dict[str, Any], channel: int | None
) -> None:
    assert channels(audio, line) == [("yes", channel)]


@pytest.mark.parametrize(
    "line",
    [
        cut(lhotse("st.wav", [0, 1]), 0, 1),  # a supervision of what is not in its cut
        cut(lhotse("st.wav", [0, 1]), [0, 1], 2),
        cut(lhotse("four.wav", [0, 1, 2, 3]), [0, 1], [0, 1]),  # neither one nor all
        cut(lhotse("st.wav", [0, 1]), 1),  # no transcript
    ],
)
def test_lhotse_channels_that_cannot_be_read(audio: Path, line: dict[str, Any]) -> None:
    found = scan(write_lines(audio / "m.jsonl", [line, {"audio": "mono.wav", "text": "good"}]))
    assert reasons(found) == [(f"{audio}/m.jsonl:1", "unsupported_channel")]
    assert [i.text for r in found.recordings for i in r.items] == ["good"]


def test_lhotse_supervisions_of_their_own(audio: Path) -> None:
    recording = lhotse("st.wav", [0, 1])
    lines = [recording, spoken(1), spoken(0) | {"text": "no"}]
    assert channels(audio, *lines) == [("no", 0), ("yes", 1)]


def test_ids_of_items_without_a_channel_are_as_before(audio: Path) -> None:
    found = scan(write_lines(audio / "m.jsonl", [{"audio": "st.wav", "text": "x"}]))
    (item,) = found.recordings[0].items
    assert item.item_id == "c40e1e963c793d2604b4136bcb7be1d5"


def test_a_cache_without_channels_is_not_used(audio: Path) -> None:
    """Earlier versions did not store them; all files are read again."""
    store = Store.open(str(audio / "work"))
    lines = write_lines(
        audio / "m.jsonl",
        [{"audio": "st.wav", "text": "x", "channel": 1}, {"audio": "mono.wav", "text": "y"}],
    )
    scan(lines, cache=HashCache.load(store, "cache.parquet"))
    path = audio / "work" / "cache.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["channels"]), path, write_page_checksum=True)
    probe = CountingProbe()
    found = scan_sources([lines], probe, HashCache.load(store, "cache.parquet"))
    assert sorted(probe.asked) == [str(audio / "mono.wav"), str(audio / "st.wav")]
    assert sorted((i.text, i.channel) for r in found.recordings for i in r.items) == [
        ("x", 1),
        ("y", None),
    ]
    assert pa.types.is_int16(pq.read_schema(path).field("channels").type)


@pytest.mark.parametrize(
    ("fields", "channel"),
    [
        ({"channel": "1"}, 1),
        ({"channel": 1.0}, 1),
        ({"channel": [1]}, 1),
        ({"Channel": "01"}, 1),
        ({"channel": "right"}, 1),
        ({"channel": "nan"}, None),
        ({"channel_selector": 1}, 1),
        ({"channel_selector": "0"}, 0),
        ({"channel_selector": "average"}, None),
        ({"channel_selector": None, "channel_index": 1}, 1),
        ({"channels": 2, "num_channels": 2}, None),
    ],
)
def test_numbers_and_names_of_channels_as_tools_write_them(
    audio: Path, fields: dict[str, Any], channel: int | None
) -> None:
    assert channels(audio, {"audio": "st.wav", "text": "x", **fields}) == [("x", channel)]


@pytest.mark.parametrize("value", [[0, 1], "first", True, {}, 0.5])
def test_a_selector_that_selects_no_one_channel_is_a_row(audio: Path, value: Any) -> None:
    line = {"audio": "st.wav", "text": "x", "channel_selector": value}
    found = scan(write_lines(audio / "m.jsonl", [line]))
    assert reasons(found) == [(f"{audio}/m.jsonl:1", "unsupported_channel")]
