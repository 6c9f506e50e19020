"""The figures of a finished build, read by DuckDB from the tables of its snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from wavemill.pipeline.catalogue import written_sql
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.snapshots import Snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import read_errors

_ID = [("recording_id", pa.string())]
_NOTHING = pa.schema(_ID).empty_table()


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
    used: int  # recordings that failed in no stage
    ms_in: int  # of the audio that was decoded, not what containers state
    ms_built: int  # of the recordings that this build worked on
    ms_speech: int
    segments: int
    ms_segments: int
    segments_kept: int
    ms_kept: int
    rows: int
    rejected: tuple[RuleCount, ...]
    errors: tuple[ErrorCount, ...]
    conversations: int = 0  # written ones, which are no recordings


SEGMENTS = """
select s.recording_id, s.segment_id, s.duration_s * 1000 as ms,
       s.duration_s * 1000 * coalesce(s.speech_ratio, 1) as speech_ms, v.kept, v.broken
from score_text s join verdict v using (segment_id) join recordings r
  on r.recording_id = s.recording_id
where s.recording_id not in (select recording_id from errors
                             where recording_id is not null and start_ms is null)
"""


# Of a labelled recording only the items are decoded.
DECODED = """
select r.recording_id, coalesce(d.end_ms, list_sum(list_transform(
    r.items, lambda i: greatest(least(i.end_ms, r.duration_ms) - i.start_ms, 0))), 0) as ms
from recordings r left join (
    select recording_id, max(end_ms) as end_ms from decode
    where track = 0 and version = 'original' group by recording_id
) d on d.recording_id = r.recording_id and len(r.items) = 0
where r.recording_id not in (select recording_id from errors
                             where recording_id is not null and start_ms is null)
"""


def summarise(store: Store, snapshot: Snapshot, built: pa.Table = _NOTHING) -> Summary:
    """Compute the summary of a snapshot; `built` (recording_id) is what the build worked on."""
    with memory_database() as database:
        _attach(database, store, snapshot)
        database.execute(f"create table segments as {SEGMENTS}")
        database.register("built", built)
        recordings, used, ms_in, ms_built = _row(
            database,
            f"""select (select count(*) from recordings), count(*), coalesce(sum(ms), 0)::bigint,
               coalesce(sum(ms) filter (recording_id in (from built)), 0)::bigint
               from ({DECODED})""",
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
        ((conversations,),) = database.execute(
            f"select count(*) from all_recordings where {written_sql('items')}"
        ).fetchall()
        errors = database.execute(
            "select stage, reason, count(*) from errors group by all order by all"
        ).fetchall()
    speech, segments, ms_segments, kept, ms_kept = counts
    return Summary(
        recordings=recordings,
        used=used,
        ms_in=ms_in,
        ms_built=ms_built,
        ms_speech=speech,
        segments=segments,
        ms_segments=ms_segments,
        segments_kept=kept,
        ms_kept=ms_kept,
        rows=sum(snapshot.rows.values()),
        rejected=tuple(RuleCount(*row) for row in rejected),
        errors=tuple(ErrorCount(*row) for row in errors),
        conversations=conversations,
    )


def stage_files(store: Store, snapshot: Snapshot, *stages: str) -> list[list[str]]:
    """Return the keys of each stage's tables in a snapshot."""
    lineage = store.read_table(f"{snapshot.folder}/lineage.parquet", ["stage", "output"])
    return [
        sorted(lineage.filter(pc.field("stage") == stage)["output"].unique().to_pylist())
        for stage in stages
    ]


def _attach(database: duckdb.DuckDBPyConnection, store: Store, snapshot: Snapshot) -> None:
    """Make the snapshot's tables visible as views."""
    decoded, denoised, scores, verdicts = stage_files(
        store, snapshot, "decode", "denoise", "score_text", "verdict"
    )
    files = {
        "recordings": [f"{snapshot.folder}/recordings.parquet"],
        "decode": decoded or denoised,  # in a snapshot of an earlier version denoise decoded
        "score_text": scores,
        "verdict": verdicts,
    }
    for name, keys in files.items():
        store.view(database, f"all_{name}", keys, _NEEDED[name])
        those = f" where not {written_sql('items')}" if name == "recordings" else ""
        database.execute(f"create view {name} as from all_{name}{those}")
    database.register("errors", read_errors(store, f"{snapshot.folder}/errors.parquet"))


_ITEM = pa.struct([("start_ms", pa.int64()), ("end_ms", pa.int64()), ("task", pa.string())])
_ITEMS = pa.list_(_ITEM)
_BROKEN = pa.list_(pa.struct([("rule", pa.string())]))
_NEEDED = {
    "recordings": pa.schema([*_ID, ("duration_ms", pa.int64()), ("items", _ITEMS)]),
    "decode": pa.schema(
        [*_ID, ("track", pa.int16()), ("version", pa.string()), ("end_ms", pa.int64())]
    ),
    "score_text": pa.schema(
        [*_ID, ("segment_id", pa.string())]
        + [(name, pa.float64()) for name in ("duration_s", "speech_ratio")]
    ),
    "verdict": pa.schema([("segment_id", pa.string()), ("kept", pa.bool_()), ("broken", _BROKEN)]),
}


def _row(database: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = database.execute(query).fetchone()
    assert row is not None
    return row
