"""Everything found is used, or a row, or counted in a note."""

from __future__ import annotations

import gzip
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.manifests.support import (
    reasons,
    scan,
    uris,
    wav_bytes,
    write_lines,
    write_tar,
    write_wav,
)

LINE = {"audio": "a.wav", "text": "hello"}


def test_what_is_not_read_is_counted_by_ending(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav")
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text("file_name,text\n", encoding="utf-8")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "t.parquet").write_bytes(b"PAR1")
    (tmp_path / "old.tar.gz").write_bytes(b"\x1f\x8b\x08")
    (tmp_path / "a.txt").write_text("hello", encoding="utf-8")
    (tmp_path / "noise.dat").write_bytes(b"noise")
    (tmp_path / "b.mp3.part").write_bytes(b"ID3")
    for name in (".DS_Store", "Thumbs.db", "cover.jpg", "album.cue", "._a.wav"):
        (tmp_path / name).write_bytes(b"x")
    found = scan(tmp_path)
    assert found.errors == []
    notes = {note.partition(" not read")[0]: note for note in found.notes}
    assert set(notes) == {
        "3 .csv, 1 .parquet",
        "1 .tar.gz",
        "1 .txt",
        "1 .dat",
        "1 .part",
        "2 hidden, 1 .cue, 1 .db, 1 .jpg",
    }
    assert str(tmp_path / "0.csv") in notes["3 .csv, 1 .parquet"]
    assert all("remedy" in note for key, note in notes.items() if key in ("1 .tar.gz", "1 .dat"))
    assert notes["2 hidden, 1 .cue, 1 .db, 1 .jpg"].endswith(" not read")


def test_many_endings_stay_one_line(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav")
    for number in range(40):
        (tmp_path / f"a.x{number}").write_bytes(b"x")
    [note] = scan(tmp_path).notes
    assert "32 with 32 other endings" in note


@pytest.mark.parametrize("name", ["a.x", "noending", "a.raw", "a.ts", "a.0001", "a.wav_old"])
def test_content_decides_where_the_ending_does_not(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(wav_bytes(1000))
    (tmp_path / "other.x").write_bytes(b"no audio")
    found = scan(tmp_path)
    assert uris(found) == [str(tmp_path / name)]
    shard = write_tar(tmp_path / "s.tar", {name: wav_bytes(500), f"{name}.txt": b"hello"})
    [recording] = scan(shard).recordings
    assert recording.uri == f"{shard}#{name}"
    assert recording.labelled


def test_endings_that_decide_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wav(tmp_path / "a.wav")
    for name in ("a.json", "b.txt", "c.csv", "d.jpg", "e.zip"):
        (tmp_path / name).write_bytes(wav_bytes(100, 3))
    looked: list[str] = []
    monkeypatch.setattr("wavemill.manifests.folder.kind_of_file", looked.append)
    found = scan(tmp_path)
    assert uris(found) == [str(tmp_path / "a.wav")]
    assert looked == []


@pytest.mark.parametrize(
    "name", ["all.json", "all.ndjson", "train.manifest", "filelist", "m.json.gz"]
)
def test_manifests_of_any_name_are_named(tmp_path: Path, name: str) -> None:
    write_wav(tmp_path / "a.wav")
    manifest = write_lines(tmp_path / name, [LINE])
    if name.endswith(".gz"):
        Path(manifest).write_bytes(gzip.compress(Path(manifest).read_bytes()))
    [note] = scan(tmp_path).notes
    assert manifest in note
    assert "named as a source" in note
    named = scan(tmp_path, manifest)
    assert [r.labelled for r in named.recordings] == [True]
    assert named.notes == []
    assert scan(manifest).recordings == named.recordings


def test_named_sources_that_cannot_be_used_are_rows(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.wav", wav_bytes(100))
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as shard:
        shard.addfile(tarfile.TarInfo("a.wav"))
    (tmp_path / "t.csv").write_text("file,text\n", encoding="utf-8")
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    (tmp_path / "t").write_bytes(b"PAR1")
    write_tar(tmp_path / "shard.wds", {"a.wav": wav_bytes(100)})
    (tmp_path / "text.txt").write_text("hello", encoding="utf-8")
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8")
    paths = sorted(tmp_path.iterdir())
    found = scan(*paths)
    assert sorted(uri for uri, _ in reasons(found)) == [str(path) for path in paths]
    for error in found.errors:
        expected = "not_audio" if error.source.endswith(("txt", "jpg")) else "unsupported_source"
        assert error.reason == expected
        assert expected == "not_audio" or "remedy" in error.message


def test_a_tar_of_another_name_is_counted(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav")
    shard = write_tar(tmp_path / "shard.wds", {"b.wav": wav_bytes(100)})
    [note] = scan(tmp_path).notes
    assert note.startswith(f"1 .wds not read ({shard}): ")
    assert "remedy" in note


def test_labels_that_no_audio_claims_are_counted(tmp_path: Path) -> None:
    shard = write_tar(
        tmp_path / "s.tar",
        {
            "a.wav": wav_bytes(1000),
            "a.cls": b"3",
            "a.transcript": b"hello",
            "a.seg.json": b"{}",
            "lonely.json": b"{}",
            "README.txt": b"about",
            "cover.png": b"x",
            "all.jsonl": b'{"audio": "a.wav"}',
            "inner.tar": b"",
            ".hidden/b.wav": wav_bytes(100),
        },
    )
    found = scan(shard)
    assert found.errors == []
    assert [r.labelled for r in found.recordings] == [False]
    assert sorted(note.partition(" not read")[0] for note in found.notes) == [
        "1 .cls, 1 .transcript",
        "1 .png, 1 hidden",
        "1 .tar",
        "2 .json, 1 .jsonl, 1 .txt",
    ]


@pytest.mark.parametrize("name", ["a.wav", "a.jsonl", "a.json", "a.tar", "a.x", "a", "a.txt"])
def test_pipes_and_devices_are_never_opened(tmp_path: Path, name: str) -> None:
    good = write_wav(tmp_path / "good.wav")
    folder = tmp_path / "in"
    folder.mkdir()
    os.mkfifo(folder / name)
    (folder / f"zero_{name}").symlink_to("/dev/zero")
    found = scan(good, folder, *folder.iterdir())
    assert uris(found) == [good]
    rows = {uri: reason for uri, reason in reasons(found) if reason != "no_audio_found"}
    assert set(rows) == {str(path) for path in folder.iterdir()}
    assert set(rows.values()) <= {"not_a_file", "unreadable"}


def test_pipes_beside_recordings_are_counted_or_rows(tmp_path: Path) -> None:
    good = write_wav(tmp_path / "good.wav")
    os.mkfifo(tmp_path / "a.jsonl")
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.tar")
    (tmp_path / "gone.x").symlink_to("nowhere")
    found = scan(tmp_path)
    assert uris(found) == [good]
    assert reasons(found) == [(str(tmp_path / "pipe.tar"), "not_a_file")]
    [note] = found.notes
    assert note.startswith("1 .jsonl, 1 .x, 1 without ending not read")


def test_files_below_two_sources_are_counted_once(tmp_path: Path) -> None:
    write_wav(tmp_path / "in" / "a.wav")
    (tmp_path / "in" / "a.csv").touch()
    write_tar(tmp_path / "in" / "s.tar", {"b.wav": b"bad", "b.csv": b""})
    found = scan(tmp_path, tmp_path / "in", tmp_path / "in" / "s.tar")
    [note] = found.notes
    assert note.startswith("2 .csv not read")
    assert reasons(found) == [(f"{tmp_path}/in/s.tar#b.wav", "not_audio")]


def test_folder_without_audio_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\3\4")
    (tmp_path / "b.csv").touch()
    [error] = scan(tmp_path).errors
    assert error.reason == "no_audio_found"
    assert "1 .zip not read" in error.message
    assert "1 .csv not read" in error.message


def test_unknown_file_that_cannot_be_looked_into_is_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wav(tmp_path / "a.wav")
    (tmp_path / "b.x").touch()

    def refused(_path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("wavemill.manifests.folder.kind_of_file", refused)
    assert reasons(scan(tmp_path)) == [(str(tmp_path / "b.x"), "permission_denied")]


@pytest.mark.parametrize("name", [b"caf\xe9.zip", b"esc\x1b[31m.zip", b"line\nend.zip"])
def test_any_name_can_be_told(tmp_path: Path, name: bytes) -> None:
    write_wav(tmp_path / "a.wav")
    (tmp_path / os.fsdecode(name)).touch()
    [note] = scan(tmp_path).notes
    note.encode()
    assert note.isprintable()
