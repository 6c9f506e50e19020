"""The rows that are kept of every shard: the same figures, whatever was computed when."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyarrow import fs

from tests.pipeline.quality.support import (
    Shard,
    error_of,
    judged_shard,
    page_of,
    recording,
    write_workdir,
)
from wavemill.manifests.recording import Item
from wavemill.pipeline.quality import shard_rows
from wavemill.pipeline.quality.database import newest_snapshot
from wavemill.pipeline.quality.figures import Figures, read_figures
from wavemill.pipeline.quality.samples import Samples, read_samples
from wavemill.pipeline.quality.shard_rows import FOLDER, page_database
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import ErrorRow

NAMES = "abcdef"


def report(store: Store) -> tuple[Figures, Samples]:
    with page_of(store) as (snapshot, database):
        return read_figures(database, store, snapshot), read_samples(database, store, snapshot)


def shards(seed: int = 1, count: int = 6) -> list[Shard]:
    """Shards with judged segments; one has a labelled recording, one nothing but a failed one."""
    rng = np.random.default_rng(seed)
    made = [judged_shard(rng, n * 10, name * 16) for n, name in enumerate(NAMES[:count])]
    labelled = recording(901, 60_000, items=(Item("0", 0, 9_000, text="one", speaker="anna"),))
    made[0].recordings.append(labelled)
    made[0].score(labelled, f"{labelled.recording_id}-0-0-9000", duration_ms=9_000)
    made[1].recordings.append(recording(902, 60_000))
    return made


def errors(*numbers: int) -> list[ErrorRow]:
    return [error_of(recording(number, 60_000), "decode") for number in numbers]


def computed(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the shards that a report computes."""
    found: list[str] = []
    show = shard_rows._Chunks._show

    def noting(self: object, database: object, shard_ids: list[str], keys: list[int]) -> None:
        found.extend(shard_ids)
        show(self, database, shard_ids, keys)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(shard_rows._Chunks, "_show", noting)
        report(store)
    return sorted(shard[0] for shard in found)


def fresh(store: Store, tmp_path: Path) -> tuple[Figures, Samples]:
    """Return what a WORKDIR says of itself that has never had a report."""
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(store.root, copy)
    shutil.rmtree(copy / "report", ignore_errors=True)
    figures, samples = report(Store.open(copy))
    return replace(figures, workdir=store.root), samples


def test_only_changed_shards_are_computed_and_all_figures_are_those_of_a_new_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, failed = shards(), errors(902)
    store = write_workdir(tmp_path / "work", made, failed)
    assert computed(store, monkeypatch) == list(NAMES)
    assert computed(store, monkeypatch) == []
    assert report(store) == fresh(store, tmp_path)

    changed = judged_shard(np.random.default_rng(7), 20, "c" * 16)
    for stage, rows in changed.rows.items():  # another output under another key
        made[2].rows[stage] = rows
    made[2].digest = "9" * 12
    store = write_workdir(tmp_path / "work", made, failed, number=2)
    assert computed(store, monkeypatch) == ["c"]
    assert report(store) == fresh(store, tmp_path)

    failed += errors(30)  # a recording of d
    made[4].recordings[0] = replace(made[4].recordings[0], uri="/audio/elsewhere/1.flac")
    del made[5]
    store = write_workdir(tmp_path / "work", made, failed, number=3)
    assert computed(store, monkeypatch) == ["d", "e"]
    figures, samples = report(store)
    assert (figures, samples) == fresh(store, tmp_path)
    assert "/audio/elsewhere" in {share.name for share in figures.sources}


@pytest.mark.parametrize("size", [1, 100])
def test_chunks_and_merged_files_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    store = write_workdir(tmp_path / "work", shards(), errors(902))
    expected = fresh(store, tmp_path)
    monkeypatch.setattr(shard_rows, "CHUNK_SEGMENTS", size)
    monkeypatch.setattr(shard_rows, "MAX_FILES", 1)
    assert report(store) == expected
    (folder,) = (tmp_path / "work" / FOLDER).iterdir()
    assert len(list(folder.iterdir())) == 2  # both kinds
    assert computed(store, monkeypatch) == []
    assert report(store) == expected


def test_files_that_cannot_be_read_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_workdir(tmp_path / "work", shards())
    expected = report(store)
    (folder,) = (tmp_path / "work" / FOLDER).iterdir()
    for path in folder.glob("*-seen.parquet"):
        path.write_bytes(b"half")
    assert computed(store, monkeypatch) == list(NAMES)
    assert report(store) == expected


def test_rows_of_another_version_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_workdir(tmp_path / "work", shards())
    expected = report(store)
    monkeypatch.setattr(shard_rows, "VERSION", 0)
    assert computed(store, monkeypatch) == list(NAMES)
    assert report(store) == expected
    assert len(list((tmp_path / "work" / FOLDER).iterdir())) == 1


def test_a_reader_writes_nothing(tmp_path: Path) -> None:
    store = write_workdir(tmp_path / "work", shards())
    with page_database(store, newest_snapshot(store), "0", write=False) as database:
        assert database.execute("select count(*) from seen").fetchall() == [(61,)]
    assert not (tmp_path / "work/report").exists()


@pytest.mark.parametrize("kept", [False, True])
def test_a_workdir_elsewhere_has_the_same_figures(tmp_path: Path, kept: bool) -> None:
    local = write_workdir(tmp_path, shards(), errors(902))
    expected = report(local)[0]
    remote = Store("", fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()))
    if not kept:
        shutil.rmtree(tmp_path / "report")
    snapshot = newest_snapshot(remote)
    with page_database(remote, snapshot, "0", write=kept) as database:
        figures = read_figures(database, remote, snapshot)
    assert replace(figures, workdir=local.root) == expected
