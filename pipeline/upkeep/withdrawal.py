"""Withdrawing recordings: finding them by name, and keeping them out of later builds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from wavemill.manifests.filesystems import is_url, without_file_scheme
from wavemill.manifests.recording import Recording
from wavemill.manifests.table import SCHEMA as RECORDINGS
from wavemill.pipeline.catalogue import CATALOGUE
from wavemill.pipeline.catalogue import SCHEMA as CATALOGUE_SCHEMA
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.graph import ConfiguredStage, Graph
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.snapshots import all_snapshots, latest_snapshot, save_snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.tombstones import (
    SCHEMA,
    WITHDRAWN,
    asked_hash,
    check_tombstones,
    in_force,
    known_of,
    read_tombstones,
    with_tombstones,
    write_tombstones,
)
from wavemill.stages.recording_stage import RecordingStage, Upstream

_ID = re.compile(r"[0-9a-f]{4,32}")


@dataclass(frozen=True)
class Match:
    """A recording that a name or pattern stands for."""

    recording_id: str
    source: str  # "" if only its id is known
    duration_ms: int
    shards: int  # that have, or had, rows of it
    withdrawn: bool
    names: tuple[str, ...]  # the given names that stand for it


@dataclass(frozen=True)
class Matches:
    """The recordings that names and patterns stand for."""

    recordings: list[Match]  # by URI
    vague: tuple[str, ...]  # patterns, and names that match several URIs: to be confirmed


def tombstones(store: Store) -> pa.Table:
    """Return all tombstones, lifted ones too.

    Raises ConfigError if they are damaged, or some that the newest snapshot remembers are missing.
    """
    table, newest = read_tombstones(store), latest_snapshot(store)
    if newest is not None:
        check_tombstones(store, table, newest.known_tombstones)
    return table


def withdrawn_table(store: Store) -> pa.Table:
    """Return the tombstones that are in force. Raises ConfigError, as `tombstones` does."""
    return in_force(tombstones(store))


def purged_ids(store: Store) -> pa.Array:
    """Return the ids of recordings whose bytes must be deleted. Raises ConfigError likewise."""
    table = withdrawn_table(store)
    return table.filter(table["purge"])["recording_id"].combine_chunks()


def without_withdrawn(store: Store, recordings: pa.Table) -> pa.Table:
    """Return the rows of a table with `recording_id` that have no tombstone."""
    withdrawn = withdrawn_table(store)["recording_id"].combine_chunks()
    return recordings.filter(pc.invert(pc.is_in(recordings["recording_id"], withdrawn)))


def add_tombstones(
    store: Store, asked: Mapping[str, Sequence[str]], reason: str, now_ms: int, purge: bool = False
) -> None:
    """Add tombstones; `asked` maps ids to the names by which they were withdrawn.

    A tombstone that is in force keeps its reason and time. `purge` is stored with it before any
    byte is deleted: every purge deletes the bytes of all such recordings.
    """
    write_tombstones(store, with_tombstones(tombstones(store), asked, reason, now_ms, purge))


def reinstate(store: Store, recording_ids: Sequence[str], now_ms: int) -> None:
    """Lift tombstones: the next build treats the recordings as new ones."""
    lifted = set(recording_ids)
    rows = tombstones(store).to_pylist()
    for row in rows:
        if row["recording_id"] in lifted:
            row |= {"lifted_ms": now_ms, "purge": False}
    write_tombstones(store, pa.Table.from_pylist(rows, schema=SCHEMA))


def accept_lost_tombstones(store: Store) -> None:
    """Accept that tombstones were lost: the newest snapshot remembers only those left."""
    try:
        left = read_tombstones(store)
    except ConfigError:
        store.delete(WITHDRAWN)
        left = SCHEMA.empty_table()
    newest, known = latest_snapshot(store), known_of(left)
    if newest is not None:
        count, sha256 = known.count, known.sha256
        save_snapshot(store, replace(newest, tombstones=count, tombstones_sha256=sha256))


def active_recordings(store: Store) -> pa.Table:
    """Return the recordings of the catalogue (RECORDINGS) that are in use and not withdrawn."""
    table = store.read_table(CATALOGUE)
    active = table.filter(table["active"]).select(RECORDINGS.names).cast(RECORDINGS)
    return without_withdrawn(store, active).sort_by("recording_id")


def matching(store: Store, names: Sequence[str]) -> Matches:
    """Return the recordings that names stand for.

    A name is an id, a URI or path, the end of one after a slash (a file name), or the beginning
    of an id; the first of these that matches counts. If none matches, the name is a pattern, in
    which `*` stands for any characters (slashes too) and `?` for one character. Raises LookupError
    for a name that matches nothing, or is the beginning of several ids.
    """
    with memory_database() as database:
        withdrawn = tombstones(store)
        _show_known(database, store, withdrawn)
        found: dict[str, list[str]] = {}
        vague = []
        for name in names:
            ids, is_vague = _meant(database, name, withdrawn)
            for recording_id in ids:
                found.setdefault(recording_id, []).append(name)
            if is_vague:
                vague.append(name)
        database.register("wanted", pa.table({"recording_id": pa.array(found, pa.string())}))
        rows = database.sql(_MATCHES).fetchall()
    recordings = [
        Match(recording_id, source, ms, shards, is_withdrawn, tuple(found[recording_id]))
        for recording_id, source, ms, shards, is_withdrawn in rows
    ]
    return Matches(recordings, tuple(vague))


def _show_known(database: duckdb.DuckDBPyConnection, store: Store, withdrawn: pa.Table) -> None:
    """Make the table `known` (recording_id, uri, duration_ms) of all recordings ever seen."""
    catalogue = [CATALOGUE] if store.exists(CATALOGUE) else []
    store.view(database, "catalogue", catalogue, CATALOGUE_SCHEMA)
    tables = [f"{snapshot.folder}/recordings.parquet" for snapshot in all_snapshots(store)]
    store.view(database, "seen", tables, RECORDINGS)
    database.register("withdrawn", in_force(withdrawn))
    database.register("buried", withdrawn)
    database.execute(
        "create table known as select recording_id, uri, duration_ms from catalogue "
        "where recording_id <> '' union select recording_id, uri, duration_ms from seen "
        "union select recording_id, '', 0 from buried"
    )


_MATCHES = """
select recording_id, max(uri) as uri, max(duration_ms),
       (select count(distinct shard_id) from catalogue c where c.recording_id = k.recording_id),
       recording_id in (select recording_id from withdrawn)
from known k semi join wanted using (recording_id) group by recording_id order by uri, recording_id
"""

# Only the best kind of match. The name of a member of a tar file follows `#`.
_MEANT = r"""
select recording_id, uri, rank from (
    select *, case
        when recording_id = $name or uri = $name or uri = $path then 1
        when ends_with(uri, concat('/', $name)) or ends_with(uri, concat('#', $name)) then 2
        when $may_be_id and starts_with(recording_id, $name) then 3
        when $is_pattern and (uri like $pattern escape '\'
            or uri like concat('%/', $pattern) escape '\'
            or uri like concat('%#', $pattern) escape '\') then 4 end as rank
    from known where $name <> '')
where rank is not null qualify rank = min(rank) over ()
"""


def _meant(
    database: duckdb.DuckDBPyConnection, name: str, tombstones: pa.Table
) -> tuple[set[str], bool]:
    """Return the ids that a name stands for, at least one, and whether it is vague."""
    path = without_file_scheme(name)
    values = {
        "name": name,
        "path": path if is_url(path) else os.path.abspath(path),  # noqa: PTH100 (keeps links)
        "may_be_id": _ID.fullmatch(name) is not None,
        "is_pattern": "*" in name or "?" in name,
        "pattern": name.translate(_LIKE),
    }
    rows = database.execute(_MEANT, values).fetchall()
    ids, uris = {row[0] for row in rows}, {row[1] for row in rows}
    rank = rows[0][2] if rows else 0
    if len(ids) > 1 and rank == _BEGINNING_OF_ID:
        raise LookupError(f"{name!r} is the beginning of {len(ids)} recordings' ids")
    for row in tombstones.select(["recording_id", "asked"]).to_pylist():
        if asked_hash(row["recording_id"], name) in row["asked"]:
            ids.add(row["recording_id"])
    if not ids:
        raise LookupError(
            f"{name!r} is not the id or source of a recording here "
            "(of what was purged, only the id is known)"
        )
    return ids, rank == _PATTERN or (len(ids) > 1 and len(uris) > 1)


_BEGINNING_OF_ID, _PATTERN = 3, 4  # ranks
_LIKE = {ord("*"): "%", ord("?"): "_", **{ord(c): f"\\{c}" for c in "%_\\"}}


class ModelNeeded(BaseException):
    """A model has to run. (No Exception: a task makes error rows of those.)"""


def check_no_model_has_work(plan: Plan) -> None:
    """Raise LookupError unless what is to do is the cheap work that fewer recordings bring.

    That is: stages that read labels, and selected ones, for which nothing new can be kept.
    """
    for load in plan.loads():
        selected = plan.graph.stages[load.stage].selected_by is not None
        cheap = selected or load.stage in plan.graph.label_dependent
        if load.shards and not cheap:
            raise LookupError(f"{load.stage} of {load.shards} shards has not been done yet")


def without_models(graph: Graph) -> Graph:
    """Return the graph with selected stages that need nothing loaded, and may find nothing to do.

    They raise ModelNeeded where there is something.
    """

    def emptied(stage: ConfiguredStage) -> ConfiguredStage:
        if stage.selected_by is None:
            return stage
        return replace(stage, build=lambda _device: _nothing_more(str(stage.selected_by)))

    return Graph(emptied(stage) for stage in graph.stages.values())


def _nothing_more(selecting: str) -> RecordingStage:
    def stage(recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        if upstream.table(selecting, ["segment_id"]).num_rows:
            raise ModelNeeded(f"segments of {recording.uri} are kept and not worked on yet")
        yield from ()

    return stage
