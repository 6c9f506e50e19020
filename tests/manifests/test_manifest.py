"""JSONL manifests as sources."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.manifests.support import Length, reasons, scan, uris, wav_bytes, write_lines, write_wav
from tests.support import audio_folder
from wavemill.manifests.cache import HashCache
from wavemill.manifests.scan import scan_sources


@pytest.fixture(autouse=True)
def ten_seconds(tmp_path: Path) -> str:
    return write_wav(tmp_path / "a.wav", 10_000)


def scan_lines(folder: Path, *lines: dict[str, Any] | str, name: str = "m.jsonl"):  # type: ignore[no-untyped-def]
    return scan(write_lines(folder / name, lines))


def test_nemo_manifest(tmp_path: Path, ten_seconds: str) -> None:
    # NeMo's ASR manifests end in .json, name files relative to their folder or absolutely.
    found = scan_lines(
        tmp_path,
        {"audio_filepath": "a.wav", "text": "the transcription", "offset": 3.45, "duration": 1.45},
        {"audio_filepath": ten_seconds, "duration": 3.45, "text": "first", "lang": "en"},
        name="train_manifest.json",
    )
    assert found.errors == []
    [recording] = found.recordings
    assert recording.uri == ten_seconds
    first, second = recording.items
    assert (first.start_ms, first.end_ms, first.text, first.language) == (0, 3450, "first", "en")
    assert (second.start_ms, second.end_ms) == (3450, 4900)
    assert (second.text, second.task) == ("the transcription", "asr")


def test_nemo_translation_manifest(tmp_path: Path, ten_seconds: str) -> None:
    line = {
        "audio_filepath": ten_seconds,
        "text": "hallo",
        "duration": 3.5,
        "source_lang": "en",
        "target_lang": "de",
        "task": "AST",
        "pnc": "yes",
    }
    found = scan_lines(tmp_path, line)
    assert found.recordings == []
    [error] = found.errors  # no corpus could say what was asked of the model
    assert error.reason == "bad_field"
    assert "'ast' needs a question" in error.message
    [recording] = scan_lines(tmp_path, line | {"question": "Translate to German."}).recordings
    [item] = recording.items
    assert (item.task, item.language) == ("ast", "en")
    assert json.loads(item.metadata) == {"pnc": "yes", "target_lang": "de"}


def test_a_question_that_is_missing(tmp_path: Path, ten_seconds: str) -> None:
    [error] = scan_lines(tmp_path, {"audio": ten_seconds, "answer": "a dog"}).errors
    assert "'aqa' needs a question" in error.message


def test_all_fields(tmp_path: Path) -> None:
    line = {
        "audio": "a.wav",
        "question": "Which digit?",
        "answer": "7",
        "text": "seven",
        "speaker": 1263,
        "language": "en",
        "license": "CC-BY-4.0",
        "offset": 0.5,
        "duration": 0.25,
        "split": "test",
        "zeta": [1, None],
        "alpha": "ä",
    }
    [recording] = scan_lines(tmp_path, line).recordings
    [item] = recording.items
    assert (item.start_ms, item.end_ms, item.task) == (500, 750, "aqa")
    assert (item.question, item.answer, item.text) == ("Which digit?", "7", "seven")
    assert (item.speaker, item.language, item.license) == ("1263", "en", "CC-BY-4.0")
    assert item.split == "test"
    assert item.metadata == '{"alpha": "ä", "zeta": [1, null]}'
    assert len(item.item_id) == 32


def test_whole_recording_where_no_span_is_given(tmp_path: Path, ten_seconds: str) -> None:
    [recording] = scan_lines(
        tmp_path,
        {"audio": ten_seconds, "text": "all"},
        {"audio": "a.wav", "text": "x", "offset": 9},
    ).recordings
    assert [(i.start_ms, i.end_ms) for i in recording.items] == [(0, 10_000), (9_000, 10_000)]


def test_lines_without_labels_restrict_regions(tmp_path: Path) -> None:
    found = scan_lines(
        tmp_path,
        {"audio": "a.wav", "offset": 6, "duration": 1, "speaker": "B", "x": 1},
        {"audio": "a.wav", "offset": 1.5, "duration": 1, "speaker": "A", "license": "CC0", "x": 2},
        {"audio": "a.wav", "offset": 2, "duration": 1, "text": "  ", "y": 3, "task": "asr"},
    )
    [recording] = found.recordings
    assert not recording.labelled
    assert recording.regions == ((1500, 3000), (6000, 7000))
    assert (recording.speaker, recording.license) == ("B", "CC0")  # the first line that says it
    assert json.loads(recording.metadata) == {"x": 1, "y": 3, "task": "asr"}


def test_regions_that_are_everything(tmp_path: Path, ten_seconds: str) -> None:
    for lines in (
        [{"audio": ten_seconds}],
        [{"audio": ten_seconds, "duration": 10.04}],
        [{"audio": ten_seconds, "duration": 5}, {"audio": ten_seconds, "offset": 5}],
        [{"audio": ten_seconds, "duration": 5}, {"audio": ten_seconds}],
    ):
        [recording] = scan_lines(tmp_path, *lines).recordings
        assert recording.regions == ()


def test_labels_win_over_unlabelled_spans_and_it_is_said(tmp_path: Path) -> None:
    found = scan_lines(
        tmp_path,
        {"audio": "a.wav", "duration": 1, "text": "one"},
        {"audio": "a.wav", "offset": 5, "duration": 1},
    )
    [recording] = found.recordings
    assert len(recording.items) == 1
    assert recording.regions == ()
    assert "labelled and unlabelled spans: 1;" in found.notes[0]


def test_same_statement_twice_is_one_item(tmp_path: Path, ten_seconds: str) -> None:
    line = {"audio": ten_seconds, "text": "hello", "duration": 10}
    [recording] = scan_lines(tmp_path, line, line, line | {"duration": None}).recordings
    assert len(recording.items) == 1


def test_folder_and_manifest_are_one_recording(tmp_path: Path, ten_seconds: str) -> None:
    manifest = write_lines(tmp_path / "m.jsonl", [{"audio": "a.wav", "text": "hello"}])
    other = write_wav(tmp_path / "b.wav", value=2)
    found = scan(tmp_path, manifest)
    assert uris(found) == [ten_seconds, other]
    assert found.duplicates == 0
    assert {r.uri: r.labelled for r in found.recordings} == {ten_seconds: True, other: False}


def test_label_on_a_copy_is_about_the_recording(tmp_path: Path, ten_seconds: str) -> None:
    write_wav(tmp_path / "z" / "copy.wav", 10_000)
    manifest = write_lines(tmp_path / "m.jsonl", [{"audio": "z/copy.wav", "text": "hello"}])
    [recording] = scan(tmp_path, manifest).recordings
    assert (recording.uri, recording.labelled) == (ten_seconds, True)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "bad_manifest_line"),
        ("not json", "bad_manifest_line"),
        ("[1, 2]", "bad_manifest_line"),
        ("3", "bad_manifest_line"),
        ("{}", "bad_manifest_line"),
        ("[" * 100_000, "bad_manifest_line"),
        ('{"audio": "a.wav", "x": Infinity}', "bad_field"),
        ('{"audio": "a.wav", "offset": Infinity}', "bad_field"),
        ('{"audio": "a.wav", "text": "\\ud83d"}', "bad_manifest_line"),
        ('{"audio": "a.wav", "x": 1e999}', "bad_field"),
        ({"audio": 7}, "bad_field"),
        ({"audio": ""}, "bad_field"),
        ({"audio": {"path": 7}}, "bad_field"),
        ({"audio": {"path": "a.wav", "bytes": "UklGRg=="}}, "bad_field"),
        ({"audio": "a.wav", "offset": "abc"}, "bad_field"),
        ({"audio": "a.wav", "offset": "1,234"}, "bad_field"),
        ({"audio": "a.wav", "offset": True}, "bad_field"),
        ({"audio": "a.wav", "offset": -0.5}, "bad_field"),
        ({"audio": "a.wav", "offset": 1e30}, "bad_field"),
        ({"audio": "a.wav", "duration": -1}, "bad_field"),
        ({"audio": "a.wav", "duration": 0}, "bad_field"),
        ({"audio": "a.wav", "duration": [1]}, "bad_field"),
        ({"audio": "a.wav", "text": True}, "bad_field"),
        ({"audio": "a.wav", "text": ["x"]}, "bad_field"),
        ({"audio": "a.wav", "answer": ["a"]}, "bad_field"),
        ({"audio": "a.wav", "speaker": {}}, "bad_field"),
        ({"audio": "a.wav", "text": "x", "offset": 9.5, "duration": 1}, "beyond_end"),
        ({"audio": "a.wav", "offset": 10, "duration": 1}, "beyond_end"),
        ({"audio": "a.wav", "text": "x", "offset": 10}, "beyond_end"),
        ({"audio": "gone.wav", "text": "x"}, "file_missing"),
        ({"audio": "a\0.wav", "text": "x"}, "file_missing"),
        ({"audio": "a.wav/b.wav"}, "file_missing"),
        ({"audio": ".", "text": "x"}, "not_a_file"),
        ({"audio": "nosuch://bucket/a.wav"}, "source_not_allowed"),
    ],
)
def test_bad_line_is_one_row_and_harms_no_other(
    tmp_path: Path, line: dict[str, Any] | str, reason: str
) -> None:
    good = {"audio": "a.wav", "text": "good", "duration": 1}
    found = scan_lines(tmp_path, good, "", line, good | {"offset": 1})
    assert reasons(found) == [(f"{tmp_path}/m.jsonl:3", reason)]
    assert found.errors[0].message
    [recording] = found.recordings
    assert [i.start_ms for i in recording.items] == [0, 1000]


def test_messages_hold_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    line = {"audio": "a.wav", "text": ["\x1b[2J"], "start\x1b": "x"}
    transformed = {"sources": [{"type": "file", "source": "a.wav"}], "transforms": ["\x1b[2J"]}
    found = scan_lines(
        tmp_path, line, line | {"text": "x"}, {"audio": "x://\x1b[2J"}, transformed, "\x1b"
    )
    assert len(found.errors) == 5
    assert all(error.message.isprintable() for error in found.errors)


def test_metadata_of_many_lines_adds_up_and_the_first_wins(tmp_path: Path) -> None:
    lines = [{"audio": "a.wav", "x": n, f"k{n}": n} for n in range(500)]
    [recording] = scan_lines(tmp_path, *lines).recordings
    assert json.loads(recording.metadata) == {"x": 0} | {f"k{n}": n for n in range(500)}


def test_bytes_that_are_not_utf8_spoil_one_line(tmp_path: Path) -> None:
    good = json.dumps({"audio": "a.wav", "text": "gut \u2028 \x85"}, ensure_ascii=False).encode()
    path = tmp_path / "m.jsonl"
    bom = b"\xef\xbb\xbf"
    path.write_bytes(bom + good + b'\r\n{"audio": "a.wav", "text": "\xff"}\r\n')
    found = scan(path)
    assert [i.text for i in found.recordings[0].items] == ["gut \u2028 \x85"]
    assert reasons(found) == [(f"{path}:2", "bad_manifest_line")]


def test_recording_all_of_whose_lines_are_bad(tmp_path: Path) -> None:
    line = {"audio": "a.wav", "text": "x", "offset": 20}
    manifest = write_lines(tmp_path / "m.jsonl", [line])
    assert scan(manifest).recordings == []  # never the whole recording in place of the bad span
    [recording] = scan(manifest, tmp_path).recordings  # found by itself, too
    assert not recording.labelled


def test_times_are_rounded_to_milliseconds(tmp_path: Path) -> None:
    line = {"audio": "a.wav", "text": "x", "offset": 1.00049, "duration": 1.00049}
    [recording] = scan_lines(tmp_path, line).recordings
    assert [(i.start_ms, i.end_ms) for i in recording.items] == [(1000, 2001)]


def test_end_within_tolerance_is_cut(tmp_path: Path) -> None:
    found = scan_lines(tmp_path, {"audio": "a.wav", "text": "x", "offset": 9, "duration": 1.1})
    assert [(i.start_ms, i.end_ms) for i in found.recordings[0].items] == [(9000, 10_000)]


def test_missing_file_named_by_many_lines_is_one_row(tmp_path: Path) -> None:
    lines = [{"audio": "gone.wav", "text": str(n), "offset": n} for n in range(50)]
    found = scan_lines(tmp_path, {"audio": "a.wav"}, *lines)
    [error] = found.errors
    assert error.source == f"{tmp_path}/m.jsonl:2"
    assert "gone.wav" in error.message
    assert "50 lines" in error.message


def test_bad_audio_named_by_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no audio", encoding="utf-8")
    lines = [{"audio": n, "text": "x"} for n in ("empty.wav", "text.wav", "empty.wav")]
    found = scan_lines(tmp_path, *lines)
    assert found.recordings == []
    assert reasons(found) == [
        (f"{tmp_path}/empty.wav", "empty_file"),
        (f"{tmp_path}/text.wav", "not_audio"),
    ]


def test_gzip(tmp_path: Path) -> None:
    lines = [json.dumps({"audio": "a.wav", "text": f"{n}", "offset": n}) for n in range(9)]
    content = gzip.compress("".join(f"{line}\n" for line in lines).encode())
    path = tmp_path / "m.jsonl.gz"
    path.write_bytes(content)
    assert len(scan(path).recordings[0].items) == 9
    path.write_bytes(content[:-4])
    found = scan(path)
    assert reasons(found) == [(str(path), "bad_manifest")]
    assert len(found.recordings[0].items) == 9
    path.write_bytes(b"no gzip")
    assert reasons(scan(path)) == [(str(path), "bad_manifest")]


def test_json_that_is_not_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text('{\n"audio": "a.wav"\n}', encoding="utf-8")
    assert reasons(scan(path)) == [(str(path), "bad_manifest")]


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_manifest_without_lines(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(text, encoding="utf-8")
    assert reasons(scan(path)) == [(str(path), "no_audio_found")]


def test_real_transcripts() -> None:
    folder = audio_folder() / "read"
    manifest = str(folder / "transcripts.jsonl")

    def probe(_uri: str) -> Length:
        return Length(60_000)

    raw = scan_sources([str(folder)], probe, HashCache())
    assert not any(r.labelled for r in raw.recordings)
    assert any(manifest in note for note in raw.notes)
    labelled = scan_sources([str(folder), manifest], probe, HashCache())
    assert [r.recording_id for r in labelled.recordings] == [r.recording_id for r in raw.recordings]
    assert all(r.labelled for r in labelled.recordings)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    (
        *("audio", "audio_filepath", "text", "answer", "offset", "duration", "task", "sources"),
        *("type", "recording", "supervisions", "recording_id", "id", "start", "custom", "tracks"),
    )
)


@settings(max_examples=150, deadline=None)
@given(lines=st.lists(st.dictionaries(FIELDS, JSON, max_size=6) | JSON, max_size=4))
def test_any_json_is_survived(tmp_path_factory: pytest.TempPathFactory, lines: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "a.wav").write_bytes(wav_bytes(1000))
    good = {"audio": "a.wav", "text": "good"}
    path = folder / "m.jsonl"
    texts = [json.dumps(line) for line in [good, *lines]]
    path.write_text("\n".join(texts), encoding="utf-8")
    found = scan(path)
    [recording] = found.recordings
    assert "good" in [item.text for item in recording.items]
