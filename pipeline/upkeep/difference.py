"""What changed between two snapshots: by recording, by rule, and in the configuration.

DuckDB compares the tables of the snapshots, and the verdicts that their lineage names. Only
recordings that differ become Python objects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from wavemill.manifests.table import SCHEMA as RECORDINGS
from wavemill.pipeline.catalogue import CATALOGUE
from wavemill.pipeline.catalogue import SCHEMA as CATALOGUE_SCHEMA
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.renamed import RENAMED, flat, with_new_names
from wavemill.pipeline.snapshots import Snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import read_errors
from wavemill.stages.score_text.stage import ScoreText
from wavemill.stages.verdict.stage import Verdict

# Stands for a rule: the recording of the segment failed in a stage.
FAILED = "(error)"


@dataclass(frozen=True)
class RecordingChange:
    recording_id: str
    source: str
    duration_ms: int
    change: str  # added, removed, changed (its labels, or its path)


@dataclass(frozen=True)
class RuleChange:
    """Segments that are in both snapshots and changed by a rule.

    `kept`: they broke the rule in the older snapshot and are kept in the newer one. `rejected`:
    they were kept and break it now. A segment that breaks several rules counts for each.
    """

    rule: str
    kept: int
    kept_ms: int
    rejected: int
    rejected_ms: int


@dataclass(frozen=True)
class SegmentChange:
    what: str  # newly kept, newly rejected, new and kept, kept before and gone
    segments: int
    ms: int


@dataclass(frozen=True)
class ConfigChange:
    field: str
    before: Any  # None: the field was not there
    after: Any


@dataclass(frozen=True)
class Difference:
    """Changes from the older snapshot to the newer one. Kept segments are in the corpora."""

    older: int
    newer: int
    recordings: tuple[RecordingChange, ...]
    segments: tuple[SegmentChange, ...]
    rules: tuple[RuleChange, ...]
    config: tuple[ConfigChange, ...]


def compare(store: Store, older: Snapshot, newer: Snapshot) -> Difference:
    """Compare two snapshots of a store."""
    sides = {"older": older, "newer": newer}
    with memory_database() as database:
        for side, snapshot in sides.items():
            recordings = [f"{snapshot.folder}/recordings.parquet"]
            store.view(database, f"{side}_recordings", recordings, RECORDINGS)
            errors = read_errors(store, f"{snapshot.folder}/errors.parquet")
            database.register(f"{side}_errors", errors)
        _attach(database, store, sides)
        database.execute(_SHARED)
        return Difference(
            older.number,
            newer.number,
            tuple(RecordingChange(*row) for row in database.sql(_RECORDINGS).fetchall()),
            tuple(SegmentChange(*row) for row in database.sql(_SEGMENTS).fetchall()),
            tuple(RuleChange(*row) for row in database.sql(_RULES).fetchall()),
            tuple(_config_changes(read_config(store, older), read_config(store, newer))),
        )


def read_config(store: Store, snapshot: Snapshot) -> dict[str, Any]:
    """Return the configuration that a snapshot was built with (without `execution`).

    Its fields have the names of today.
    """
    values = json.loads(store.read_text(f"{snapshot.folder}/config.json") or "{}")
    return with_new_names(values, RENAMED)[0]


def _attach(
    database: duckdb.DuckDBPyConnection, store: Store, sides: Mapping[str, Snapshot]
) -> None:
    """Make the tables `<side>_segments`, of all segments that may have changed.

    Those are the segments of recordings that are or were in a shard whose tables changed, and of
    recordings that are in one snapshot only or failed in one only. The other shards are not read.
    """
    tables = {side: _tables(store, snapshot) for side, snapshot in sides.items()}
    older, newer = (set(found) for found in tables.values())
    changed = {shard for _, shard, _ in older ^ newer}
    shards = pa.table({"shard_id": pa.array(sorted(changed), pa.string())})
    database.register("changed", shards)
    members = [CATALOGUE] if store.exists(CATALOGUE) else []
    store.view(database, "members", members, _MEMBERS)
    database.execute(_AFFECTED)
    near = {key for (key,) in database.execute(_NEAR).fetchall()}
    for side, found in tables.items():
        for stage in (Verdict, ScoreText):
            keys = [
                output
                for name, shard, output in found
                if name == stage.name and (shard in near or not members)
            ]
            store.view(database, f"{side}_{stage.name}", sorted(keys), stage.schema)
        chosen = "semi join affected using (recording_id)" if members else ""
        database.execute(_JUDGED.format(side=side, failed=FAILED, chosen=chosen))


def _tables(store: Store, snapshot: Snapshot) -> set[tuple[str, str, str]]:
    """Return (stage, shard, output) of the tables that tell of the segments of a snapshot."""
    columns = ["stage", "shard_id", "output"]
    lineage = store.read_table(f"{snapshot.folder}/lineage.parquet", columns)
    mine = lineage.filter(pc.is_in(lineage["stage"], pa.array([Verdict.name, ScoreText.name])))
    return set(zip(*(mine[name].to_pylist() for name in columns), strict=True))


_MEMBERS = pa.schema([CATALOGUE_SCHEMA.field(name) for name in ("shard_id", "recording_id")])
# Members of a shard stay known after they left it.
_AFFECTED = """
create table affected as
with older as (from older_recordings anti join (from older_errors where start_ms is null)
               using (recording_id)),
newer as (from newer_recordings anti join (from newer_errors where start_ms is null)
          using (recording_id))
select recording_id from members semi join changed using (shard_id)
union select recording_id from older anti join newer using (recording_id)
union select recording_id from newer anti join older using (recording_id)
union select recording_id from older_recordings anti join newer_recordings using (recording_id)
union select recording_id from newer_recordings anti join older_recordings using (recording_id)
"""
_NEAR = "select distinct shard_id from members semi join affected using (recording_id)"
_JUDGED = """
create table {side}_segments as
select v.segment_id, v.kept and e.recording_id is null as kept,
       case when e.recording_id is null then list_transform(v.broken, lambda b: b.rule)
            else ['{failed}'] end as broken,
       (s.duration_s * 1000)::bigint as ms
from {side}_verdict v
semi join {side}_recordings using (recording_id) {chosen}
left join {side}_score_text s using (segment_id)
left join (select distinct recording_id from {side}_errors where start_ms is null) e
  on e.recording_id = v.recording_id
"""

_DIFFERENT = " or ".join(
    f"n.{name} is distinct from o.{name}" for name in RECORDINGS.names if name != "recording_id"
)

_RECORDINGS = f"""
select recording_id, coalesce(n.uri, o.uri), coalesce(n.duration_ms, o.duration_ms),
       case when o.uri is null then 'added' when n.uri is null then 'removed'
            else 'changed' end as change
from older_recordings o full join newer_recordings n using (recording_id)
where {_DIFFERENT} order by change, 2
"""

_SHARED = """
create table shared as
select segment_id, coalesce(n.ms, o.ms, 0) as ms, o.kept as was_kept, n.kept as is_kept,
       o.broken as broke, n.broken as breaks
from older_segments o full join newer_segments n using (segment_id)
where o.kept is distinct from n.kept
"""

_SEGMENTS = """
select what, count(*), sum(ms)::bigint from (
    select ms, case when is_kept and not was_kept then 'newly kept'
                    when was_kept and not is_kept then 'newly rejected'
                    when is_kept then 'new and kept'
                    when was_kept then 'kept before and gone' end as what from shared)
where what is not null group by what order by what
"""

_RULES = """
select rule, count(*) filter (is_kept), coalesce(sum(ms) filter (is_kept), 0)::bigint,
       count(*) filter (was_kept), coalesce(sum(ms) filter (was_kept), 0)::bigint
from (select is_kept, was_kept, ms, unnest(if(is_kept, broke, breaks)) as rule from shared
      where is_kept is not null and was_kept is not null)
group by rule order by rule
"""


def _config_changes(older: Mapping[str, Any], newer: Mapping[str, Any]) -> list[ConfigChange]:
    before, after = flat(older), flat(newer)
    return [
        ConfigChange(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
