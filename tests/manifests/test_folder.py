"""Folders and single files as sources."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.manifests.support import (
    reasons,
    scan,
    uris,
    wav_bytes,
    wav_probe,
    write_lines,
    write_wav,
)
from wavemill.manifests.cache import HashCache
from wavemill.manifests.reasons import SourceNotFound
from wavemill.manifests.scan import scan_sources

NAMES = [
    "plain.wav",
    "UPPER.WAV",
    "with space.wav",
    "with#hash.wav",
    "shard.tar#member.wav",
    "quote'\".wav",
    "line\nbreak.wav",
    "这并不是.wav",
    "e\u0301clair.wav",
    "colon:17.wav",
    "percent%20.wav",
]


def test_recursion_and_endings(tmp_path: Path) -> None:
    a = write_wav(tmp_path / "a.wav", 500, 1)
    b = write_wav(tmp_path / "deep" / "er" / "b.wav", 250, 2)
    (tmp_path / "notes.txt").write_text("no audio", encoding="utf-8")
    (tmp_path / "wav").write_text("no ending", encoding="utf-8")
    found = scan(tmp_path)
    assert found.errors == []
    assert {r.uri: r.duration_ms for r in found.recordings} == {a: 500, b: 250}
    assert all(not r.labelled and r.regions == () and r.metadata == "{}" for r in found.recordings)


def test_id_is_hash_of_content(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav")
    [recording] = scan(path).recordings
    assert recording.recording_id == hashlib.sha256(Path(path).read_bytes()).hexdigest()[:32]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names(tmp_path: Path, name: str) -> None:
    path = write_wav(tmp_path / name)
    for source in (tmp_path, path):
        found = scan(source)
        assert found.errors == []
        assert uris(found) == [path]


def test_name_that_is_not_utf8(tmp_path: Path) -> None:
    good = write_wav(tmp_path / "good.wav", value=2)
    (tmp_path / os.fsdecode(b"caf\xe9.wav")).write_bytes(wav_bytes(100))
    folder = tmp_path / os.fsdecode(b"d\xe9j\xe0")
    folder.mkdir()
    (folder / "x.wav").write_bytes(wav_bytes(100))
    found = scan(tmp_path)
    assert uris(found) == [good]
    assert reasons(found) == [
        (f"{tmp_path}/caf\\xe9.wav", "name_not_utf8"),
        (f"{tmp_path}/d\\xe9j\\xe0", "name_not_utf8"),
    ]


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    a = write_wav(tmp_path / "a.wav")
    for hidden in ("._a.wav", ".b.wav", ".git/c.wav"):
        write_wav(tmp_path / hidden, value=9)
    found = scan(tmp_path)
    assert uris(found) == [a]
    assert found.errors == []


def test_links(tmp_path: Path) -> None:
    real = write_wav(tmp_path / "z" / "real.wav")
    (tmp_path / "z" / "loop").symlink_to(tmp_path)
    (tmp_path / "a_link").symlink_to(tmp_path / "z")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "broken.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "ring.wav").symlink_to(tmp_path / "ring.wav")
    found = scan(tmp_path)
    assert uris(found) == [real]
    assert found.duplicates == 0
    assert {uri for uri, _ in reasons(found)} == {
        str(tmp_path / "broken.wav"),
        str(tmp_path / "ring.wav"),
    }
    assert reasons(found)[0][1] == "file_missing"


def test_linked_folder_outside_is_entered(tmp_path: Path) -> None:
    write_wav(tmp_path / "elsewhere" / "x.wav")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "elsewhere")
    assert uris(scan(inside)) == [str(inside / "link" / "x.wav")]


def test_second_copy_is_the_same_recording(tmp_path: Path) -> None:
    write_wav(tmp_path / "b.wav")
    a = write_wav(tmp_path / "a.wav")
    write_wav(tmp_path / "c" / "a.wav")
    found = scan(tmp_path, tmp_path / "b.wav", tmp_path / "c")
    assert uris(found) == [a]
    assert found.duplicates == 2


def test_no_audio_in_folder(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "readme.md").write_text("nothing here", encoding="utf-8")
    found = scan(tmp_path)
    assert reasons(found) == [(str(tmp_path), "no_audio_found")]


def test_bad_files_are_rows_and_harm_nothing(tmp_path: Path) -> None:
    good = write_wav(tmp_path / "good.wav")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("not audio at all", encoding="utf-8")
    (tmp_path / "header_only.wav").write_bytes(wav_bytes(0))
    os.mkfifo(tmp_path / "pipe.wav")  # opening it would wait for ever
    (tmp_path / "folder.wav").mkdir()
    found = scan(tmp_path)
    assert uris(found) == [good]
    assert reasons(found) == [
        (str(tmp_path / "empty.wav"), "empty_file"),
        (str(tmp_path / "header_only.wav"), "no_samples"),
        (str(tmp_path / "pipe.wav"), "not_a_file"),
        (str(tmp_path / "text.wav"), "not_audio"),
    ]
    assert all(error.message for error in found.errors)


def test_named_single_file_needs_no_audio_ending(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "recording.bin")
    assert uris(scan(path)) == [path]


def test_named_bad_single_file(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.touch()
    assert reasons(scan(path)) == [(str(path), "empty_file")]


@pytest.mark.parametrize("name", ["missing", "missing.jsonl", "a.wav/below", "nul\0"])
def test_source_that_does_not_exist(tmp_path: Path, name: str) -> None:
    write_wav(tmp_path / "a.wav")
    with pytest.raises(SourceNotFound) as caught:
        scan(tmp_path, tmp_path / name)
    assert caught.value.sources == (str(tmp_path / name),)
    assert repr(str(tmp_path / name)) in str(caught.value)


def test_empty_source_name() -> None:
    with pytest.raises(SourceNotFound):
        scan("")


def test_relative_sources_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_wav(tmp_path / "sub" / "a.wav")
    monkeypatch.chdir(tmp_path)
    assert uris(scan("sub/../sub/")) == uris(scan("sub/a.wav")) == [path]


def test_manifest_in_folder_is_not_read_but_mentioned(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav")
    manifest = write_lines(tmp_path / "all.jsonl", [{"audio": "a.wav", "text": "hello"}])
    write_lines(tmp_path / "other.jsonl", [{"level": "info"}])
    write_lines(tmp_path / "rubbish.jsonl", ["{"])
    found = scan(tmp_path)
    assert [r.labelled for r in found.recordings] == [False]
    note, others = found.notes
    assert note.startswith(f"1 .jsonl not read ({manifest}): ")
    assert "named" in note
    assert others.startswith(f"2 .jsonl not read ({tmp_path / 'other.jsonl'} and 1 more): ")
    named = scan(tmp_path, manifest)
    assert [r.labelled for r in named.recordings] == [True]
    assert named.notes == [others]


def test_folder_with_nothing_but_a_manifest(tmp_path: Path) -> None:
    manifest = write_lines(tmp_path / "all.jsonl", [{"audio_filepath": "/elsewhere/a.wav"}])
    [error] = scan(tmp_path).errors
    assert error.reason == "no_audio_found"
    assert manifest in error.message


def test_probe_that_fails_without_a_reason(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav")

    def broken(_uri: str) -> object:
        raise ZeroDivisionError("inside a decoder")

    found = scan_sources([path], broken, HashCache())  # type: ignore[arg-type]
    [error] = found.errors
    assert (error.source, error.reason) == (path, "probe_failed")
    assert "ZeroDivisionError: inside a decoder" in error.message


def test_progress(tmp_path: Path) -> None:
    for value in range(5):
        write_wav(tmp_path / f"{value}.wav", value=value)
    calls: list[tuple[int, int | None]] = []
    cache = HashCache()
    for _ in range(2):
        scan_sources([str(tmp_path)], wav_probe, cache, lambda d, t: calls.append((d, t)))
        assert calls[-1] == (5, 5)
        counted = [done for done, total in calls if total is not None]
        assert counted == sorted(counted)
        calls.clear()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 30), copies=st.integers(1, 3))
def test_nothing_depends_on_the_order_of_sources(
    tmp_path_factory: pytest.TempPathFactory, seed: int, copies: int
) -> None:
    folder = tmp_path_factory.mktemp("order")
    for copy in range(copies):
        write_wav(folder / str(copy) / "x.wav", 1000)
        write_wav(folder / str(copy) / f"own{copy}.wav", 500, 10 + copy)
    (folder / "bad.wav").touch()
    lines = [{"audio": "0/x.wav", "text": "one", "duration": 0.5}, "{", {"audio": "gone.wav"}]
    more = [{"audio": f"{copies - 1}/x.wav", "text": "two", "offset": 0.5}, {"audio": "gone.wav"}]
    sources = [
        write_lines(folder / "m1.jsonl", lines),
        write_lines(folder / "m2.jsonl", more),
        str(folder / "bad.wav"),
        *(str(folder / str(copy)) for copy in range(copies)),
    ]
    expected = scan(*sources)
    random.Random(seed).shuffle(sources)
    assert scan(*sources, sources[0]) == expected
