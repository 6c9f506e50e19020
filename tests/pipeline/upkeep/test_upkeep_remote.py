"""gc, verify, withdraw, purge and the lock with a WORKDIR in a bucket."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.object_store import ObjectStore
from tests.pipeline.toys import recording
from tests.pipeline.upkeep.workdir import Workdir, expected_rows
from wavemill.pipeline import lock
from wavemill.pipeline.lock import WorkdirBusy, locked, read_lock
from wavemill.pipeline.store import Store
from wavemill.pipeline.upkeep.purge import purge

SIX = [recording(f"r{i}") for i in range(6)]


@pytest.fixture
def workdir(s3: ObjectStore, tmp_path: Path) -> Workdir:
    made = Workdir(tmp_path, Store.open(s3.url("work")))
    made.run(SIX, 100)
    made.run(SIX, 20)
    return made


def test_gc_leaves_what_is_needed(workdir: Workdir) -> None:
    garbage = workdir.gc(1)
    assert [snapshot.number for snapshot in garbage.snapshots] == [1]
    assert garbage.outputs
    assert workdir.verify() == []
    assert workdir.rows() == expected_rows(SIX, 20)
    assert not workdir.run(SIX, 20)


def test_a_damaged_object_is_named_and_made_again(workdir: Workdir) -> None:
    workdir.gc(1)
    key = workdir.files("stages/weigh")[0]
    table = workdir.store.read_table(key)
    with workdir.store.replacing(key) as path:
        pq.write_table(table.slice(1), path)
    assert workdir.verify() == [key]
    workdir.repair()
    workdir.run(SIX, 20)
    assert workdir.rows() == expected_rows(SIX, 20)
    assert workdir.verify() == []


def test_a_purged_recording_is_in_no_copy(workdir: Workdir) -> None:
    """There are no hard links: a snapshot's parts are objects of their own."""
    ids = [SIX[2].recording_id]
    workdir.withdraw(ids, 20, purge=True)
    assert purge(workdir.store, "now").clean
    left = [rec for rec in SIX if rec is not SIX[2]]
    assert workdir.rows("snapshots/000001") == expected_rows(left, 100)
    assert workdir.rows() == expected_rows(left, 20)
    assert workdir.verify() == []


def test_one_run_at_a_time(workdir: Workdir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.1)
    refused = pytest.raises(WorkdirBusy, match="wavemill curate")
    with locked(workdir.store, "wavemill curate"), refused, locked(workdir.store, "gc"):
        pass
    assert read_lock(workdir.store) is None
