"""Killed at any operation on files, the same withdrawal finishes and leaves nothing behind.

WAVEMILL_KILL_EVERY=1 tries every operation in place of every seventh.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from tests.pipeline.toys import recording
from tests.pipeline.upkeep.deaths import dying_after, files_that_name
from tests.pipeline.upkeep.workdir import Workdir, expected_rows
from wavemill.manifests.cache import SCHEMA as CACHE
from wavemill.manifests.recording import Item, SourceError
from wavemill.pipeline.request import REQUEST, remember
from wavemill.pipeline.snapshots import point_corpus_at_newest
from wavemill.pipeline.upkeep.purge import finish_purge, purge
from wavemill.pipeline.upkeep.withdrawal import matching

EVERY = int(os.environ.get("WAVEMILL_KILL_EVERY", "7"))
SECRET = "nobody may ever hear of the blue heron"
GONE = recording("/data/r2", items=(Item("i", 0, 1000, text=SECRET),))
OTHERS = [recording(f"/data/r{i}") for i in (0, 1, 3)]
BAD = recording("/data/bad one")
WORDS = (GONE.recording_id, "r2.wav", SECRET[:30])
QUOTING = [
    SourceError("list.jsonl:3", "bad_field", f"text must be a text, not ['{SECRET[:36]}"),
    SourceError("/data/r2.wav", "unreadable", "cannot read it"),
    SourceError("list.jsonl:4", "file_missing", "'/data/r22.wav': it does not exist"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """Two snapshots, what other commands write, and leftovers of runs that died."""
    made = Workdir(tmp_path_factory.mktemp("built"), source_errors=QUOTING)
    made.run([GONE, *OTHERS, BAD], 100)
    made.run([GONE, *OTHERS, BAD], 20)
    store = made.store
    remember(store, ["/data", GONE.uri], {}, "0")
    rows = [
        {"uri": r.uri, "recording_id": r.recording_id, "size": 1, "mtime_ns": 1, "duration_ms": 1}
        for r in (GONE, *OTHERS)
    ]
    store.write_table("manifest/hash-cache.parquet", pa.Table.from_pylist(rows, schema=CACHE))
    store.write_text("report/index.html", f"<p>{SECRET}</p>")
    with duckdb.connect(store.path("quality.duckdb")) as database:
        database.execute("create table t as select ? as text", [SECRET])
    for leftover in (
        "quality.duckdb.wal",
        ".quality.duckdb.1.tmp",
        ".quality.duckdb.1.tmp.wal",
        "stages/draw/.x.parquet.1.tmp",
        "snapshots/000003/recordings.parquet.half",
    ):
        store.write_text(leftover, SECRET)
    return made


def withdraw(workdir: Workdir) -> bool:
    """What the command does, from the moment that it holds the lock; return whether it is clean."""
    point_corpus_at_newest(workdir.store)
    finish_purge(workdir.store, "now")
    (match,) = matching(workdir.store, ["r2.wav"]).recordings
    workdir.withdraw([match.recording_id], 20, purge=True, names=match.names)
    return purge(workdir.store, "now").clean


def operations(workdir: Workdir) -> int:
    with dying_after(1 << 30) as fate:
        assert withdraw(workdir)
    return (1 << 30) - fate.left


def check(workdir: Workdir) -> None:
    assert files_that_name(Path(workdir.store.root), WORDS) == {}
    assert workdir.verify() == []
    assert workdir.rows() == expected_rows(OTHERS, 20)
    assert workdir.rows("snapshots/000001") == expected_rows(OTHERS, 100)
    assert json.loads(workdir.store.read_text(REQUEST) or "")["sources"] == ["/data"]
    errors = workdir.store.read_table("snapshots/000001/errors.parquet").to_pylist()
    assert len(errors) == len(QUOTING) + 1
    assert any("'/data/r22.wav'" in row["message"] for row in errors)


def test_undisturbed_nothing_is_left(built: Workdir, tmp_path: Path) -> None:
    assert set(files_that_name(Path(built.store.root), WORDS)) > {"quality.duckdb", REQUEST}
    workdir = built.copy(tmp_path)
    assert operations(workdir) > 30
    check(workdir)


def test_killed_anywhere_the_same_command_finishes(built: Workdir, tmp_path: Path) -> None:
    count = operations(built.copy(tmp_path / "calm"))
    for number in range(0, count, EVERY):
        workdir = built.copy(tmp_path / str(number))
        with dying_after(number) as fate:
            withdraw(workdir)
        assert fate.dead
        assert withdraw(workdir), number
        check(workdir)


def test_killed_anywhere_the_next_run_finishes_what_it_began(
    built: Workdir, tmp_path: Path
) -> None:
    """Also one that asks for nothing of the kind: what was half done would look like damage."""
    count = operations(built.copy(tmp_path / "calm"))
    for number in range(3, count, 2 * EVERY):
        workdir = built.copy(tmp_path / str(number))
        with dying_after(number):
            withdraw(workdir)
        finish_purge(workdir.store, "now")
        workdir.run([GONE, *OTHERS, BAD], 20)
        assert set(workdir.verify()) <= {"corpus"}
