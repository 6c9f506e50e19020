"""The store in a bucket: whole files or none, and few requests."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from tests.object_store import ObjectStore, Request
from tests.support import ROOT
from wavemill.manifests.filesystems import LocationError
from wavemill.pipeline.store import Store

TABLE = pa.table({"recording_id": ["a", "b"], "number": [1, 2], "audio": [b"x" * 10, b"y"]})


@pytest.fixture
def store(s3: ObjectStore) -> Store:
    return Store.open(s3.url("work/"))


def test_files_come_back(store: Store, s3: ObjectStore) -> None:
    assert store.root == f"s3://{s3.bucket}/work"
    assert not store.local
    assert store.read_text("snapshots/LATEST") is None
    store.write_text("snapshots/LATEST", "7\n")
    store.write_table("stages/draw/f/1.parquet", TABLE)
    store.write_table("stages/draw/f/2.parquet", TABLE)
    assert store.read_text("snapshots/LATEST") == "7\n"
    assert store.read_table("stages/draw/f/1.parquet", ["number"])["number"].to_pylist() == [1, 2]
    assert store.exists("snapshots/LATEST")
    assert not store.exists("snapshots")
    assert store.size("snapshots/LATEST") == 2
    assert store.facts("stages/draw/f/3.parquet") is None
    assert store.names("stages/draw/f") == {"1.parquet", "2.parquet"}
    assert store.names("nothing") == set()
    assert sorted(store.keys("stages")) == ["stages/draw/f/1.parquet", "stages/draw/f/2.parquet"]
    with pytest.raises(FileNotFoundError):
        store.read_table("stages/draw/f/3.parquet")
    with pytest.raises(FileNotFoundError):
        store.size("stages/draw")


def test_it_travels(store: Store) -> None:
    store.write_text("a", "b")
    assert pickle.loads(pickle.dumps(store)).read_text("a") == "b"


def test_directory_markers_are_no_files(store: Store, s3: ObjectStore) -> None:
    s3.filesystem.create_dir(f"{s3.bucket}/work/stages/draw")
    s3.put("work/stages/draw/1.parquet", b"")
    assert store.names("stages") == {"draw"}
    assert store.names("stages/draw") == {"1.parquet"}
    assert list(store.keys("")) == ["stages/draw/1.parquet"]
    store.delete("stages/draw/1.parquet")  # pyarrow leaves a marker here
    assert list(store.keys("")) == []
    assert store.names("stages/draw") == set()


def test_links_are_copies_and_removal_is_thorough(store: Store, s3: ObjectStore) -> None:
    for number in range(40):
        store.write_text(f"stages/{number}", str(number))
    store.link_all((f"stages/{n}", f"snapshots/000001/{n}") for n in range(40))
    assert store.names("snapshots/000001") == {str(n) for n in range(40)}
    assert store.sha256("stages/7") == store.sha256("snapshots/000001/7")
    store.delete_all([f"stages/{n}" for n in range(40)] + ["stages/absent"])
    store.delete_folder("snapshots")
    store.delete_folder("snapshots")
    assert s3.objects() == []
    with pytest.raises(OSError, match="NO_SUCH_KEY"):
        store.link_all([("stages/7", "stages/8")])


@pytest.mark.parametrize("size", [10, 30 << 20])
def test_an_exception_leaves_no_object(store: Store, s3: ObjectStore, size: int) -> None:
    with pytest.raises(KeyboardInterrupt), store.replacing("half") as path:
        _write_and_stop(path, size)
    assert s3.objects() == []
    assert not path.exists()


def _write_and_stop(path: Path, size: int) -> None:
    path.write_bytes(bytes(size))
    raise KeyboardInterrupt


def test_a_failed_upload_leaves_what_was_there(store: Store, s3: ObjectStore) -> None:
    store.write_text("big", "old")
    s3.intercept = lambda request: 403 if "partNumber=2" in request.query else None
    with pytest.raises(OSError, match="ACCESS_DENIED"), store.replacing("big") as path:
        path.write_bytes(bytes(30 << 20))
    s3.intercept = lambda _: None
    assert store.read_text("big") == "old"


def test_a_killed_upload_leaves_no_object(s3: ObjectStore) -> None:
    script = (
        "import sys; from wavemill.pipeline.store import Store\n"
        "with Store.open(sys.argv[1]).replacing('big') as path:\n"
        "    path.write_bytes(bytes(40 << 20))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, s3.url("work")], cwd=ROOT)

    def kill(request: Request) -> None:
        if "partNumber=2" in request.query:
            os.kill(child.pid, signal.SIGKILL)

    s3.intercept = kill
    assert child.wait(timeout=240) == -signal.SIGKILL
    assert s3.objects() == []


def test_a_view_reads_only_its_columns(store: Store, s3: ObjectStore) -> None:
    keys = [f"t/{n}.parquet" for n in range(3)]
    heavy = pa.table({"number": [1], "audio": [os.urandom(3 << 20)]})
    for key in keys:
        store.write_table(key, heavy)
    schema = pa.schema([("number", pa.int64())])
    with duckdb.connect() as database:
        s3.requests.clear()
        store.view(database, "t", keys, schema)
        assert database.sql("select sum(number) from t").fetchall() == [(3,)]
        assert len(s3.requests) == 9  # per file: its size, its footer, the column
        store.view(database, "t", [], schema)
        assert database.sql("select count(*) from t").fetchall() == [(0,)]


def test_small_files_need_few_requests(store: Store, s3: ObjectStore) -> None:
    s3.requests.clear()
    store.write_text("a", "1")
    assert [r.method for r in s3.requests] == ["PUT"]
    store.read_text("a")
    assert [r.method for r in s3.requests[1:]] == ["HEAD", "GET"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://no-such-bucket/x{options}", "no such bucket"),
        ("s3://key:secret@audio-lake/x", "must not hold credentials"),
        ("s3://audio-lake/x?colour=red", "colour"),
        ("nosuch://x/y", "nosuch"),
        ("adl://x/y", "adlfs"),
    ],
)
def test_what_cannot_be_opened_is_said_in_one_line(s3: ObjectStore, url: str, message: str) -> None:
    with pytest.raises(LocationError, match=message) as caught:
        Store.open(url.format(options=s3.options))
    assert "\n" not in str(caught.value)


def test_denied_access_is_said_in_one_line(s3: ObjectStore) -> None:
    s3.intercept = lambda _: 403
    with pytest.raises(LocationError, match="no permission"):
        Store.open(s3.url("work"))


def test_other_file_systems(tmp_path: Path) -> None:
    for location in ("memory://wavemill-test/work", f"file://{tmp_path}/a%20b"):
        store = Store.open(location)
        store.write_table("t/1.parquet", TABLE)
        store.link("t/1.parquet", "u/1.parquet")
        assert store.read_table("u/1.parquet").equals(TABLE)
        assert list(store.keys("u")) == ["u/1.parquet"]
        store.delete_folder("u")
        store.delete_folder("u")
        store.delete("t/2.parquet")
        assert store.names("") - {"u"} == {"t"}
    assert (tmp_path / "a b" / "t" / "1.parquet").exists()
