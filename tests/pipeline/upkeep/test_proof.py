"""The proof of a purge reads every file, of whatever kind, and names those that are not clean."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wavemill.pipeline.store import Store
from wavemill.pipeline.upkeep.proof import FEW_IDS, Traces, prove

ID = "0123456789abcdef" * 2
URI = "/data/Größe <1> & 'x'.wav"
OTHER = "f" * 32


def parquet(path: Path, text: str) -> None:
    table = pa.table({"notes": [["a"], ["b", f"see {text}"]]})
    pq.write_table(table, path, compression="zstd")


def facts(path: Path, text: str) -> None:
    pq.write_table(pa.table({"n": [1]}).replace_schema_metadata({"about": text}), path)


def database(path: Path, text: str) -> None:
    with duckdb.connect(path) as made:
        made.execute('create schema "odd ""name"""')
        made.execute('create table "odd ""name""".t as select {n: 1, said: ?} as s', [text])


def interrupted_database(path: Path, text: str) -> None:
    """One whose last change still stands beside it."""
    kept = path.with_name("kept")
    made = duckdb.connect(kept)
    made.execute("create table t as select ? as s", [f"see {text}"])
    (path.parent / f"{path.name}.wal").write_bytes((kept.parent / "kept.wal").read_bytes())
    path.write_bytes(kept.read_bytes())
    made.close()
    kept.unlink()


def zipped(path: Path, text: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", f"see {text}")


def far_in(path: Path, text: str) -> None:
    """Across the end of a block that is read at a time."""
    path.write_bytes(b"." * ((4 << 20) - 7) + text.encode() + b"." * 99)


KINDS: dict[str, Callable[[Path, str], object]] = {
    "a.parquet": parquet,
    "of another name": parquet,
    "facts.parquet": facts,
    "a.duckdb": database,
    "b.duckdb": interrupted_database,
    "a.jsonl": lambda path, text: path.write_text(json.dumps({"x": text}), encoding="utf-8"),
    "a.txt": lambda path, text: path.write_text(f"see {text}", encoding="utf-8"),
    "a.gz": lambda path, text: path.write_bytes(gzip.compress(text.encode())),
    "a.bz2": lambda path, text: path.write_bytes(bz2.compress(text.encode())),
    "a.zst": lambda path, text: path.write_bytes(
        pa.Codec("zstd").compress(text.encode()).to_pybytes()
    ),
    "a.zip": zipped,
    "far.bin": far_in,
    ".tmp/spilt": lambda path, text: path.write_text(text, encoding="utf-8"),
    "stages/draw/.x.tmp": lambda path, text: path.write_text(text, encoding="utf-8"),
    f"clips/{ID}-0.flac": lambda path, _: path.write_bytes(b"fLaC"),
}


def made(folder: Path, name: str, text: str) -> Store:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    KINDS[name](path, text)
    return Store.open(folder)


@pytest.mark.parametrize("name", KINDS)
def test_an_id_is_found(tmp_path: Path, name: str) -> None:
    proof = prove(made(tmp_path, name, ID), Traces(pa.array([ID])))
    assert proof.unreadable == ()
    assert {*proof.rows, *proof.named} & {name, f"{name}.wal"}
    assert not proof.clean


@pytest.mark.parametrize("name", [name for name in KINDS if ID not in name])
def test_others_are_not(tmp_path: Path, name: str) -> None:
    store = made(tmp_path, name, ID)
    for count in (1, FEW_IDS + 1):
        ids = [f"{i:032x}" for i in range(1, count)] + [OTHER]
        assert prove(store, Traces(pa.array(ids))).clean


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.gz", "a.zip", "far.bin", "a.duckdb"])
def test_the_name_of_its_file_is_found(tmp_path: Path, name: str) -> None:
    proof = prove(made(tmp_path, name, URI), Traces(pa.array([OTHER]), frozenset([URI])))
    assert proof.named == (name,)


def test_one_of_many_ids_is_found_in_a_run_of_digits(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"{'0' * 50}{ID}{'e' * 50}", encoding="utf-8")
    ids = [*(f"{i:032x}" for i in range(1, 2 * FEW_IDS)), ID]
    assert prove(Store.open(tmp_path), Traces(pa.array(ids))).named == ("a.txt",)


@pytest.mark.parametrize("name", ["a.parquet", "a.zip", "a.gz", "a.duckdb"])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    store = made(tmp_path, name, OTHER)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert prove(store, Traces(pa.array([ID]))).unreadable == (name,)


def test_links_pipes_and_odd_names_do_no_harm(tmp_path: Path) -> None:
    work, outside = tmp_path / "work", tmp_path / "outside"
    outside.mkdir()
    work.mkdir()
    (outside / "a.txt").write_text(ID, encoding="utf-8")
    (work / "sources").symlink_to(outside)
    (work / "broken").symlink_to(outside / "nothing")
    os.mkfifo(work / "pipe")
    (work / os.fsdecode(b"odd \xff name")).write_text("x", encoding="utf-8")
    pq.write_table(pa.table({"source": [1, 2], "segment_id": [None, None]}), work / "t.parquet")
    proof = prove(Store.open(work), Traces(pa.array([ID])))
    assert (proof.clean, proof.files) == (True, 2)


def test_a_copy_in_place_of_the_link_is_read(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    pq.write_table(pa.table({"recording_id": [ID]}), tmp_path / "corpus/part.parquet")
    proof = prove(Store.open(tmp_path), Traces(pa.array([ID])))
    assert proof.rows == {"corpus/part.parquet": 1}
