"""Manifest lines as pandas, spreadsheets and other people's tools write them."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.manifests.support import reasons, scan, write_lines, write_wav
from wavemill.manifests.labels import Origin, parse_label
from wavemill.manifests.reasons import EntryError
from wavemill.manifests.values import cached_by_text, seconds

ORIGIN = Origin("m.jsonl", 1)
NAN = float("nan")


def label(**fields: Any) -> Any:
    return parse_label({"audio": "a.wav", **fields}, ORIGIN)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1984, "1984"), (1984.0, "1984"), (0, "0"), (2.5, "2.5"), (10**400, str(10**400)),
        (" a ", " a "), ("none", "none"), ("null", "null"), ("NA", "NA"), ("true", "true"),
        ("", None), (" \t", None), (None, None), (NAN, None), ("nan", None), ("NaN", None),
        ("<NA>", None), ("None", None),
    ],
)  # fmt: skip
def test_texts(value: Any, text: str | None) -> None:
    assert label(text=value).text == text


def test_none_is_an_answer() -> None:
    assert label(question="How many dogs?", answer="None").answer == "None"
    assert label(question="How many dogs?", answer=0).answer == "0"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (12, "12"), (12.0, "12"), ("12.0", "12.0"), (1e22, "1e+22"), ("Ann", "Ann"), (0, "0"),
        (None, None), (NAN, None), ("nan", None), ("NaN", None), ("None", None), ("null", None),
        ("N/A", None), ("NA", None), ("#N/A", None), ("", None), (" ", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["speaker", "license", "split"])
def test_names(field: str, value: Any, name: str | None) -> None:
    assert getattr(label(text="x", **{field: value}), field) == name


@pytest.mark.parametrize("value", [True, ["x"], {"a": 1}, float("inf")])
@pytest.mark.parametrize("field", ["text", "answer", "speaker", "license"])
def test_what_is_no_text_is_refused(field: str, value: Any) -> None:
    with pytest.raises(EntryError, match=f"{field} must be a text"):
        label(**{"text": "x", "question": "?", field: value})


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("1.78", 1.78), (" 1.78 ", 1.78), ("+3", 3), ("1e1", 10), (".5", 0.5), ("0,5", 0.5),
        ("12,75", 12.75), ("0,500", 0.5), ("1,2345", 1.2345), ("0:01:02.5", 62.5),
        ("01:00:00,250", 3600.25), (7, 7),
    ],
)  # fmt: skip
def test_seconds(value: Any, wanted: float) -> None:
    assert seconds(value, "offset") == wanted


@pytest.mark.parametrize(
    "value",
    [
        "1,234", "1,234.5", "1.2.3", "5 s", "soon", "1_0", "٣", "1:30", "inf", "Infinity", "0x10",
        "9" * 100, True, False, [1], {}, float("inf"), -float("inf"), NAN, 10**400, -(10**400),
        1e30,
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(EntryError, match=r"^offset "):
        seconds(value, "offset")


@pytest.mark.parametrize("value", [None, NAN, "", " ", "nan", "None", "null", "NaN"])
def test_times_that_are_not_there(value: Any) -> None:
    found = label(text="x", offset=value, duration=value)
    assert (found.start_ms, found.end_ms) == (0, None)


@pytest.mark.parametrize(
    ("fields", "column", "value"),
    [
        ({"transcript": "hi"}, "text", "hi"),
        ({"transcription": "hi"}, "text", "hi"),
        ({"sentence": "hi"}, "text", "hi"),
        ({"Text": "hi"}, "text", "hi"),
        ({"TEXT": "hi"}, "text", "hi"),
        ({"text": "", "transcript": "hi"}, "text", "hi"),
        ({"text": NAN, "sentence": 7}, "text", "7"),
        ({"text": "hi", "speaker_id": 3.0}, "speaker", "3"),
        ({"text": "hi", "speakerId": "s"}, "speaker", "s"),
        ({"text": "hi", "Speaker ID": "s"}, "speaker", "s"),
        ({"text": "hi", "client_id": "s"}, "speaker", "s"),
        ({"text": "hi", "locale": "en"}, "language", "en"),
        ({"text": "hi", "languageCode": "en"}, "language", "en"),
    ],
)
def test_other_names_of_columns(fields: dict[str, Any], column: str, value: str) -> None:
    found = label(**fields)
    assert getattr(found, column) == value
    assert found.metadata == "{}"


def test_the_name_of_the_column_itself_goes_first_and_the_others_are_kept() -> None:
    found = label(text="one", transcript="two", Text="three", speaker="a", speaker_id="b")
    assert (found.text, found.speaker) == ("one", "a")
    assert json.loads(found.metadata) == {"Text": "three", "speaker_id": "b", "transcript": "two"}


def test_lines_that_were_right_before_say_the_same() -> None:
    """What the digests of old builds were made of: metadata byte for byte."""
    lines: dict[str, dict[str, Any]] = {
        '{"pnc": "yes"}': {"text": "x", "lang": "en", "pnc": "yes"},
        '{"lang": "de"}': {"text": "x", "source_lang": "en", "lang": "de"},
        '{"lang": null, "x": null}': {"text": "x", "lang": None, "x": None},
        "{}": {"text": "x", "lang": "", "speaker": None, "split": " "},
        '{"end": 3, "start": 1}': {"text": "x", "offset": 1, "duration": 2, "start": 1, "end": 3},
        '{"path": "b.wav"}': {"text": "x", "path": "b.wav"},
        '{"audio_length": 3, "num_samples": 9}': {"text": "x", "audio_length": 3, "num_samples": 9},
        '{"length": 2}': {"text": "x", "duration": 2, "length": 2},
        '{"channel": "7 News"}': {"text": "x", "channel": "7 News"},
        '{"question": "Q?", "task": "ASR"}': {"task": "ASR", "question": "Q?"},
    }
    for metadata, fields in lines.items():
        assert label(**fields).metadata == metadata


def test_long_names_are_not_remembered() -> None:
    calls: list[str] = []
    function = cached_by_text(lambda text: calls.append(text) or len(text))  # type: ignore[func-returns-value]
    for text in ("start", "x" * 1000):
        assert [function(text), function(text)] == [len(text)] * 2
    assert calls == ["start", "x" * 1000, "x" * 1000]


def files(folder: Path, *lines: Any) -> list[str | None]:
    found = scan(write_lines(folder / "m.jsonl", lines))
    assert found.errors == []
    return sorted(str(item.text) for r in found.recordings for item in r.items)


def test_other_names_of_the_audio(tmp_path: Path) -> None:
    names = ["path", "wav", "file", "file_name", "filename", "audio_path", "wav_filename", "Audio"]
    lines = []
    for n, name in enumerate(names):
        write_wav(tmp_path / f"{n}.wav", 1000, n)
        lines.append({name: f"{n}.wav", "text": name})
    assert files(tmp_path, *lines) == sorted(names)


def test_audio_as_datasets_of_hugging_face_have_it(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav")
    line = {"audio": {"path": "a.wav", "bytes": None}, "path": "gone.wav", "text": "x"}
    assert files(tmp_path, line) == ["x"]


def test_a_nan_is_nothing_and_a_comma_too_many_does_no_harm(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 9000)
    start = '{"audio": "a.wav", "duration": 1, "speaker": NaN, "x": [NaN, ",}"]'
    lines = [f'{start}, "text": "{n}"{end}' for n, end in enumerate(("}", ",}", "},", ", } , "))]
    assert files(tmp_path, *lines) == ["0", "1", "2", "3"]
    found = scan(str(tmp_path / "m.jsonl"))
    assert {i.metadata for i in found.recordings[0].items} == {'{"x": [null, ",}"]}'}


@settings(deadline=None)  # the names of languages are loaded at the first one
@given(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=12))
def test_any_scalar_is_taken_or_refused(value: Any) -> None:
    for field in ("text", "speaker", "offset", "start", "language", "channel", "length", "path"):
        with suppress(EntryError):
            assert label(**{"text": "x", field: value}).start_ms >= 0


def test_huge_numbers_stop_nothing(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav")
    good = {"audio": "a.wav", "text": "good"}
    bad = [f'{{"audio": "a.wav", "text": "x", "offset": {"9" * n}}}' for n in (400, 5000)]
    found = scan(write_lines(tmp_path / "m.jsonl", [good, *bad]))
    assert [reason for _, reason in reasons(found)] == ["bad_field", "bad_manifest_line"]
    assert [i.text for r in found.recordings for i in r.items] == ["good"]
