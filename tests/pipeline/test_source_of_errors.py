"""Errors name their `source` as all tables do; older tables have only `uri`, and stay readable."""

from pathlib import Path

import duckdb

from tests.pipeline.quality.support import Shard, error_of, recording, write_workdir
from wavemill.pipeline.quality.database import create_views, newest_snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import ERRORS_SCHEMA, as_errors, error_row

OLD = ["stage", "recording_id", "uri", "reason", "message"]


def test_a_row_has_both_names():
    row = error_row("decode", "a" * 32, "/calls/x.wav", "not_audio", "no")
    assert row["source"] == row["uri"] == "/calls/x.wav"
    assert set(row) == set(ERRORS_SCHEMA.names)


def test_an_older_table_gets_the_source(tmp_path: Path):
    store = _workdir(tmp_path)
    table = store.read_table("snapshots/000001/errors.parquet")
    assert as_errors(table).equals(table)
    assert as_errors(table.select(OLD)).equals(table)


def test_the_view_has_the_source_of_old_and_new_snapshots(tmp_path: Path):
    store = _workdir(tmp_path)
    key = "snapshots/000001/errors.parquet"
    assert _sources(store) == [("/audio/set/1.flac", "/audio/set/1.flac")]
    store.write_table(key, store.read_table(key).select(OLD))
    assert _sources(store) == [("/audio/set/1.flac", "/audio/set/1.flac")]


def _workdir(folder: Path) -> Store:
    shard, failed = Shard(), recording(1)
    shard.recordings = [failed]
    write_workdir(folder, [shard], [error_of(failed, "decode")])
    return Store.open(folder)


def _sources(store: Store) -> list[tuple[str, str]]:
    with duckdb.connect() as database:
        create_views(database, store, newest_snapshot(store), "0")
        return database.execute("select source, uri from errors").fetchall()
