"""Files that change under the scan: one row, nothing remembered, and the next scan takes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from tests.manifests.support import (
    Length,
    reasons,
    scan,
    uris,
    wav_bytes,
    wav_probe,
    write_lines,
    write_tar,
    write_wav,
)
from tests.object_store import ObjectStore
from wavemill.manifests import uri as module
from wavemill.manifests.cache import HashCache
from wavemill.manifests.filesystems import open_file
from wavemill.manifests.recording import Sources
from wavemill.manifests.scan import scan_sources


def scan_while(change: Callable[[], object], cache: HashCache, *sources: str | Path) -> Sources:
    """Scan; at the first file something happens between its hashing and its probing."""
    todo = [change]

    def probe(uri: str) -> Length:
        if todo:
            todo.pop()()
        return wav_probe(uri)

    return scan_sources([str(s) for s in sources], probe, cache)


@pytest.mark.parametrize(
    "change", [wav_bytes(2000, 1), wav_bytes(1000, 2), b"", wav_bytes(1000)[:99]]
)
def test_a_file_that_is_written_while_it_is_hashed(tmp_path: Path, change: bytes) -> None:
    path = Path(write_wav(tmp_path / "in/b.wav"))
    other = write_wav(tmp_path / "in/c.wav", 1000, 7)
    cache = HashCache()
    found = scan_while(lambda: _replace(path, change), cache, path.parent)
    assert reasons(found) == [(str(path), "source_changed")]
    assert uris(found) == [other]
    path.write_bytes(wav_bytes(3000))
    assert uris(scan(path.parent, cache=cache)) == [str(path), other]


def _replace(path: Path, content: bytes) -> None:
    before = path.stat().st_mtime_ns
    path.write_bytes(content)
    if path.stat().st_mtime_ns == before:  # a clock that stands
        _replace(path, content)


def test_a_file_that_goes_while_it_is_hashed(tmp_path: Path) -> None:
    path = Path(write_wav(tmp_path / "b.wav"))
    found = scan_while(path.unlink, HashCache(), path.parent)
    assert reasons(found) == [(str(path), "file_missing")]


def test_a_shard_that_is_rewritten_is_one_row(tmp_path: Path) -> None:
    members = {f"{i}.wav": wav_bytes(1000, i) for i in range(20)}
    shard = tmp_path / "s.tar"
    write_tar(shard, members)
    cache = HashCache()
    members["20.wav"] = wav_bytes(1000, 20)
    found = scan_while(lambda: write_tar(shard, members), cache, shard)
    assert reasons(found) == [(str(shard), "source_changed")]
    assert found.recordings == []
    assert len(scan(shard, cache=cache).recordings) == 21


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_a_manifest_that_is_written_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """No line of it is used: one may be half old and half new."""
    write_wav(tmp_path / "a.wav")
    manifest = tmp_path / f"m.{ending}"
    write_lines(manifest, [{"audio": "a.wav", "text": "old"}])

    def opened(path: str) -> IO[bytes]:
        file = open_file(path)
        with manifest.open("ab") as more:
            more.write(b'{"audio": "a.wav", "text": "new"}\n')
        return file

    with monkeypatch.context() as patch:
        patch.setattr(module, "open_file", opened)
        found = scan(manifest)
    assert reasons(found) == [(str(manifest), "source_changed")]
    assert found.recordings == []


def test_a_long_manifest_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_BYTES", 100)
    names = [f"{i}.wav" for i in range(50)]
    for value, name in enumerate(names):
        write_wav(tmp_path / name, 100, value)
    lines = [{"audio": name, "text": "x"} for name in names]
    found = scan(write_lines(tmp_path / "m.jsonl", lines))
    assert len(found.recordings) == 50


def test_an_object_that_is_replaced_while_it_is_hashed(s3: ObjectStore) -> None:
    url = s3.put("in/a.wav", wav_bytes(1000))
    found = scan_while(lambda: s3.put("in/a.wav", wav_bytes(2000)), HashCache(), url)
    assert reasons(found) == [(url, "source_changed")]
    assert uris(scan(url)) == [url]


def test_where_no_time_tells_of_a_change_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with some servers that fsspec reads from: their files have no time."""
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe("/timeless/a.wav", wav_bytes(1000))
    monkeypatch.setattr(type(files), "modified", _no_time)
    found = scan("memory://timeless/a.wav")
    assert found.errors == []
    assert len(found.recordings) == 1


def _no_time(*_: object) -> None:
    raise NotImplementedError
