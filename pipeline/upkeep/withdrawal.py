"""Tombstones: recordings that were withdrawn, and stay out however often their files come back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from manifests.recording import Recording
from manifests.table import SCHEMA as RECORDINGS
from pipeline.catalogue import CATALOGUE
from pipeline.catalogue import SCHEMA as CATALOGUE_SCHEMA
from pipeline.graph import Graph, Stage
from pipeline.plan import Plan
from pipeline.snapshots import all_snapshots
from pipeline.store import Store
from stages.recording_stage import RecordingStage, Upstream

WITHDRAWN = "manifest/withdrawn.parquet"


def _field(name: str, kind: pa.DataType, description: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"description": description})


SCHEMA = pa.schema(
    [
        _field("recording_id", pa.string(), "recording that stays out; nothing else is kept of it"),
        _field("reason", pa.string(), "why, as it was given"),
        _field("withdrawn_ms", pa.int64(), "when, in ms since 1970"),
    ]
)
_ID = re.compile(r"[0-9a-f]{4,32}")


@dataclass(frozen=True)
class Match:
    """A recording that a pattern names."""

    recording_id: str
    uri: str  # "": known by its id only
    duration_ms: int
    shards: int  # whose outputs have, or had, rows of it
    withdrawn: bool


def withdrawn_table(store: Store) -> pa.Table:
    """Return the tombstones (SCHEMA)."""
    return store.read_table(WITHDRAWN) if store.exists(WITHDRAWN) else SCHEMA.empty_table()


def without_withdrawn(store: Store, recordings: pa.Table) -> pa.Table:
    """Return the rows of a table with `recording_id` that have no tombstone."""
    withdrawn = withdrawn_table(store)["recording_id"].combine_chunks()
    return recordings.filter(pc.invert(pc.is_in(recordings["recording_id"], withdrawn)))


def add_tombstones(store: Store, recording_ids: Iterable[str], reason: str, now_ms: int) -> None:
    """Add tombstones. One that is there already stays as it is."""
    known = withdrawn_table(store)
    there = set(known["recording_id"].to_pylist())
    rows = [
        {"recording_id": recording_id, "reason": reason, "withdrawn_ms": now_ms}
        for recording_id in recording_ids
        if recording_id not in there
    ]
    table = pa.concat_tables([known, pa.Table.from_pylist(rows, schema=SCHEMA)])
    store.write_table(WITHDRAWN, table.sort_by("recording_id"))


def reinstate(store: Store, recording_ids: Sequence[str]) -> None:
    """Lift tombstones: the next build takes the recordings as new ones."""
    known = withdrawn_table(store)
    lifted = pa.array(recording_ids, pa.string())
    store.write_table(WITHDRAWN, known.filter(pc.invert(pc.is_in(known["recording_id"], lifted))))


def active_recordings(store: Store) -> pa.Table:
    """Return the recordings of the catalogue (RECORDINGS) that are in use and not withdrawn."""
    table = store.read_table(CATALOGUE)
    active = table.filter(table["active"]).select(RECORDINGS.names).cast(RECORDINGS)
    return without_withdrawn(store, active).sort_by("recording_id")


def matching(store: Store, patterns: Sequence[str]) -> list[Match]:
    """Return the recordings that ids, beginnings of ids or globs over URIs name, by URI.

    A glob matches a whole URI, or its end after a slash; `*` also matches slashes. Raises
    LookupError for a pattern that names nothing, or a beginning of several ids.
    """
    with duckdb.connect() as database:
        _show_known(database, store)
        ids = {recording_id for pattern in patterns for recording_id in _ids(database, pattern)}
        database.register("wanted", pa.table({"recording_id": pa.array(sorted(ids), pa.string())}))
        return [Match(*row) for row in database.sql(_MATCHES).fetchall()]


def _show_known(database: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Make `known` (recording_id, uri, duration_ms) of everything that was ever seen."""
    catalogue = [CATALOGUE] if store.exists(CATALOGUE) else []
    store.view(database, "catalogue", catalogue, CATALOGUE_SCHEMA)
    tables = [f"{snapshot.folder}/recordings.parquet" for snapshot in all_snapshots(store)]
    store.view(database, "seen", tables, RECORDINGS)
    database.register("withdrawn", withdrawn_table(store))
    database.execute(
        "create table known as select recording_id, uri, duration_ms from catalogue "
        "where recording_id <> '' union select recording_id, uri, duration_ms from seen "
        "union select recording_id, '', 0 from withdrawn"
    )


_MATCHES = """
select recording_id, max(uri) as uri, max(duration_ms),
       (select count(distinct shard_id) from catalogue c where c.recording_id = k.recording_id),
       recording_id in (select recording_id from withdrawn)
from known k semi join wanted using (recording_id) group by recording_id order by uri, recording_id
"""


def _ids(database: duckdb.DuckDBPyConnection, pattern: str) -> list[str]:
    """Return the ids of the recordings that one pattern names, at least one."""
    if _ID.fullmatch(pattern):
        query = "select distinct recording_id from known where starts_with(recording_id, ?)"
        found = [row[0] for row in database.execute(query, [pattern]).fetchall()]
        if len(found) > 1:
            raise LookupError(f"{pattern!r} is the beginning of {len(found)} recordings' ids")
        if found:
            return found
    query = "select distinct recording_id from known where uri glob $1 or uri glob concat('*/', $1)"
    found = [row[0] for row in database.execute(query, [pattern]).fetchall()]
    if not found:
        raise LookupError(
            f"{pattern!r} is no recording's id or URI here "
            "(of what was purged, only the id is known)"
        )
    return found


class ModelNeeded(BaseException):
    """A model has to run. (No Exception: a task makes error rows of those.)"""


def check_no_model_has_work(plan: Plan) -> None:
    """Raise LookupError unless what is to do is the cheap work that fewer recordings bring.

    That is: stages that read labels, and covering ones, for which nothing new can be kept.
    """
    for load in plan.loads():
        cheap = load.stage in plan.graph.label_dependent or plan.graph.stages[load.stage].covers
        if load.shards and not cheap:
            raise LookupError(f"{load.stage} of {load.shards} shards has not been done yet")


def without_models(graph: Graph) -> Graph:
    """Return the graph with covering stages that need nothing loaded, and may find nothing to do.

    They raise ModelNeeded where there is something.
    """

    def emptied(stage: Stage) -> Stage:
        if stage.covers is None:
            return stage
        return replace(stage, build=lambda _device: _nothing_more(str(stage.covers)))

    return Graph(emptied(stage) for stage in graph.stages.values())


def _nothing_more(covered: str) -> RecordingStage:
    def stage(recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        if upstream.table(covered, ["segment_id"]).num_rows:
            raise ModelNeeded(f"segments of {recording.uri} are kept and not worked on yet")
        yield from ()

    return stage
