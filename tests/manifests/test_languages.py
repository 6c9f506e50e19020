"""Languages as people name them, and what becomes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.manifests.support import scan, wav_bytes, write_lines, write_tar, write_wav
from wavemill.manifests.languages import language_code


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("en", "en EN eng ENG English english en-US en_US en-us.UTF-8 English_US Englisch"),
        ("zh", "zh cmn chi zho Chinese Mandarin zh-CN zh_TW zh-Hans-CN cmn_hans_cn 中文 普通话"),
        ("de", "de deu ger German Deutsch de_DE@euro de-AT"),
        ("yue", "yue Cantonese zh-yue zh-yue-HK"),
        ("he", "he iw heb Hebrew"),
        ("tl", "tl tgl fil Filipino Tagalog"),
        ("ar", "ar arb ara Arabic ar-EG"),
        ("haw", "haw Hawaiian"),
        ("no", "no nor Norwegian"),
        ("pt", "pt por pt-BR Portuguese Português"),
    ],
)
def test_one_code_for_all_names(code: str, names: str) -> None:
    assert {name: language_code(name) for name in names.split()} == dict.fromkeys(
        names.split(), code
    )


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (" en ", "en"),
        ("US English", "en"),
        ("English (United States)", "en"),
        ("Mandarin Chinese", "zh"),
        ("Chinese (Simplified)", "zh"),
        ("Spanish; Castilian", "es"),
        ("Greek, Modern", "el"),
        ("Norwegian Bokmål", "nb"),
    ],
)
def test_names_of_several_words(name: str, code: str) -> None:
    assert language_code(name) == code


@pytest.mark.parametrize(
    "name",
    [
        *("", "xx", "qaa", "x-mine", "und", "mul", "zxx", "mis", "unknown", "multilingual", "e"),
        *("en,zh", "English and Spanish", "english-spanish", "Hindi/Urdu", "19", "C", "a" * 5000),
    ],
)
def test_what_is_no_one_language(name: str) -> None:
    assert language_code(name) is None


@settings(deadline=None)  # the names are loaded at the first one
@given(st.text(max_size=30))
def test_any_text_has_a_code_or_none(text: str) -> None:
    code = language_code(text)
    assert code is None or (2 <= len(code) <= 8 and code.isalpha() and code.islower())
    if code is not None:
        assert language_code(code) == code


def test_raw_and_labelled_lines_lhotse_and_tar(tmp_path: Path) -> None:
    for n in range(3):
        write_wav(tmp_path / f"{n}.wav", 1000, n)
    recording = {"id": "r", "sources": [{"type": "file", "channels": [0], "source": "2.wav"}]}
    supervision = {"id": "s", "recording_id": "r", "start": 0, "duration": 1.0, "text": "x"}
    manifest = write_lines(
        tmp_path / "m.jsonl",
        [
            {"audio": "0.wav", "language": "zh-CN"},
            {"audio": "1.wav", "text": "x", "lang": "EN"},
            recording,
            supervision | {"channel": 0, "language": "English"},
        ],
    )
    members = {"a.wav": wav_bytes(1000, 7), "a.json": b'{"text": "x", "language": "deu"}'}
    tar = write_tar(tmp_path / "s.tar", members)
    found = scan(manifest, tar)
    assert found.errors == []
    assert found.notes == []
    about = {
        Path(r.uri).name: [(i.language, json.loads(i.metadata)) for i in (r.items or [r])]  # type: ignore[list-item]
        for r in found.recordings
    }
    assert about == {
        "0.wav": [("zh", {"language": "zh-CN"})],
        "1.wav": [("en", {"lang": "EN"})],
        "2.wav": [("en", {"id": "s", "language": "English"})],
        "s.tar#a.wav": [("de", {"language": "deu"})],
    }


def test_an_unknown_language_loses_nothing_and_is_noted(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 2000)
    line = {"audio": "a.wav", "text": "x", "duration": 1, "language": "Blargish\x1b[2J"}
    found = scan(write_lines(tmp_path / "m.jsonl", [line, line | {"offset": 1}]))
    assert found.errors == []
    [recording] = found.recordings
    assert [i.language for i in recording.items] == [None, None]
    assert json.loads(recording.items[0].metadata) == {"language": "Blargish\x1b[2J"}
    [note] = found.notes
    assert r"'Blargish\x1b[2J' (2)" in note
