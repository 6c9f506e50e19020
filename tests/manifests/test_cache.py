"""The hash cache."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.manifests.support import CountingProbe, known_files, wav_bytes, write_wav
from wavemill.manifests import cache as module
from wavemill.manifests.cache import SCHEMA, HashCache, Known
from wavemill.manifests.scan import scan_sources
from wavemill.pipeline.store import Store


def load(path: Path, probe_version: str = "") -> HashCache:
    return HashCache.load(Store.open(path.parent), path.name, probe_version)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_wav(tmp_path / "in" / "a.wav", 1000, 1)
    write_wav(tmp_path / "in" / "é'b.wav", 2000, 2)
    (tmp_path / "in" / "bad.wav").write_text("no audio", encoding="utf-8")
    (tmp_path / "in" / "empty.wav").touch()
    return tmp_path / "in"


def test_unchanged_files_are_not_read_again(folder: Path, tmp_path: Path) -> None:
    path, probe = tmp_path / "work" / "manifest" / "hash-cache.parquet", CountingProbe()
    first = scan_sources([str(folder)], probe, load(path))
    assert len(probe.asked) == 3  # the empty one needs no probe
    written = path.stat().st_mtime_ns
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert scan_sources([str(folder)], probe, load(path)) == first
    assert len(probe.asked) == 3
    assert path.stat().st_mtime_ns == written  # nothing new, nothing written
    table = pq.read_table(path)
    assert table.num_rows == 4
    assert table.schema.names == SCHEMA.names
    assert all(field.metadata[b"description"] for field in table.schema)


def test_changed_file_is_read_again(folder: Path) -> None:
    cache, probe = HashCache(), CountingProbe()
    before = scan_sources([str(folder)], probe, cache)
    path = folder / "a.wav"
    state = path.stat()
    path.write_bytes(wav_bytes(1000, 7))  # same size
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    after = scan_sources([str(folder)], probe, cache)
    assert probe.asked.count(str(path)) == 2
    assert len(probe.asked) == 4
    ids = [{r.uri: r.recording_id for r in found.recordings} for found in (before, after)]
    assert ids[0][str(path)] != ids[1][str(path)]
    (folder / "bad.wav").write_bytes(wav_bytes(500, 9))
    assert len(scan_sources([str(folder)], probe, cache).recordings) == 3


@pytest.mark.parametrize(
    "damage", ["empty", "text", "cut", "flipped", "other_schema", "unmarked", "folder"]
)
def test_damaged_cache_is_rebuilt(folder: Path, tmp_path: Path, damage: str) -> None:
    path, probe = tmp_path / "hash-cache.parquet", CountingProbe()
    first = scan_sources([str(folder)], probe, load(path))
    content = path.read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not Parquet", encoding="utf-8")
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        at = content.index(first.recordings[0].recording_id.encode()[:4])
        path.write_bytes(content[:at] + b"\0" + content[at + 1 :])
    elif damage == "other_schema":
        pq.write_table(pa.table({"uri": ["x"], "hash": ["y"]}), path)
    elif damage == "unmarked":
        pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    else:
        path.unlink()
        path.mkdir()
    cache = load(path)
    assert known_files(cache) == 0
    again = scan_sources([str(folder)], probe, cache)
    assert again.recordings == first.recordings
    assert len(probe.asked) == 6
    if damage != "folder":
        assert known_files(load(path)) == 4


def test_files_of_other_sources_stay_known(folder: Path, tmp_path: Path) -> None:
    path, probe = tmp_path / "hash-cache.parquet", CountingProbe()
    scan_sources([str(folder)], probe, load(path))
    other = write_wav(tmp_path / "other.wav", value=5)
    scan_sources([other], probe, load(path))
    assert known_files(load(path)) == 5


def test_a_new_probe_looks_at_all_files_again(folder: Path, tmp_path: Path) -> None:
    path, probe = tmp_path / "hash-cache.parquet", CountingProbe()
    scan_sources([str(folder)], probe, load(path, "1"))
    scan_sources([str(folder)], probe, load(path, "2"))
    assert len(probe.asked) == 6
    assert sorted(probe.asked[3:]) == sorted(probe.asked[:3])


def test_interrupted_scan_keeps_what_it_did(tmp_path: Path) -> None:
    for value in range(40):
        write_wav(tmp_path / "in" / f"{value:02}.wav", value=value)
    path = tmp_path / "hash-cache.parquet"

    class Interrupted(BaseException):
        pass

    def stop_at_ten(done: int, total: int | None) -> None:
        if total is not None and done == 10:
            raise Interrupted

    with pytest.raises(Interrupted):
        scan_sources([str(tmp_path / "in")], CountingProbe(), load(path), stop_at_ten)
    probe = CountingProbe()
    found = scan_sources([str(tmp_path / "in")], probe, load(path))
    assert len(found.recordings) == 40
    assert len(probe.asked) == 30


SLOW_SCAN = """
import sys, time
from types import SimpleNamespace
from wavemill.manifests.cache import HashCache
from wavemill.manifests.config import ScanConfig
from wavemill.manifests.scan import scan_sources
from wavemill.pipeline.store import Store

def probe(uri):
    time.sleep(0.01)
    return SimpleNamespace(duration_ms=1000, channels=1)

cache = HashCache.load(Store.open(sys.argv[2]), "hash-cache.parquet")
config = ScanConfig(cache_interval_s=0.05, threads=1)
scan_sources([sys.argv[1]], probe, cache, config=config)
"""


def test_a_killed_scan_goes_on(tmp_path: Path) -> None:
    for value in range(200):
        write_wav(tmp_path / "in" / f"{value:03}.wav", value=value)
    work, files = tmp_path / "work", str(tmp_path / "in")
    with subprocess.Popen([sys.executable, "-c", SLOW_SCAN, files, str(work)]) as scan:
        while len(list(work.glob("hash-cache-*.parquet"))) < 3 and scan.poll() is None:
            time.sleep(0.01)
        scan.send_signal(signal.SIGKILL)
    assert scan.returncode == -signal.SIGKILL
    path, probe = work / "hash-cache.parquet", CountingProbe()
    known = known_files(load(path))
    assert 0 < known < 200
    found = scan_sources([files], probe, load(path))
    assert len(found.recordings) == 200
    assert len(probe.asked) == 200 - known
    assert [p.name for p in work.iterdir()] == [path.name]  # the parts were joined


def test_many_parts_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PARTS", 3)
    path = tmp_path / "hash-cache.parquet"
    cache = load(path)
    for number in range(6):
        cache.put(f"{number}.wav", Known(1, 2, f"{number}", 3, channels=1))
        cache.save_new()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "hash-cache-0000.parquet",
        "hash-cache-0001.parquet",
        path.name,
    ]
    assert known_files(load(path)) == 6
    (tmp_path / "hash-cache-0000.parquet").write_text("no table", encoding="utf-8")
    assert known_files(load(path)) == 5
    cache = load(path)
    cache.forget("5.wav")
    cache.save()
    assert known_files(load(path)) == 4
