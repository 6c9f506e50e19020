"""Files that a manifest names in the spelling of another system."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from tests.manifests.support import reasons, scan, uris, write_lines, write_wav

NAME = "Prüfung é 가.wav"


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_line", ["NFC", "NFD"])
def test_letters_with_marks(tmp_path: Path, on_disk: str, in_line: str) -> None:
    def spelled(form: str, text: str) -> str:
        return unicodedata.normalize(form, text)  # type: ignore[arg-type]

    path = write_wav(tmp_path / spelled(on_disk, "Größe") / spelled("NFC", NAME))
    line = {"audio": spelled(in_line, f"Größe/{NAME}"), "text": "x"}
    found = scan(write_lines(tmp_path / "m.jsonl", [line]))
    assert found.errors == []
    assert uris(found) == [path]


def test_of_two_spellings_each_is_itself(tmp_path: Path) -> None:
    lines = []
    for n, form in enumerate(("NFC", "NFD")):
        name = unicodedata.normalize(form, NAME)  # type: ignore[arg-type]
        write_wav(tmp_path / name, 1000, n)
        lines.append({"audio": name, "text": form})
    found = scan(write_lines(tmp_path / "m.jsonl", lines))
    texts = {Path(r.uri).name: r.items[0].text for r in found.recordings}
    assert texts == {line["audio"]: line["text"] for line in lines}


def test_backslashes(tmp_path: Path) -> None:
    inner = write_wav(tmp_path / "sub dir" / "a.wav", 1000, 1)
    itself = write_wav(tmp_path / "b\\c.wav", 1000, 2)
    write_wav(tmp_path / "b" / "c.wav", 1000, 3)
    marked = write_wav(tmp_path / "sub dir" / "é.wav", 1000, 4)
    names = [".\\sub dir\\a.wav", "b\\c.wav", "sub dir\\e\u0301.wav"]
    lines = [{"audio": name, "text": name} for name in names]
    found = scan(write_lines(tmp_path / "m.jsonl", lines))
    assert found.errors == []
    assert uris(found) == sorted([inner, itself, marked])


def test_what_is_not_there_in_any_spelling(tmp_path: Path) -> None:
    lines = [{"audio": name} for name in ("x\\y.wav", "é.wav", "C:\\data\\a.wav")]
    path = write_lines(tmp_path / "m.jsonl", lines)
    assert reasons(scan(path)) == [(f"{path}:{n}", "file_missing") for n in (1, 2, 3)]
