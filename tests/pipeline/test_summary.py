"""The summary counts what was decoded, not what containers state."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tests.pipeline.quality.support import Shard, error_of, recording, write_workdir
from wavemill.manifests.recording import Item
from wavemill.pipeline.snapshots import latest_snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.summary import Summary, summarise

HOUR = 3_600_000


def test_hours_are_those_that_were_decoded(tmp_path: Path) -> None:
    shard, claims, fails = Shard(), recording(1, 50 * HOUR), recording(2, 7 * HOUR)
    items = (Item("0", 1000, 3000, text="a"), Item("1", 3000, 60_000, text="b"))
    labelled = recording(3, 4000, items=items)
    shard.recordings = [claims, fails, labelled]
    shard.decode(claims, 5000)
    shard.segment(claims, 0, 4000)
    write_workdir(tmp_path, [shard], [error_of(fails, "decode")])
    found = summary(tmp_path, [claims.recording_id, fails.recording_id])
    assert (found.recordings, found.used) == (3, 2)
    assert (found.ms_in, found.ms_built) == (5000 + 3000, 5000)
    assert summary(tmp_path, []).ms_built == 0


def test_nothing_is_decoded_of_what_failed(tmp_path: Path) -> None:
    shard, fails = Shard(), recording(1, 7 * HOUR)
    shard.recordings = [fails]
    write_workdir(tmp_path, [shard], [error_of(fails, "decode")])
    found = summary(tmp_path, [fails.recording_id])
    assert (found.recordings, found.used, found.ms_in, found.ms_built) == (1, 0, 0, 0)


def summary(work: Path, built: list[str]) -> Summary:
    store = Store.open(work)
    snapshot = latest_snapshot(store)
    assert snapshot is not None
    ids = pa.table({"recording_id": pa.array(built, pa.string())})
    return summarise(store, snapshot, ids)
