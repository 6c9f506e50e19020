"""The build core with its WORKDIR in a bucket: the same corpus, whatever is killed."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.object_store import ObjectStore, Request
from tests.pipeline.test_build_core import TEN, ToyBuild
from tests.pipeline.toys import recording, toy_graph
from tests.support import ROOT
from wavemill.pipeline.execution.events import TaskDone
from wavemill.pipeline.execution.on_ray import run_on_ray
from wavemill.pipeline.execution.settings import ExecutionSettings
from wavemill.pipeline.snapshots import all_snapshots, latest_snapshot
from wavemill.pipeline.store import Store

Rows = list[tuple[str, int]]


class RemoteToyBuild(ToyBuild):
    def __init__(self, folder: Path, url: str) -> None:
        self.store = Store.open(url)
        self.log = folder / "calls.txt"

    def rows(self) -> Rows:
        snapshot = latest_snapshot(self.store)
        assert snapshot is not None
        folder = f"{snapshot.folder}/gather"
        tables = [self.store.read_table(f"{folder}/{n}") for n in self.store.names(folder)]
        assert sum(table.num_rows for table in tables) == snapshot.rows["gather"]
        return sorted(
            (row["segment_id"], row["number"]) for table in tables for row in table.to_pylist()
        )


@pytest.fixture
def remote(s3: ObjectStore, tmp_path: Path) -> RemoteToyBuild:
    return RemoteToyBuild(tmp_path, s3.url("work"))


@pytest.fixture
def expected(tmp_path: Path) -> Rows:
    (tmp_path / "local").mkdir()
    local = ToyBuild(tmp_path / "local")
    local.run([*TEN, recording("bad one")])
    return local.rows()


def test_the_corpus_is_that_of_a_local_build(
    remote: RemoteToyBuild, expected: Rows, s3: ObjectStore
) -> None:
    sources = [*TEN, recording("bad one")]
    remote.run(sources)
    assert remote.rows() == expected
    s3.requests.clear()
    assert remote.run(sources) == Counter()
    assert len(s3.requests) <= 40
    assert [r for r in s3.requests if r.method not in ("GET", "HEAD")] == []
    remote.run(sources, threshold=100)
    remote.run([*sources, recording("new")])
    assert [s.number for s in all_snapshots(remote.store)] == [1, 2, 3]
    assert any(name.startswith("new") for name, _ in remote.rows())


def test_workers_of_ray_write_there(remote: RemoteToyBuild, expected: Rows) -> None:
    sources = [*TEN, recording("bad one")]
    plan = remote.plan(sources, toy_graph())
    plan.catalogue.save()
    for event in run_on_ray(plan, toy_graph, remote.store, ExecutionSettings(workers=2)):
        if isinstance(event, TaskDone):
            plan.ledger.add(event.result)
    remote.publish(plan)
    assert remote.rows() == expected


RUN = """
import sys
from pathlib import Path
from tests.pipeline.test_build_remote import RemoteToyBuild
from tests.pipeline.test_build_core import TEN
from tests.pipeline.toys import recording
RemoteToyBuild(Path(sys.argv[1]), sys.argv[2]).run([*TEN, recording("bad one")])
"""


def test_a_killed_run_leaves_whole_files_and_the_next_goes_on(
    s3: ObjectStore, tmp_path: Path, expected: Rows
) -> None:
    for writes in (2, 6, 11):  # the request at which it is killed, of those that write
        _killed_run(s3, tmp_path, writes)
        for key in s3.objects():
            with s3.filesystem.open_input_file(f"{s3.bucket}/{key}") as file:
                content = file.read()
            if key.endswith(".parquet"):
                pq.read_table(io.BytesIO(content))
    remote = RemoteToyBuild(tmp_path, s3.url("work"))
    calls = remote.run([*TEN, recording("bad one")])
    assert calls["draw"] < 11
    assert remote.rows() == expected


def _killed_run(s3: ObjectStore, folder: Path, writes: int) -> None:
    command = [sys.executable, "-c", RUN, str(folder), s3.url("work")]
    child = subprocess.Popen(command, cwd=ROOT)
    seen: list[Request] = []

    def kill(request: Request) -> None:
        seen.extend([request] if request.method in ("PUT", "POST") else [])
        if len(seen) == writes:
            os.kill(child.pid, signal.SIGKILL)

    s3.intercept = kill
    assert child.wait(timeout=240) == -signal.SIGKILL
    s3.intercept = lambda _: None
