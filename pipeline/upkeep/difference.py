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
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.renamed import RENAMED, with_new_names
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
    with memory_database() as database:
        for side, snapshot in (("older", older), ("newer", newer)):
            _attach(database, store, snapshot, side)
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
    database: duckdb.DuckDBPyConnection, store: Store, snapshot: Snapshot, side: str
) -> None:
    """Make the tables `<side>_recordings` and `<side>_segments`."""
    recordings = [f"{snapshot.folder}/recordings.parquet"]
    store.view(database, f"{side}_recordings", recordings, RECORDINGS)
    errors = read_errors(store, f"{snapshot.folder}/errors.parquet")
    database.register(f"{side}_errors", errors)
    for stage in (Verdict, ScoreText):
        keys = _outputs(store, snapshot, stage.name)
        store.view(database, f"{side}_{stage.name}", keys, stage.schema)
    database.execute(_JUDGED.format(side=side, failed=FAILED))


def _outputs(store: Store, snapshot: Snapshot, stage: str) -> list[str]:
    lineage = store.read_table(f"{snapshot.folder}/lineage.parquet", ["stage", "output"])
    mine = lineage.filter(pc.equal(lineage["stage"], pa.scalar(stage)))
    return sorted(mine["output"].unique().to_pylist())


_JUDGED = """
create table {side}_segments as
select v.segment_id, v.kept and e.recording_id is null as kept,
       case when e.recording_id is null then list_transform(v.broken, lambda b: b.rule)
            else ['{failed}'] end as broken,
       (s.duration_s * 1000)::bigint as ms
from {side}_verdict v
semi join {side}_recordings using (recording_id)
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
    before, after = _flat(older), _flat(newer)
    return [
        ConfigChange(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under their dotted names, as `--set` takes them."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found.update(_flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = value
    return found
