"""Manifests that name members of tar files: by URI, NeMo's tarred sets, lhotse's Shar."""

from __future__ import annotations

import gzip
import json
import unicodedata
from pathlib import Path

from tests.manifests.support import reasons, scan, wav_bytes, write_lines, write_tar
from tests.object_store import ObjectStore

TEXT = "hello there"


def texts(found) -> dict[str, list[str]]:  # type: ignore[no-untyped-def]
    """Return the texts by the last part of the uri."""
    return {r.uri.rpartition("/")[2]: sorted(i.text for i in r.items) for r in found.recordings}


def nemo_set(folder: Path, shards: int = 2) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for shard in range(shards):
        members = {f"u{shard}{k}.wav": wav_bytes(1000, shard * 10 + k + 1) for k in range(2)}
        write_tar(folder / f"audio_{shard}.tar", members)
        lines += [
            {"audio_filepath": name, "duration": 1.0, "text": name, "shard_id": shard}
            for name in members
        ]
    return write_lines(folder / "tarred_audio_manifest.json", lines)


ALL = {f"audio_{s}.tar#u{s}{k}.wav": [f"u{s}{k}.wav"] for s in range(2) for k in range(2)}


def test_nemo_manifest_finds_its_shards(tmp_path: Path) -> None:
    manifest = nemo_set(tmp_path / "set")
    for sources in ([manifest], [manifest, tmp_path / "set"]):
        found = scan(*sources)
        assert found.errors == []
        assert texts(found) == ALL
    [note] = scan(tmp_path / "set").notes
    assert manifest in note


def test_nemo_manifest_elsewhere(tmp_path: Path) -> None:
    """One a shard in a folder below (as NeMo writes them), or far from the named shards."""
    manifest = Path(nemo_set(tmp_path / "set"))
    (tmp_path / "set" / "sharded_manifests").mkdir()
    below = manifest.rename(tmp_path / "set" / "sharded_manifests" / "manifest_0.json")
    assert texts(scan(below)) == ALL
    (tmp_path / "far" / "off").mkdir(parents=True)
    far = below.rename(tmp_path / "far" / "off" / "m.json")
    assert {reason for _, reason in reasons(scan(far))} == {"file_missing"}
    assert texts(scan(far, tmp_path / "set")) == ALL


def test_nemo_lines_about_one_file(tmp_path: Path) -> None:
    """Further lines have numbers in their names; audio encoded anew has another ending."""
    write_tar(tmp_path / "audio_0.tar", {"a_b.wav": wav_bytes(4000), "c.wav": wav_bytes(500, 2)})
    line = {"duration": 1.0, "shard_id": 0}
    manifest = write_lines(
        tmp_path / "m.json",
        [
            {**line, "audio_filepath": "a_b.flac", "text": "one", "offset": 0.0},
            {**line, "audio_filepath": "a_b-sub1.flac", "text": "two", "offset": 1.0},
            {**line, "audio_filepath": "/data/a_b-sub2.wav", "text": "three", "offset": 2.0},
            {**line, "audio_filepath": "c-sub1.wav", "text": "where?"},
        ],
    )
    found = scan(manifest)
    assert texts(found) == {"audio_0.tar#a_b.wav": ["one", "three", "two"]}
    assert reasons(found) == [(f"{manifest}:4", "file_missing")]


def test_shard_numbers_as_other_programs_write_them(tmp_path: Path) -> None:
    write_tar(tmp_path / "audio_0.tar", {"a.wav": wav_bytes(1000)})
    line = {"audio_filepath": "a.wav"}
    for number in (0, 0.0, "0", "0.0"):
        manifest = write_lines(tmp_path / "m.json", [{**line, "text": TEXT, "shard_id": number}])
        assert texts(scan(manifest)) == {"audio_0.tar#a.wav": [TEXT]}


def test_nemo_shards_of_two_sets_are_not_mixed(tmp_path: Path) -> None:
    one, two = nemo_set(tmp_path / "one", 1), nemo_set(tmp_path / "two", 1)
    write_tar(tmp_path / "two" / "noise_0.tar", {"u00.wav": wav_bytes(700, 99)})
    found = scan(one, two)
    assert found.errors == []
    assert len(found.recordings) == 2  # the sets have the same audio
    (tmp_path / "x" / "y").mkdir(parents=True)
    line = {"audio_filepath": "u00.wav", "text": TEXT, "shard_id": 0}
    lost = write_lines(tmp_path / "x" / "y" / "m.json", [line])
    found = scan(lost, tmp_path / "one", tmp_path / "two")
    assert (f"{lost}:1", "ambiguous_label") in reasons(found)


def test_shard_numbers_that_mean_something_else(tmp_path: Path) -> None:
    """A field of that name does no harm to a line about a file."""
    (tmp_path / "a.wav").write_bytes(wav_bytes(1000))
    write_tar(tmp_path / "audio_0.tar", {"a.wav": wav_bytes(1000, 2)})
    lines = [
        {"audio": "a.wav", "text": TEXT, "shard_id": value, "offset": 0.1 * n}
        for n, value in enumerate([0, -1, "x", None, 10**400, True, [1]])
    ]
    found = scan(write_lines(tmp_path / "m.jsonl", lines))
    assert found.errors == []
    assert list(texts(found)) == ["a.wav"]


def test_members_named_by_uri(tmp_path: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "é.wav") for form in ("NFC", "NFD"))
    shard = write_tar(
        tmp_path / "s.tar",
        {"a.wav": wav_bytes(1000), "./b/c.wav": wav_bytes(1000, 2), nfd: wav_bytes(1000, 3)},
    )
    manifest = write_lines(
        tmp_path / "m.jsonl",
        [
            {"audio": "s.tar#a.wav", "text": "one"},
            {"audio": f"{shard}#b/c.wav", "text": "two"},
            {"audio": f"s.tar#{nfc}", "text": "three"},
            {"audio": "s.tar#gone.wav", "text": "four"},
            {"audio": "gone.tar#a.wav", "text": "five"},
            {"audio": "s.tar#" + "x" * 5000, "text": "six"},
        ],
    )
    for sources in ([manifest], [manifest, shard]):
        found = scan(*sources)
        names = {"s.tar#a.wav": ["one"], "c.wav": ["two"], f"s.tar#{nfd}": ["three"]}
        assert texts(found) == names
        assert reasons(found) == [(f"{manifest}:{n}", "file_missing") for n in (4, 5, 6)]


def shar(folder: Path, source: str = "shar") -> tuple[str, str]:
    """Return the manifest of cuts and the tar file of a Shar folder, as SharWriter writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    members: dict[str, bytes] = {}
    lines = []
    for n in range(2):
        recording = {
            "id": f"rec{n}",
            "sources": [{"type": "memory", "channels": [0], "source": ""}],
            "sampling_rate": 8000,
            "num_samples": 8000,
            "duration": 1.0,
            "channel_ids": [0],
        }
        members[f"cut.{n}.wav"] = wav_bytes(1000, n + 1)
        members[f"cut.{n}.json"] = json.dumps(recording).encode()
        supervision = {"id": "s", "recording_id": "rec", "start": 0.25, "duration": 0.5}
        lines.append(
            {
                "id": f"cut.{n}",
                "start": 0,
                "duration": 1.0,
                "channel": 0,
                "type": "MonoCut",
                "recording": {
                    **recording,
                    "sources": [{"type": source, "channels": [0], "source": ""}],
                },
                "supervisions": [{**supervision, "channel": 0, "text": f"text {n}"}],
            }
        )
    cuts = folder / "cuts.000000.jsonl.gz"
    cuts.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    return str(cuts), write_tar(folder / "recording.000000.tar", members)


def test_shar_cuts_find_their_audio(tmp_path: Path) -> None:
    cuts, tar = shar(tmp_path / "s")
    for sources in ([cuts], [cuts, tar], [cuts, tmp_path / "s"]):
        found = scan(*sources)
        assert (found.errors, found.notes) == ([], [])
        spans = {r.uri: [(i.start_ms, i.end_ms, i.text) for i in r.items] for r in found.recordings}
        assert spans == {f"{tar}#cut.{n}.wav": [(250, 750, f"text {n}")] for n in range(2)}
    raw = scan(tmp_path / "s")
    assert [r.regions for r in raw.recordings] == [(), ()]
    assert cuts in raw.notes[0]


def test_shar_that_cannot_be_found_is_rows(tmp_path: Path) -> None:
    cuts, tar = shar(tmp_path / "s")
    renamed = Path(cuts).rename(tmp_path / "s" / "mine.jsonl.gz")
    found = scan(renamed)
    assert {reason for _, reason in reasons(found)} == {"unsupported_source"}
    assert "remedy" in found.errors[0].message
    renamed.rename(cuts)
    Path(tar).unlink()
    assert {reason for _, reason in reasons(scan(cuts))} == {"file_missing"}


def test_sets_in_a_bucket(s3: ObjectStore, tmp_path: Path) -> None:
    manifest = nemo_set(tmp_path / "nemo", 1)
    cuts, tar = shar(tmp_path / "shar")
    remote = [
        s3.put(f"in/{Path(path).name}", Path(path).read_bytes())
        for path in (manifest, str(tmp_path / "nemo" / "audio_0.tar"), cuts, tar)
    ]
    found = scan(remote[0], remote[2])
    assert found.errors == []
    # The two sets have the same audio.
    assert [len(recording.items) for recording in found.recordings] == [2, 2]
