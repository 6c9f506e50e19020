"""The figures of a finished build, read by DuckDB from the tables of its snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from pipeline.snapshots import Snapshot
from pipeline.store import Store


@dataclass(frozen=True)
class RuleCount:
    rule: str
    segments: int
    ms: int


@dataclass(frozen=True)
class ErrorCount:
    stage: str
    reason: str
    count: int


@dataclass(frozen=True)
class Summary:
    """Durations are of audio, in ms. A segment that breaks several rules counts under each."""

    recordings: int
    ms_in: int
    ms_speech: int
    segments: int
    ms_segments: int
    segments_kept: int
    ms_kept: int
    rows: int
    rejected: tuple[RuleCount, ...]
    errors: tuple[ErrorCount, ...]


SEGMENTS = """
select s.recording_id, s.segment_id, s.duration_s * 1000 as ms,
       s.duration_s * 1000 * coalesce(s.speech_ratio, 1) as speech_ms, v.kept, v.broken
from score_text s join verdict v using (segment_id) join recordings r
  on r.recording_id = s.recording_id
where s.recording_id not in (select recording_id from errors where recording_id is not null)
"""


def summarise(store: Store, snapshot: Snapshot) -> Summary:
    """Compute the summary of a snapshot."""
    with duckdb.connect() as database:
        _attach(database, store, snapshot)
        database.execute(f"create table segments as {SEGMENTS}")
        recordings, ms_in = _row(
            database, "select count(*), coalesce(sum(duration_ms), 0)::bigint from recordings"
        )
        counts = _row(
            database,
            """select coalesce(sum(speech_ms), 0)::bigint, count(*),
               coalesce(sum(ms), 0)::bigint, count(*) filter (kept),
               coalesce(sum(ms) filter (kept), 0)::bigint from segments""",
        )
        rejected = database.execute(
            """select b.rule, count(*), sum(ms)::bigint
               from (select unnest(broken) as b, ms from segments)
               group by all order by 3 desc, 1"""
        ).fetchall()
        errors = database.execute(
            "select stage, reason, count(*) from errors group by all order by all"
        ).fetchall()
    speech, segments, ms_segments, kept, ms_kept = counts
    return Summary(
        recordings=recordings,
        ms_in=ms_in,
        ms_speech=speech,
        segments=segments,
        ms_segments=ms_segments,
        segments_kept=kept,
        ms_kept=ms_kept,
        rows=sum(snapshot.rows.values()),
        rejected=tuple(RuleCount(*row) for row in rejected),
        errors=tuple(ErrorCount(*row) for row in errors),
    )


def stage_files(store: Store, snapshot: Snapshot, stage: str) -> list[str]:
    """Return the paths of a stage's tables in a snapshot."""
    with duckdb.connect() as database:
        rows = database.execute(
            "select distinct output from read_parquet(?) where stage = ? order by 1",
            [str(store.path(f"{snapshot.folder}/lineage.parquet")), stage],
        ).fetchall()
    return [str(store.path(output)) for (output,) in rows]


def _attach(database: duckdb.DuckDBPyConnection, store: Store, snapshot: Snapshot) -> None:
    """Make the snapshot's tables visible as views."""
    for name in ("recordings", "errors"):
        path = str(store.path(f"{snapshot.folder}/{name}.parquet"))
        database.read_parquet(path).create_view(name)
    for stage in ("score_text", "verdict"):
        files = stage_files(store, snapshot, stage)
        if files:
            database.read_parquet(files).create_view(stage)
        else:
            database.execute(f"create view {stage} as {_EMPTY[stage]}")


_EMPTY = {
    "score_text": "select '' as recording_id, '' as segment_id, 0.0 as duration_s,"
    " 0.0 as speech_ratio where false",
    "verdict": "select '' as segment_id, true as kept,"
    " []::struct(rule varchar)[] as broken where false",
}


def _row(database: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = database.execute(query).fetchone()
    assert row is not None
    return row
