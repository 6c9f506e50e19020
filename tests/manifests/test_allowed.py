"""What a manifest may name: a line must not choose where credentials and requests go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.manifests.support import reasons, scan, uris, wav_bytes, write_lines, write_wav
from tests.object_store import ObjectStore
from wavemill.manifests.allowed import Allowed
from wavemill.manifests.config import ScanConfig
from wavemill.manifests.reasons import EntryError
from wavemill.pipeline.config import load_config
from wavemill.pipeline.curation import Config

LOCAL, BUCKET, WEB = "/data/lists", "s3://lists/en", "https://host/lists"
MINIO = "?endpoint_override=minio:9000&scheme=http"


def allowed(uri: str, folder: str, *allow: str, sources: tuple[str, ...] = ()) -> bool:
    try:
        Allowed(allow, sources).check(uri, folder)
    except EntryError as error:
        return error.reason != "source_not_allowed"
    return True


@pytest.mark.parametrize(
    ("uri", "folder", "allow"),
    [
        ("/data/a.wav", LOCAL, ()),
        ("/data/a.wav", BUCKET, ()),
        ("s3://lists/a.wav", BUCKET, ()),
        ("s3://other/a.wav", BUCKET, ()),  # one endpoint for all buckets
        (f"s3://lists/a.wav{MINIO}", BUCKET + MINIO, ()),
        ("https://host/a.wav", WEB, ()),
        ("s3://audio/a.wav", LOCAL, ("s3",)),
        ("s3://audio/a.wav", LOCAL, ("gs", "s3://audio")),
        ("s3://audio/a/b.wav", LOCAL, ("s3://audio/a",)),
        ("s3://audio/a/b.wav", LOCAL, ("s3://audio/a/",)),
        ("s3://audio/a/s.tar#x/b.wav", LOCAL, ("s3://audio/a/",)),
        (f"s3://audio/a.wav{MINIO}", LOCAL, (f"s3://audio{MINIO}",)),
        (f"s3://audio/s.tar{MINIO}#a.wav", LOCAL, (f"s3://audio{MINIO}",)),
        ("https://host/a.wav?token=1", LOCAL, ("https://host",)),
        ("https://host:8080/a.wav", LOCAL, ("https://host:8080",)),
        ("abfs://box@account.dfs.core.windows.net/a.wav", LOCAL, ("abfs",)),
    ],
)
def test_what_is_allowed(uri: str, folder: str, allow: tuple[str, ...]) -> None:
    assert allowed(uri, folder, *allow)


@pytest.mark.parametrize(
    ("uri", "folder", "allow"),
    [
        ("s3://audio/a.wav", LOCAL, ()),
        ("http://169.254.169.254/latest", LOCAL, ()),
        ("https://host/a.wav", BUCKET, ()),
        ("gs://lists/a.wav", BUCKET, ()),
        ("nosuch://x/a.wav", LOCAL, ()),
        (f"s3://lists/a.wav{MINIO}", BUCKET, ()),
        ("s3://lists/a.wav?endpoint_override=evil", BUCKET + MINIO, ()),
        ("s3://lists/s.tar?endpoint_override=evil#a.wav", BUCKET, ()),
        ("s3://lists?endpoint_override=evil#x/a.wav", BUCKET, ()),
        ("s3://lists?endpoint_override=evil&scheme=http/a.wav", BUCKET, ()),
        ("s3://key:secret@lists/a.wav", BUCKET, ()),
        ("s3://evil:9000/a.wav", LOCAL, ("s3://audio",)),
        (f"s3://audio/a.wav{MINIO}", LOCAL, ("s3", "s3://audio")),
        ("s3://audio/a.wav", LOCAL, (f"s3://audio{MINIO}",)),
        ("s3://audio2/a.wav", LOCAL, ("s3://audio",)),
        ("s3://audio/ab/c.wav", LOCAL, ("s3://audio/a",)),
        ("https://host/a/../b.wav", LOCAL, ("https://host/a",)),
        ("https://host/a/%2E%2e/b.wav", LOCAL, ("https://host/a",)),
        ("https://other/a.wav", WEB, ()),
        ("https://host@other/a.wav", WEB, ("https://host",)),
        ("https://host.other/a.wav", WEB, ("https://host",)),
        ("https://host:1@other/a.wav", WEB, ("https",)),
        ("https://other\\@host/a.wav", LOCAL, ("https",)),
        ("zip://a.wav::https://host/b.zip", LOCAL, ("zip", "https")),
        ("simplecache://x::s3://audio/a.wav", LOCAL, ("simplecache", "s3")),
        ("s3:///a.wav", BUCKET, ("s3",)),
    ],
)
def test_what_is_not_allowed(uri: str, folder: str, allow: tuple[str, ...]) -> None:
    assert not allowed(uri, folder, *allow)


def test_where_the_sources_of_the_command_line_lie() -> None:
    sources = ("/data", f"s3://audio/lists/m.jsonl{MINIO}", "https://host/m.jsonl")
    for uri in (f"s3://audio/other/a.wav{MINIO}", "https://host/b/a.wav"):
        assert allowed(uri, LOCAL, sources=sources)
    for uri in ("s3://audio/other/a.wav", f"s3://other/a.wav{MINIO}", "https://other/a.wav"):
        assert not allowed(uri, LOCAL, sources=sources)


def test_a_row_with_the_remedy_and_no_request(tmp_path: Path, s3: ObjectStore) -> None:
    write_wav(tmp_path / "a.wav")
    remote = s3.put("a.wav", wav_bytes(1000, 3))
    s3.requests.clear()
    cut = {"type": "url", "channels": [0], "source": remote}
    lines = [
        {"audio": "a.wav", "text": "good"},
        {"audio": remote, "text": "x"},
        {"id": "r", "sources": [cut], "sampling_rate": 8000, "duration": 1.0},
    ]
    path = write_lines(tmp_path / "m.jsonl", lines)
    found = scan(path)
    assert reasons(found) == [(f"{path}:{n}", "source_not_allowed") for n in (2, 3)]
    assert "sources.allow" in found.errors[0].message
    assert s3.requests == []
    [entry] = json.loads(found.errors[0].message.partition("sources.allow=")[2].strip("'"))
    assert remote in uris(scan(path, config=ScanConfig(allow=(entry,))))
    assert remote in uris(scan(path, remote))  # it lies where a source of the command line does


@pytest.mark.parametrize("entry", ["", "s3 bucket", "://x", "/data", "s3://a b"])
def test_entries_that_mean_nothing(entry: str) -> None:
    with pytest.raises(ValidationError, match="neither a scheme nor a URL"):
        ScanConfig(allow=(entry,))


def test_one_entry_needs_no_list() -> None:
    assert load_config(Config, overrides=["sources.allow=s3://b"]).sources.allow == ("s3://b",)
