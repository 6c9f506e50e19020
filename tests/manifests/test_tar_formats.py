"""Tar files as tar itself makes them, and as no one should: links, sparse members, damage."""

from __future__ import annotations

import os
import random
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.manifests.support import reasons, scan, uris, wav_bytes, wav_probe, write_tar
from wavemill.manifests.cache import HashCache
from wavemill.manifests.config import ScanConfig
from wavemill.manifests.scan import scan_sources
from wavemill.manifests.tar_index import TarIndex, tar_index
from wavemill.manifests.uri import open_uri

BLOCK = 512


def header(name: str, kind: bytes = b"0", link: str = "", size: int = 0, **fields: bytes) -> bytes:
    """A GNU header; `fields` are bytes put at the place `at_N`, with the checksum made right."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT)[-BLOCK:])
    for place, content in fields.items():
        at = int(place.removeprefix("at_"))
        block[at : at + len(content)] = content
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % BLOCK)


def member(name: str, content: bytes, kind: bytes = b"0", **fields: bytes) -> bytes:
    return header(name, kind, size=len(content), **fields) + padded(content)


def pax(records: list[tuple[str, str]], kind: bytes = b"x") -> bytes:
    content = b""
    for key, value in records:
        rest = f" {key}={value}\n".encode()
        length = len(rest) + len(str(len(rest) + 2))
        content += b"%d" % length + rest
    return member("./PaxHeaders/x", content, kind)


def write(path: Path, *parts: bytes) -> str:
    path.write_bytes(b"".join(parts) + b"\0" * 2 * BLOCK)
    return str(path)


def index_of(path: str) -> TarIndex:
    state = Path(path).stat()
    return tar_index(path, state.st_size, state.st_mtime_ns)


def content_of(path: str, name: str) -> bytes:
    with open_uri(f"{path}#{name}") as file:
        return file.read()


def test_links_of_all_kinds(tmp_path: Path) -> None:
    one, two = wav_bytes(1000, 1), wav_bytes(1000, 2)
    shard = write(
        tmp_path / "s.tar",
        header("set/", b"5"),
        header("set/forward.wav", b"2", "../other/two.wav"),
        member("set/one.wav", one),
        header("set/hard.wav", b"1", "set/one.wav"),
        header("set/hard_of_hard.wav", b"1", "set/hard.wav"),
        header("set/chain.wav", b"2", "forward.wav"),
        header("set/hard_of_link.wav", b"1", "set/chain.wav"),
        header("set/through_folder.wav", b"2", "../alias/two.wav"),
        header("alias", b"2", "other"),
        member("./other/two.wav", two),
        header("set/dotted.wav", b"2", "./../set/./one.wav"),
        header("set/one.wav", b"1", "set/one.wav"),  # GNU tar, given the same file twice
    )
    index = index_of(shard)
    assert index.damage is None
    assert index.unusable == {}
    assert index.repeated == 0
    found = {name: content_of(shard, name) == one for name in index.members}
    assert found == {
        "set/one.wav": True,
        "set/hard.wav": True,
        "set/hard_of_hard.wav": True,
        "set/dotted.wav": True,
        "set/forward.wav": False,
        "set/chain.wav": False,
        "set/hard_of_link.wav": False,
        "set/through_folder.wav": False,
        "./other/two.wav": False,
    }
    recordings = scan(shard)
    assert recordings.errors == []
    assert len(recordings.recordings) == 2
    assert recordings.duplicates == 7


def test_links_that_lead_nowhere_are_rows(tmp_path: Path) -> None:
    shard = write(
        tmp_path / "s.tar",
        member("good.wav", wav_bytes(1000)),
        header("missing.wav", b"2", "nowhere.wav"),
        header("absolute.wav", b"2", "/data/good.wav"),
        header("above.wav", b"2", "../../good.wav"),
        header("ring_a.wav", b"2", "ring_b.wav"),
        header("ring_b.wav", b"2", "ring_a.wav"),
        header("self.wav", b"2", "self.wav"),
        header("too_early.wav", b"1", "late.wav"),
        header("of_early.wav", b"2", "too_early.wav"),
        member("late.wav", wav_bytes(500)),
        header("pipe.wav", b"6"),
        header("device.wav", b"3"),
        header("strange.wav", b"V"),
        header("missing.txt", b"2", "nowhere.txt"),
        header("picture.jpg", b"2", "nowhere.jpg"),
        header("folder", b"2", "."),
    )
    found = scan(shard)
    assert uris(found) == [f"{shard}#good.wav", f"{shard}#late.wav"]
    names = sorted(uri.partition("#")[2] for uri, _ in reasons(found))
    assert names == [
        "above.wav",
        "absolute.wav",
        "device.wav",
        "missing.txt",
        "missing.wav",
        "of_early.wav",
        "pipe.wav",
        "ring_a.wav",
        "ring_b.wav",
        "self.wav",
        "strange.wav",
        "too_early.wav",
    ]
    assert {reason for _, reason in reasons(found)} == {"bad_member"}
    assert found.notes == ["1 .jpg not read"]


PARTS = [(0, b"RIFF" * 200), (4096, b"middle" * 100), (20480, b"end")]
SPARSE_SIZE = 30000


def sparse_content() -> bytes:
    content = bytearray(SPARSE_SIZE)
    for at, part in PARTS:
        content[at : at + len(part)] = part
    return bytes(content)


STORED = b"".join(part for _, part in PARTS)
PAIRS = [number for at, part in [*PARTS, (SPARSE_SIZE, b"")] for number in (at, len(part))]


def old_gnu_sparse() -> bytes:
    numbers = [b"%011o\0" % number for number in PAIRS]
    first, rest = b"".join(numbers[:4]), b"".join(numbers[4:])
    fields = {"at_386": first, "at_482": b"\1", "at_483": b"%011o\0" % SPARSE_SIZE}
    extension = rest.ljust(504, b"\0") + b"\0" * 8
    block = header("sparse.wav", b"S", size=len(STORED), **fields)
    return block + extension + padded(STORED)


def pax_sparse_00() -> bytes:
    records = [("GNU.sparse.size", str(SPARSE_SIZE)), ("GNU.sparse.numblocks", "4")]
    for at, count in zip(PAIRS[::2], PAIRS[1::2], strict=True):
        records += [("GNU.sparse.offset", str(at)), ("GNU.sparse.numbytes", str(count))]
    return pax(records) + member("sparse.wav", STORED)


def pax_sparse_01() -> bytes:
    records = [
        ("GNU.sparse.size", str(SPARSE_SIZE)),
        ("GNU.sparse.map", ",".join(map(str, PAIRS))),
        ("GNU.sparse.name", "sparse.wav"),
    ]
    return pax(records) + member("./GNUSparseFile.1/sparse.wav", STORED)


def pax_sparse_10() -> bytes:
    records = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "sparse.wav"),
        ("GNU.sparse.realsize", str(SPARSE_SIZE)),
    ]
    lines = padded("".join(f"{number}\n" for number in [len(PAIRS) // 2, *PAIRS]).encode())
    return pax(records) + member("./GNUSparseFile.1/sparse.wav", lines + STORED)


SPARSE = [old_gnu_sparse, pax_sparse_00, pax_sparse_01, pax_sparse_10]


@pytest.mark.parametrize("make", SPARSE)
def test_sparse_members_are_read_whole(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    whole = sparse_content()
    shard = write(tmp_path / "s.tar", make(), member("after.wav", b"after"))
    index = index_of(shard)
    assert (index.damage, index.unusable) == (None, {})
    assert content_of(shard, "sparse.wav") == whole
    assert content_of(shard, "after.wav") == b"after"
    with tarfile.open(shard) as archive:  # as Python reads it
        extracted = archive.extractfile("sparse.wav")
        assert extracted is not None
        assert extracted.read() == whole
    picker = random.Random(1)
    with open_uri(f"{shard}#sparse.wav") as file:
        for _ in range(200):
            at, count = picker.randrange(SPARSE_SIZE), picker.randrange(3000)
            file.seek(at)
            assert file.read(count) == whole[at : at + count]


@pytest.mark.parametrize(
    "numbers",
    [
        [0, 100, 50, 100],  # overlapping
        [0, 100, SPARSE_SIZE, 1],  # beyond its end
        [0, SPARSE_SIZE],  # more than is stored
        [0],  # half a pair
    ],
)
def test_wrong_sparse_maps_are_rows(tmp_path: Path, numbers: list[int]) -> None:
    records = [
        ("GNU.sparse.size", str(SPARSE_SIZE)),
        ("GNU.sparse.map", ",".join(map(str, numbers))),
    ]
    sparse = pax(records) + member("sparse.wav", b"x" * 1000)
    shard = write(tmp_path / "s.tar", sparse, member("good.wav", wav_bytes(100)))
    found = scan(shard)
    assert reasons(found) == [(f"{shard}#sparse.wav", "bad_member")]
    assert uris(found) == [f"{shard}#good.wav"]


def test_endless_sparse_member_is_a_row(tmp_path: Path) -> None:
    records = [("GNU.sparse.size", str(1 << 60)), ("GNU.sparse.map", "0,4")]
    shard = write(tmp_path / "s.tar", pax(records) + member("huge.wav", b"RIFF"))
    [error] = scan(shard).errors
    assert error.reason == "bad_member"
    assert "max_sparse_bytes" in error.message


def test_long_names(tmp_path: Path) -> None:
    long = "/".join(["d" * 90] * 4) + "/é.wav"
    for name, tar_format in {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}.items():
        path = tmp_path / f"{name}.tar"
        with tarfile.open(path, "w", format=tar_format) as archive:
            info = tarfile.TarInfo(long)
            info.size = 5
            archive.addfile(info, BytesIO(b"audio"))
            link = tarfile.TarInfo("link.wav")
            link.type, link.linkname = tarfile.SYMTYPE, long
            archive.addfile(link)
        index = index_of(str(path))
        assert set(index.members) == {long, "link.wav"}
        assert content_of(str(path), "link.wav") == b"audio"


def test_names_of_old_formats(tmp_path: Path) -> None:
    ustar = header("b.wav", at_257=b"ustar\x0000", at_345=b"folder/of/ustar", size=1)
    v7 = header("v7.wav", at_257=b"\0" * 8, size=1, at_156=b"\0")
    shard = write(tmp_path / "s.tar", ustar + padded(b"1"), v7 + padded(b"2"))
    assert set(index_of(shard).members) == {"folder/of/ustar/b.wav", "v7.wav"}


def test_global_records_do_not_name_members(tmp_path: Path) -> None:
    """As `git archive` writes them."""
    comment = pax([("comment", "a1b2")], b"g")
    shard = write(tmp_path / "s.tar", comment, member("a.wav", b"x"))
    assert set(index_of(shard).members) == {"a.wav"}


def test_the_last_of_a_name_counts_and_a_note_tells_it(tmp_path: Path) -> None:
    shard = write(
        tmp_path / "s.tar",
        member("a.wav", wav_bytes(1000, 1)),
        header("kept.wav", b"1", "a.wav"),
        member("a.wav", wav_bytes(500, 2)),
    )
    found = scan(shard)
    assert {r.uri.partition("#")[2]: r.duration_ms for r in found.recordings} == {
        "a.wav": 500,
        "kept.wav": 1000,
    }
    [note] = found.notes
    assert note == f"members that a later one of the same name replaces: 1 in {shard}"


def test_joined_archives_are_all_read(tmp_path: Path) -> None:
    parts = [Path(write_tar(tmp_path / f"{n}", {f"{n}.wav": b"%d" % n})) for n in range(3)]
    joined = tmp_path / "joined.tar"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert set(index_of(str(joined)).members) == {"0.wav", "1.wav", "2.wav"}
    assert index_of(str(joined)).damage is None
    assert content_of(str(joined), "2.wav") == b"2"


def test_what_follows_the_end_is_told(tmp_path: Path) -> None:
    shard = Path(write_tar(tmp_path / "s.tar", {"a.wav": wav_bytes(100)}))
    shard.write_bytes(shard.read_bytes() + b"no tar" * 100)
    found = scan(shard)
    assert uris(found) == [f"{shard}#a.wav"]
    assert reasons(found) == [(str(shard), "bad_tar")]


def test_compressed_tar_has_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a.wav"))
    for name in ("s.tar", "s.tar.gz", "s.tgz"):
        path = path.rename(tmp_path / name)
        [error] = scan(path).errors
        assert "remedy: " in error.message
        assert "gunzip" in error.message


GOOD = member("good.wav", wav_bytes(100))
HOSTILE = {
    "negative size": header("bad.wav", at_124=b"-0000000512\0"),
    "negative binary size": header("bad.wav", at_124=b"\xff" * 11 + b"\0"),
    "huge binary size": header("bad.wav", at_124=b"\x80" + b"\xff" * 11),
    "size that is no number": header("bad.wav", at_124=b"12_4"),
    "huge name": header("././@LongLink", b"L", size=0, at_124=b"\x80" + (1 << 60).to_bytes(11)),
    "huge records": header("x", b"x", at_124=b"\x80" + (1 << 60).to_bytes(11)),
    "negative size in records": pax([("size", "-512")]) + header("bad.wav"),
    "huge size in records": pax([("size", "9" * 19)]) + header("bad.wav"),
    "long number in records": pax([("size", "9" * 5000)]) + header("bad.wav"),
    "endless sparse extension": header("b.wav", b"S", at_482=b"\1") + (b"\0" * 504 + b"\1" * 8) * 3,
    "name after name": member("././@LongLink", b"n" * 200, b"L") * 3000,
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_headers_are_damage(tmp_path: Path, hostile: str) -> None:
    shard = tmp_path / "s.tar"
    shard.write_bytes(GOOD + HOSTILE[hostile])
    found = scan(shard)
    assert uris(found) == [f"{shard}#good.wav"]
    [error] = found.errors
    assert error.source == str(shard)
    assert error.reason in ("bad_tar", "bad_member")


def test_many_digits_cost_no_time(tmp_path: Path) -> None:
    """Python's own reader looks for a record in them for hours."""
    shard = write(tmp_path / "s.tar", member("x", b"1" * (1 << 19), b"x"), GOOD)
    assert set(index_of(shard).members) == {"good.wav"}


def test_seeded_mutants_of_tars(tmp_path: Path) -> None:
    """Whatever a tar holds, the scan ends, tells why it stopped, and invents no bytes."""
    picker = random.Random(20240229)
    sources = [
        b"".join([GOOD, header("l.wav", b"2", "good.wav"), make(), GOOD]) + b"\0" * 1024
        for make in SPARSE
    ]
    shard = tmp_path / "s.tar"
    for number in range(500):
        content = bytearray(picker.choice(sources))
        for _ in range(picker.randrange(1, 6)):
            at = picker.randrange(len(content))
            content[at] = picker.choice([0, 0x80, 0xFF, ord("-"), ord("9"), picker.randrange(256)])
        for at in range(0, len(content) - BLOCK, BLOCK):  # so that more than checksums are tried
            if content[at + 257 : at + 262] == b"ustar" and picker.random() < 0.9:
                block = content[at : at + BLOCK]
                block[148:156] = b" " * 8
                content[at + 148 : at + 156] = b"%06o\0 " % sum(block)
        if picker.random() < 0.3:
            del content[picker.randrange(len(content)) :]
        shard.write_bytes(content)
        os.utime(shard, ns=(number, number))
        index = index_of(str(shard))
        for known in index.members.values():
            assert known.offset >= 0
            assert known.size >= 0
            stored = known.size if known.extents is None else sum(n for _, n in known.extents)
            assert known.offset + stored <= len(content)
        if number % 10 == 0:
            scan_quickly(shard)


def scan_quickly(shard: Path) -> None:
    config = ScanConfig(max_sparse_bytes=1 << 20, threads=1)
    scan_sources([str(shard)], wav_probe, HashCache(), config=config)


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(NAMES.filter(lambda n: n[-1] != "/"), st.binary(max_size=2000), max_size=5))
@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_same_members_as_python_reads(
    tmp_path_factory: pytest.TempPathFactory, tar_format: int, members: dict[str, bytes]
) -> None:
    path = tmp_path_factory.mktemp("tar") / "s.tar"
    with tarfile.open(path, "w", format=tar_format) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, BytesIO(content))
    with tarfile.open(path) as archive:
        expected = {m.name: archive.extractfile(m) for m in archive if m.isreg()}
        contents = {name: file.read() for name, file in expected.items() if file is not None}
    index = index_of(str(path))
    assert index.damage is None
    assert {name: content_of(str(path), name) for name in index.members} == contents
