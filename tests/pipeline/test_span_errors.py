"""A span that cannot be used: a row of the errors, while the rest of the recording goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipeline.quality.support import Shard, recording, write_workdir
from tests.pipeline.test_build_core import toy_graph
from wavemill.manifests.recording import Recording
from wavemill.pipeline.output_key import errors_key, table_key
from wavemill.pipeline.quality.database import create_views
from wavemill.pipeline.snapshots import Snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.summary import summarise
from wavemill.pipeline.task import ERRORS_SCHEMA, Task, failed_in, read_errors, run_task
from wavemill.stages.recording_stage import RecordingError, SpanError, Upstream


def test_the_rest_is_written_and_later_stages_go_on(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    recordings = (recording(0), recording(1))
    bad = recordings[1]

    def stage(rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch | SpanError]:
        del upstream
        row = {"recording_id": rec.recording_id, "segment_id": "s", "number": 1}
        yield SpanError("decode_error", "0.50 s cannot be decoded", 2000, 2500)
        yield pa.RecordBatch.from_pylist([row], schema=toy_graph().stages["draw"].schema)
        if rec is bad:
            raise RecordingError("truncated", "its end is missing")

    task = Task("draw", "s" * 16, recordings, "stages/draw/s", {})
    report = run_task(task, toy_graph().stages["draw"], stage, store)
    assert (report.rows, report.errors) == (2, 3)
    rows = read_errors(store, errors_key(report.output)).to_pylist()
    spans = [(row["reason"], row["start_ms"], row["end_ms"]) for row in rows]
    assert spans == [
        ("decode_error", 2000, 2500),
        ("decode_error", 2000, 2500),
        ("truncated", None, None),
    ]
    assert failed_in(read_errors(store, errors_key(report.output))) == {bad.recording_id}
    assert pq.read_table(store.path(table_key(report.output))).num_rows == 2


@pytest.mark.parametrize("older", [False, True])
def test_snapshots_of_before_have_no_spans(tmp_path: Path, older: bool) -> None:
    """Their recordings failed as a whole, and everything that reads them still does."""
    import duckdb

    shard = Shard()
    rec = recording(0)
    shard.recordings.append(rec)
    shard.decode(rec)
    error = {"stage": "decode", "recording_id": rec.recording_id, "uri": rec.uri}
    error |= {"reason": "decode_error", "message": "it went wrong"}
    store = write_workdir(tmp_path, [shard], [error])
    key = "snapshots/000001/errors.parquet"
    if older:
        names = [name for name in ERRORS_SCHEMA.names if name not in ("start_ms", "end_ms")]
        store.write_table(key, store.read_table(key).select(names))
    snapshot = Snapshot(1, None, "", "", "", "", 1, rec.duration_ms, 1, {})
    with duckdb.connect() as database:
        create_views(database, store, snapshot, "test")
        query = "select error_ms, adds_up from accounting"
        assert database.execute(query).fetchall() == [(rec.duration_ms, True)]
    (count,) = summarise(store, snapshot).errors
    assert count.reason == "decode_error"
