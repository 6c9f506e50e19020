"""`wavemill gc`: what goes, what stays, and that an interruption harms nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.pipeline.toys import recording
from tests.pipeline.upkeep.workdir import FAR_FUTURE_MS, Workdir, expected_rows
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.snapshots import all_snapshots, latest_snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.upkeep.retention import find_garbage, freed_bytes, remove

TEN = [recording(f"r{i}") for i in range(10)]


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    return Workdir(tmp_path)


def outputs(workdir: Workdir, stage: str) -> list[str]:
    return [key for key in workdir.files(f"stages/{stage}") if not key.endswith("errors.parquet")]


def test_outputs_of_dropped_configurations_go(workdir: Workdir) -> None:
    workdir.run(TEN, scale=2)
    old = workdir.files("stages")
    workdir.run(TEN)
    garbage = workdir.gc(keep=1)
    assert {file.key for file in garbage.outputs} == set(old)
    assert not set(old) & set(workdir.files("stages"))
    assert [s.number for s in all_snapshots(workdir.store)] == [2]
    assert workdir.rows() == expected_rows(TEN)
    assert workdir.verify() == []


def test_what_a_kept_snapshot_needs_stays(workdir: Workdir) -> None:
    workdir.run(TEN, scale=2)
    workdir.run(TEN)
    before = workdir.files("stages")
    assert workdir.gc(keep=2).files == ()
    assert workdir.files("stages") == before


def test_a_build_after_gc_has_nothing_to_do(workdir: Workdir) -> None:
    workdir.run([*TEN, recording("bad one")], threshold=100)
    workdir.run([*TEN, recording("bad one")], threshold=20)
    workdir.gc()
    assert not workdir.run([*TEN, recording("bad one")], threshold=20)


def test_what_an_interrupted_build_made_stays_for_the_next(workdir: Workdir) -> None:
    workdir.run(TEN[:4])
    workdir.run(TEN, tasks=9)
    made = workdir.files("stages")
    workdir.gc()
    assert workdir.files("stages") == made
    calls = workdir.run(TEN)
    assert calls["draw"] < 6


def test_so_does_what_it_had_not_remembered(workdir: Workdir) -> None:
    workdir.run(TEN[:4])
    workdir.run(TEN, tasks=9, remember=False)
    made = workdir.files("stages")
    workdir.gc()
    assert workdir.files("stages") == made


def test_without_a_snapshot_every_output_stays(workdir: Workdir) -> None:
    workdir.run(TEN, tasks=9)
    made = workdir.files("stages")
    workdir.gc()
    assert workdir.files("stages") == made


def test_outputs_that_complete_each_other_stay_together(workdir: Workdir) -> None:
    """A later output of a selected stage lacks what the earlier one holds."""
    workdir.run(TEN, threshold=100)
    workdir.run(TEN, scale=2)
    workdir.run(TEN, threshold=20, tasks=1000)  # computed, not published
    workdir.gc()
    workdir.run(TEN, threshold=20)
    assert workdir.rows() == expected_rows(TEN, 20)


def test_leftovers_of_interrupted_writes_go(workdir: Workdir) -> None:
    workdir.run(TEN)
    names = ("stages/draw/x/.s.parquet.0a1b.tmp", "manifest/.hash-cache.parquet.7.tmp", ".c.tmp")
    for name in names:
        workdir.store.write_text(name, "half")
    unfinished = "snapshots/000007/gather/x.parquet"
    workdir.store.write_text(unfinished, "half")
    garbage = workdir.gc(keep=5)
    assert {file.key for file in garbage.leftovers} == set(names)
    assert not any(workdir.store.exists(name) for name in (*names, unfinished))


def test_a_temporary_file_that_may_be_in_use_stays(workdir: Workdir) -> None:
    workdir.run(TEN)
    workdir.store.write_text("manifest/.hash-cache.parquet.7.tmp", "half")
    now = int(workdir.store.path("manifest").stat().st_mtime * 1000)
    assert find_garbage(workdir.store, 1, now).leftovers == ()


def test_without_a_ledger_nothing_is_removed(workdir: Workdir) -> None:
    workdir.run(TEN)
    workdir.store.delete_folder("manifest/ledger")
    with pytest.raises(LookupError, match="verify"):
        find_garbage(workdir.store, 1, FAR_FUTURE_MS)


@pytest.mark.parametrize("deletions", range(0, 40, 8))
def test_an_interrupted_gc_leaves_a_sound_workdir(
    workdir: Workdir, monkeypatch: pytest.MonkeyPatch, deletions: int
) -> None:
    """Dies after so many files; then a build that needs some of what was being removed."""
    workdir.run(TEN[:6], threshold=100)
    workdir.run(TEN[:6], threshold=20)
    workdir.run(TEN[:6], threshold=100, scale=3)
    left = [deletions]

    def delete(store: Store, key: str) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        store.path(key).unlink(missing_ok=True)

    garbage = find_garbage(workdir.store, 1, FAR_FUTURE_MS)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete", delete)
        try:
            remove(workdir.store, garbage)
        except KeyboardInterrupt:
            assert latest_snapshot(workdir.store) is not None
    workdir.run(TEN[:6], threshold=20)
    assert workdir.rows() == expected_rows(TEN[:6], 20)
    workdir.gc()
    assert workdir.verify() == []


def test_freed_bytes_count_a_linked_file_once(workdir: Workdir) -> None:
    workdir.run(TEN, scale=2)
    workdir.run(TEN)
    garbage = find_garbage(workdir.store, 1, FAR_FUTURE_MS)
    before = _used(workdir)
    freed = freed_bytes(workdir.store, garbage.files, garbage.files)
    remove(workdir.store, garbage)
    left = Ledger(workdir.store).rows().num_rows
    assert left == garbage.ledger.num_rows - garbage.dropped.num_rows
    ledger_bytes = sum(f.bytes for f in workdir.store.files("manifest/ledger"))
    assert abs(before - _used(workdir) - freed) <= 3 * ledger_bytes


def test_readers_of_a_dropped_snapshot_may_finish(workdir: Workdir) -> None:
    workdir.run(TEN, threshold=20)
    (part, *_) = workdir.store.path("snapshots/000001/gather").iterdir()
    with pq.ParquetFile(part) as file:
        workdir.run(TEN, scale=2)
        workdir.gc()
        assert file.read().num_rows


def _used(workdir: Workdir) -> int:
    stats = [Path(f).stat() for f in _walk(Path(workdir.store.root))]
    return sum({(s.st_dev, s.st_ino): s.st_size for s in stats}.values())


def _walk(root: Path) -> list[str]:
    return [f"{folder}/{name}" for folder, _, files in os.walk(root) for name in files]
