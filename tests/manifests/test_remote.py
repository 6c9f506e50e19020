"""Sources in a bucket: found, described, opened and joined with local ones."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time
from pathlib import Path

import pytest

from tests.manifests.support import CountingProbe, reasons, scan, uris, wav_bytes, write_wav
from tests.object_store import ObjectStore
from tests.stages.audio.made import chirp
from tests.stages.audio.made import wav_bytes as sound
from wavemill.manifests.cache import HashCache
from wavemill.manifests.config import ScanConfig
from wavemill.manifests.filesystems import LocationError, join_url, locate, parent, split_options
from wavemill.manifests.reasons import SourceNotFound
from wavemill.manifests.scan import scan_sources
from wavemill.manifests.uri import base_name, open_uri, split_uri
from wavemill.stages.audio.decode import open_audio, probe
from wavemill.stages.recording_stage import RecordingError


def tar_bytes(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as shard:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(content)
            shard.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def lines(*rows: dict[str, object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_a_folder_is_searched(s3: ObjectStore) -> None:
    first = s3.put("in/a.wav", wav_bytes(1000, 1))
    odd = s3.put("in/deep/odd %20é #1?.WAV", wav_bytes(2000, 2))
    s3.put("in/.hidden/x.wav", wav_bytes(1000, 3))
    s3.put("in/._a.wav", b"macOS")
    s3.put("in/notes.txt", b"no audio")
    s3.put("inside.wav", wav_bytes(1000, 4))
    s3.put("in/s.tar", tar_bytes(b_wav=wav_bytes(3000, 5), b_txt=b"five", c_wav=b"bad"))
    s3.put("in/m.jsonl", lines({"audio": "a.wav", "text": "unread"}))
    s3.filesystem.create_dir(f"{s3.bucket}/in/empty.wav")
    found = scan(s3.url("in/"))
    shard = s3.url("in/s.tar")
    assert uris(found) == sorted([first, odd, f"{shard}#b.wav"])
    assert [i.text for r in found.recordings for i in r.items] == ["five"]
    assert reasons(found) == [(f"{shard}#c.wav", "not_audio")]
    assert "m.jsonl" in found.notes[0]
    assert len(scan(s3.url()).recordings) == 4


def test_content_decides_the_id_wherever_it_lies(s3: ObjectStore, tmp_path: Path) -> None:
    remote = s3.put("in/a.wav", wav_bytes(1000, 1))
    local = write_wav(tmp_path / "a.wav", 1000, 1)
    both = scan(s3.url("in"), local)
    assert both.duplicates == 1
    assert [r.recording_id for r in scan(remote).recordings] == [
        r.recording_id for r in scan(local).recordings
    ]


def time_of_change(s3: ObjectStore, key: str) -> object:
    return s3.filesystem.get_file_info(f"{s3.bucket}/{key}").mtime_ns


def test_unchanged_objects_are_not_read_again(s3: ObjectStore) -> None:
    s3.put("in/a.wav", wav_bytes(1000, 1))
    s3.put("in/other.tar", tar_bytes(b_wav=wav_bytes(3000, 5)))
    cache, probed = HashCache(), CountingProbe()
    first = scan_sources([s3.url("in")], probed, cache)
    s3.requests.clear()
    assert scan_sources([s3.url("in")], probed, cache) == first
    assert len(probed.asked) == 2
    assert len([r for r in s3.requests if r.path.endswith("a.wav")]) == 0
    changed = time_of_change(s3, "in/a.wav")
    while time_of_change(s3, "in/a.wav") == changed:  # S3 tells it in whole seconds
        s3.put("in/a.wav", wav_bytes(1000, 2))
        time.sleep(0.05)
    assert scan_sources([s3.url("in")], probed, cache) != first
    assert len(probed.asked) == 3


def test_a_manifest_names_files_beside_it_elsewhere_and_here(
    s3: ObjectStore, tmp_path: Path
) -> None:
    here = write_wav(tmp_path / "here.wav", 1000, 9)
    beside = s3.put("lists/wav/a.wav", wav_bytes(1000, 1))
    above = s3.put("b.wav", wav_bytes(1000, 2))
    rows = lines(
        {"audio": "wav/a.wav", "text": "one"},
        {"audio": "../b.wav", "text": "two"},
        {"audio": f"s3://{s3.bucket}/b.wav", "text": "two again", "offset": 0.5, "duration": 0.5},
        {"audio": here, "text": "three"},
        {"audio": "gone.wav", "text": "four"},
        {"audio": "wav", "text": "five"},
    )
    manifest = s3.put("lists/m.jsonl.gz", gzip.compress(rows))
    found = scan(manifest)
    assert uris(found) == sorted([beside, above, here])
    texts = sorted(i.text or "" for r in found.recordings for i in r.items)
    assert texts == ["one", "three", "two", "two again"]
    assert reasons(found) == [(f"{manifest}:5", "file_missing"), (f"{manifest}:6", "not_a_file")]
    local = tmp_path / "m.jsonl"
    local.write_bytes(lines({"audio": beside, "text": "one"}))
    assert reasons(scan(local)) == [(f"{local}:1", "source_not_allowed")]
    assert uris(scan(local, config=ScanConfig(allow=(s3.url(),)))) == [beside]


def test_lhotse_recordings_in_a_bucket(s3: ObjectStore) -> None:
    audio = s3.put("cuts/a.wav", wav_bytes(2000, 1))
    base = {"id": "r", "sampling_rate": 8000, "num_samples": 16000, "duration": 2.0}
    source = {"type": "url", "channels": [0], "source": f"s3://{s3.bucket}/cuts/a.wav"}
    manifest = s3.put("cuts/recordings.jsonl", lines({**base, "sources": [source]}))
    assert uris(scan(manifest)) == [audio]


def test_what_is_missing_or_denied(s3: ObjectStore) -> None:
    s3.put("in/a.wav", wav_bytes(1000, 1))
    locked = s3.put("in/locked.wav", wav_bytes(1000, 2))
    for absent in (s3.url("nothing"), s3.url().replace(s3.bucket, "no-such-bucket")):
        with pytest.raises(SourceNotFound):
            scan(absent)
    s3.intercept = lambda request: 403 if request.path.endswith("locked.wav") else None
    found = scan(s3.url("in"))
    assert len(found.recordings) == 1
    assert reasons(found) == [(locked, "permission_denied")]
    assert reasons(scan(locked)) == [(locked, "permission_denied")]
    s3.intercept = lambda _: 403
    assert reasons(scan(s3.url("in"))) == [(s3.url("in"), "permission_denied")]


def test_audio_is_decoded_from_a_bucket(s3: ObjectStore) -> None:
    heard = sound(chirp(3, 8000)[0], 8000)
    shard = s3.put("s.tar", tar_bytes(a_wav=wav_bytes(500, 1), b_wav=heard))
    uri = f"{shard}#b.wav"
    assert probe(uri).duration_ms == 3000
    with open_audio(uri) as audio:
        assert sum(block.shape[1] for block in audio.blocks) == 3 * audio.sample_rate
    with pytest.raises(RecordingError, match="no such file"), open_audio(f"{shard}#gone.wav"):
        pass


def test_a_file_is_fetched_in_large_parts(s3: ObjectStore) -> None:
    content = bytes(range(256)) * 10_000
    url = s3.put("x.bin", content)
    s3.requests.clear()
    with open_uri(url) as file:
        assert b"".join(iter(lambda: file.read(1000), b"")) == content
        assert file.seek(-5, 2) == len(content) - 5
        assert file.read() == content[-5:]
    assert len(s3.requests) <= 6


def test_names() -> None:
    options = "?endpoint_override=localhost:9000&scheme=http"
    assert split_options(f"s3://b/k.wav{options}") == ("s3://b/k.wav", options)
    assert split_options("s3://b/what?.wav") == ("s3://b/what?.wav", "")
    assert split_options("https://host/x?id=1") == ("https://host/x?id=1", "")
    assert split_options("/local/x?a=b") == ("/local/x?a=b", "")
    assert join_url(f"s3://b/lists{options}", "../../../x.wav") == f"s3://b/x.wav{options}"
    assert parent(f"s3://b/lists/m.jsonl{options}") == f"s3://b/lists{options}"
    assert parent("s3://b/m.jsonl") == "s3://b/"
    assert split_uri(f"s3://b/s.tar{options}#a/b.wav") == (f"s3://b/s.tar{options}", "a/b.wav")
    assert split_uri("s3://b/#1.wav") == ("s3://b/#1.wav", None)
    for uri in (f"s3://b/k/x.wav{options}", f"s3://b/s.tar{options}#k/x.wav", "/a/s.tar#x.wav"):
        assert base_name(uri) == "x.wav"


@pytest.mark.parametrize("bucket", ["b?endpoint_override=evil#", "b%2fc", "b c", "b\\c"])
def test_a_bucket_whose_name_would_be_read_as_more(bucket: str) -> None:
    with pytest.raises(LocationError, match="not the name of a bucket"):
        locate(f"s3://{bucket}/a.wav")
