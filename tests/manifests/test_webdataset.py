"""Tar files in WebDataset layout."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.manifests.support import (
    CountingProbe,
    reasons,
    scan,
    uris,
    wav_bytes,
    write_tar,
    write_wav,
)
from wavemill.manifests.cache import HashCache
from wavemill.manifests.scan import scan_sources
from wavemill.manifests.uri import open_uri, split_uri


def label(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_members_and_siblings(tmp_path: Path) -> None:
    shard = write_tar(
        tmp_path / "train-000.tar",
        {
            "a/0001.wav": wav_bytes(1000, 1),
            "a/0001.json": label(text="from json", speaker="S", duration=1.0, extra=3),
            "a/0001.txt": b"from txt\n",
            "0002.wav": wav_bytes(2000, 2),
            "0002.txt": "Übung \n".encode(),
            "0003.wav": wav_bytes(3000, 3),
            "0004.json": label(text="no audio"),
            "._0003.wav": b"rubbish",
            "0003.cls": b"7",
        },
    )
    found = scan(shard)
    assert found.errors == []
    by_uri = {r.uri: r for r in found.recordings}
    assert set(by_uri) == {f"{shard}#a/0001.wav", f"{shard}#0002.wav", f"{shard}#0003.wav"}
    [first] = by_uri[f"{shard}#a/0001.wav"].items
    assert (first.text, first.speaker, first.metadata) == ("from json", "S", '{"extra": 3}')
    [second] = by_uri[f"{shard}#0002.wav"].items
    assert (second.text, second.task, second.end_ms) == ("Übung", "asr", 2000)
    third = by_uri[f"{shard}#0003.wav"]
    assert not third.labelled
    assert third.recording_id == hashlib.sha256(wav_bytes(3000, 3)).hexdigest()[:32]


def test_member_and_file_with_the_same_content(tmp_path: Path) -> None:
    plain = write_wav(tmp_path / "x.wav", 1000)
    write_tar(tmp_path / "s.tar", {"k.wav": wav_bytes(1000), "k.txt": b"hello"})
    found = scan(tmp_path)  # shards in a folder are found, too
    [recording] = found.recordings
    assert found.duplicates == 1
    assert recording.uri == min(plain, f"{tmp_path}/s.tar#k.wav")
    assert recording.labelled


def test_bad_members_harm_nothing(tmp_path: Path) -> None:
    shard = write_tar(
        tmp_path / "s.tar",
        {
            "good.wav": wav_bytes(1000),
            "good.txt": b"fine",
            "empty.wav": b"",
            "noise.wav": b"not audio",
            "broken.wav": wav_bytes(1000, 2),
            "broken.json": b"{",
            "latin.wav": wav_bytes(1000, 3),
            "latin.txt": b"\xff\xfe\xfd",
            "far.wav": wav_bytes(1000, 4),
            "far.json": label(text="x", offset=5),
            "two.left.wav": wav_bytes(1000, 5),
            "two.right.wav": wav_bytes(1000, 6),
            "two.txt": b"whose is it?",
        },
    )
    found = scan(shard)
    assert reasons(found) == [
        (f"{shard}#broken.json", "bad_label"),
        (f"{shard}#empty.wav", "empty_file"),
        (f"{shard}#far.json", "beyond_end"),
        (f"{shard}#latin.txt", "bad_label"),
        (f"{shard}#noise.wav", "not_audio"),
        (f"{shard}#two.txt", "ambiguous_label"),
    ]
    labelled = {r.uri.partition("#")[2]: r.labelled for r in found.recordings}
    assert labelled.pop("good.wav") is True
    assert labelled == dict.fromkeys(
        ["broken.wav", "far.wav", "latin.wav", "two.left.wav", "two.right.wav"], False
    )


def test_damaged_shards(tmp_path: Path) -> None:
    whole = Path(write_tar(tmp_path / "w.tar", {f"{n}.wav": wav_bytes(999, n) for n in range(3)}))
    content = whole.read_bytes()
    second = content.index(b"1.wav")
    third = content.index(b"2.wav")
    for damaged, left in {
        content[: third + 600]: 2,  # ends within the third member
        content[: third + 100]: 2,  # ends within its header
        content[:second] + b"\x77" * 512 + content[second + 512 :]: 1,
    }.items():
        whole.write_bytes(damaged)
        found = scan(whole)
        assert reasons(found) == [(str(whole), "bad_tar")]
        assert len(found.recordings) == left
    for nothing in (b"", b"no tar at all" * 100):
        whole.write_bytes(nothing)
        assert reasons(scan(whole)) == [(str(whole), "bad_tar")]


def test_shard_without_audio(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "docs.tar", {"readme.txt": b"hello"})
    assert reasons(scan(shard)) == [(shard, "no_audio_found")]
    path = write_wav(tmp_path / "a.wav")
    found = scan(tmp_path)  # beside recordings it is just another file
    assert uris(found) == [path]
    assert found.errors == []


def test_unchanged_shard_is_not_read_again(tmp_path: Path) -> None:
    members = {"a.wav": wav_bytes(1000, 1), "b.wav": wav_bytes(1000, 2), "c.wav": b"bad"}
    shard = write_tar(tmp_path / "s.tar", members)
    cache, probe = HashCache(), CountingProbe()
    first = scan_sources([shard], probe, cache)
    assert sorted(probe.asked) == [f"{shard}#{name}" for name in members]
    assert scan_sources([shard], probe, cache) == first
    assert len(probe.asked) == 3
    write_tar(Path(shard), members | {"d.wav": wav_bytes(1000, 3)})
    assert len(scan_sources([shard], probe, cache).recordings) == 3
    assert len(probe.asked) == 7


def test_split_uri(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "s.tar", {"a.wav": b"x", "deep/x.tar#y": b"z"})
    plain = write_wav(tmp_path / "odd.tar#name.wav")
    assert split_uri(f"{shard}#a.wav") == (shard, "a.wav")
    assert split_uri(f"{shard}#deep/x.tar#y") == (shard, "deep/x.tar#y")
    assert split_uri(plain) == (plain, None)
    assert split_uri("/no/such.tar#a.wav") == ("/no/such.tar#a.wav", None)


def test_open_uri_is_a_file_of_its_own(tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    shard = write_tar(tmp_path / "s.tar", {"before": b"1" * 700, "x.wav": content, "after": b"2"})
    with open_uri(f"{shard}#x.wav") as file:
        assert file.read() == content
        assert file.seek(-10, 2) == len(content) - 10
        assert file.read(100) == content[-10:]
        assert file.seek(5) == 5
        assert file.read(3) == content[5:8]
        assert file.tell() == 8
