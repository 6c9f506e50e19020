"""Manifests as bytes: encodings, ends of lines, arrays, gzip, and what is too large."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.manifests.support import reasons, scan, write_wav
from wavemill.manifests.config import LineLimits, ScanConfig
from wavemill.manifests.faults import ProgramFault
from wavemill.manifests.jsonl import parse_object, read_lines
from wavemill.manifests.recording import Sources

TEXTS = ["grüß dich", "早上好", "x\u2028y", "z"]
LINES = [json.dumps({"audio": "a.wav", "text": text}, ensure_ascii=False) for text in TEXTS]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    write_wav(tmp_path / "a.wav")
    return tmp_path / "m.jsonl"


def texts(sources: Sources) -> list[str | None]:
    return sorted(str(item.text) for r in sources.recordings for item in r.items)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\n\r\n", "\n \n"])
@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"],
)
def test_encodings_and_ends_of_lines(manifest: Path, encoding: str, end: str) -> None:
    manifest.write_bytes(end.join(LINES).encode(encoding))
    found = scan(manifest)
    assert found.errors == []
    assert texts(found) == sorted(TEXTS)


def test_numbers_of_lines(manifest: Path) -> None:
    for content in (b"1\n\n2\n", b"1\r\n\r\n2", b"1\r\r2\r", b"1\r\n\r2"):
        manifest.write_bytes(content)
        assert list(read_lines(str(manifest))) == [(1, b"1"), (3, b"2")]


def test_lines_and_their_ends_across_blocks(manifest: Path) -> None:
    """Blocks of 1 MiB end within lines, and between CR and LF."""
    for size in ((1 << 20) - 2, (1 << 20) - 1, 1 << 20, 3 << 20):
        manifest.write_bytes(b"x" * size + b"\r\ny\r\n\r\nz")
        lines = [(number, len(line)) for number, line in read_lines(str(manifest))]
        assert lines == [(1, size), (2, 1), (4, 1)]


@pytest.mark.parametrize("encoding", ["latin-1", "gbk", "cp1252"])
def test_another_encoding_is_one_row(manifest: Path, encoding: str) -> None:
    lines = [LINES[3], *[LINES[1] if encoding == "gbk" else LINES[0]] * 50, LINES[3]]
    manifest.write_bytes("\n".join(lines).encode(encoding))
    found = scan(manifest)
    assert reasons(found) == [(f"{manifest}:2", "bad_manifest_line")]
    assert "not UTF-8" in found.errors[0].message
    assert "49 more lines" in found.errors[0].message
    assert texts(found) == ["z"]


@pytest.mark.parametrize("end", [b"\xd8\x00", b"\x00"])  # half a pair, half a character
def test_damaged_utf_16_is_one_row(manifest: Path, end: bytes) -> None:
    content = "\n".join(LINES).encode("utf-16-be") + end
    manifest.write_bytes(b"\xfe\xff" + content)
    assert (str(manifest), "bad_manifest") in reasons(scan(manifest))


@pytest.mark.parametrize("indent", [None, 0, 4])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_an_array(manifest: Path, indent: int | None, encoding: str) -> None:
    values = [json.loads(line) for line in LINES]
    text = "\n " + json.dumps(values, indent=indent, ensure_ascii=False) + "\n"
    manifest.write_bytes(text.encode(encoding))
    found = scan(manifest)
    assert found.errors == []
    assert texts(found) == sorted(TEXTS)


@pytest.mark.parametrize(
    ("text", "rows", "good"),
    [
        ("[]", [("", "no_audio_found")], 0),
        (f"[{LINES[0]}, 5, {LINES[1]}]", [(":2", "bad_manifest_line")], 2),
        (f"[{LINES[0]},\n{LINES[1]},\n]", [], 2),
        (f"[{LINES[0]}, NaN, {'9' * 9999}, {LINES[1]}]",
         [(":2", "bad_manifest_line"), (":3", "bad_manifest_line")], 2),
        (f"[{LINES[0]}, {{]", [("", "bad_manifest")], 1),
        (f"[{LINES[0]}", [("", "bad_manifest")], 1),
        (f"[{LINES[0]}]\n{LINES[1]}", [("", "bad_manifest")], 1),
        ("[" * 100_000, [("", "bad_manifest")], 0),
        ("[" + '{"a":' * 100_000, [("", "bad_manifest")], 0),
    ],
)  # fmt: skip
def test_what_is_wrong_in_an_array(
    manifest: Path, text: str, rows: list[tuple[str, str]], good: int
) -> None:
    manifest.write_text(text, encoding="utf-8")
    found = scan(manifest)
    assert reasons(found) == [(f"{manifest}{place}", reason) for place, reason in rows]
    assert len(texts(found)) == good


def test_an_array_larger_than_a_block(manifest: Path) -> None:
    values = [{"audio": "a.wav", "text": f"{n}", "x": "é" * 700_000} for n in range(5)]
    manifest.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    assert texts(scan(manifest)) == ["0", "1", "2", "3", "4"]


def test_a_line_that_is_too_long(manifest: Path) -> None:
    config = ScanConfig(lines=LineLimits(max_line_bytes=100))
    long = json.dumps({"audio": "a.wav", "text": "long" * 1_000_000})
    manifest.write_text("\n".join([LINES[0], long, LINES[3]]), encoding="utf-8")
    found = scan(manifest, config=config)
    assert reasons(found) == [(f"{manifest}:2", "bad_manifest_line")]
    assert "max_line_bytes" in found.errors[0].message
    assert texts(found) == sorted([TEXTS[0], TEXTS[3]])
    manifest.write_text(f"[{LINES[0]}, {long}]", encoding="utf-8")
    assert reasons(scan(manifest, config=config)) == [(str(manifest), "bad_manifest")]


def test_nesting(manifest: Path) -> None:
    deep = ['{"x":' + "[" * n + "]" * n + "}" for n in (3, 4)]
    limits = LineLimits(max_nesting=4)
    assert parse_object(deep[0].encode(), limits) == {"x": [[[]]]}
    manifest.write_text(
        "\n".join([LINES[3], '{"x":' + "[" * 500 + "]" * 500 + "}"]), encoding="utf-8"
    )
    assert reasons(scan(manifest)) == [(f"{manifest}:2", "bad_manifest_line")]
    manifest.write_text(deep[1], encoding="utf-8")
    [error] = scan(manifest, config=ScanConfig(lines=limits)).errors
    assert "max_nesting" in error.message


def test_beyond_a_number_bad_lines_are_counted_only(manifest: Path) -> None:
    config = ScanConfig(lines=LineLimits(max_bad_lines=2))
    rows = [
        (str(manifest), "bad_manifest"),
        *((f"{manifest}:{n}", "bad_manifest_line") for n in (1, 3)),
    ]
    manifest.write_text("\n".join(["{}", LINES[3], *["{}"] * 9, LINES[2]]), encoding="utf-8")
    found = scan(manifest, config=config)
    assert reasons(found) == rows
    assert found.errors[0].message.startswith("8 more bad lines")
    assert len(texts(found)) == 2
    manifest.write_text("{}\n\n{}\n{}\n", encoding="utf-8")  # no good line before so many bad ones
    found = scan(manifest, config=config)
    assert reasons(found) == rows
    assert "the rest was not read" in found.errors[0].message


def bomb(path: Path, megabytes: int, content: bytes) -> None:
    """Write a gzip file that unpacks to so many times `content` of 1 MiB."""
    with path.open("wb") as file:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        for _ in range(megabytes):
            file.write(packer.compress(content))
        file.write(packer.flush())


@pytest.mark.parametrize("content", [b"\0" * (1 << 20), b" \n" * (1 << 19), b"[" + b" " * 99])
def test_a_gzip_bomb_is_left(manifest: Path, content: bytes) -> None:
    path = manifest.with_suffix(".jsonl.gz")
    bomb(path, 64, content.ljust(1 << 20))
    limits = LineLimits(unzip_anyway_bytes=1 << 22, max_line_bytes=1 << 30)
    found = scan(path, config=ScanConfig(lines=limits))
    [error] = found.errors
    assert (error.source, error.reason) == (str(path), "bad_manifest")
    assert "max_unzip_ratio" in error.message


def test_gzip_is_known_by_its_content(manifest: Path) -> None:
    manifest.write_bytes(gzip.compress("\n".join(LINES).encode("utf-16")))
    assert texts(scan(manifest)) == sorted(TEXTS)


def test_only_regular_files_are_opened(manifest: Path) -> None:
    os.mkfifo(manifest)
    zero = manifest.with_name("zero.jsonl")
    zero.symlink_to("/dev/zero")
    found = scan(manifest, zero)
    assert reasons(found) == [(str(manifest), "not_a_file"), (str(zero), "not_a_file")]


def test_what_nobody_foresaw_is_one_row(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wavemill.manifests import manifest as reader

    parse = reader.parse_label

    def failing(fields: Any, *more: Any) -> Any:
        if fields["text"] == "z":
            raise KeyError("strange")
        return parse(fields, *more)

    monkeypatch.setattr(reader, "parse_label", failing)
    manifest.write_text("\n".join(LINES), encoding="utf-8")
    found = scan(manifest)
    assert reasons(found) == [(f"{manifest}:4", "entry_failed")]
    assert len(texts(found)) == 3


def test_a_fault_of_the_program_in_every_line_stops_the_scan(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "wavemill.manifests.manifest.parse_label", lambda: None
    )  # takes no arguments
    manifest.write_text("\n".join([LINES[3]] * 100), encoding="utf-8")
    with pytest.raises(ProgramFault, match="TypeError"):
        scan(manifest)
