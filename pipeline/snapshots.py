"""Snapshots: numbered, immutable states of the corpora; `corpus` points to the newest.

Everything of a snapshot is written before its name goes into `snapshots/LATEST`, which is
replaced atomically: that is the moment it exists. What an interrupted attempt left is removed
by the next one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.recording import Recording, SourceError
from manifests.table import label_digest, recordings_table
from pipeline.digest import digest_of_lines
from pipeline.plan import Plan
from pipeline.store import Store
from pipeline.task import ERRORS_SCHEMA, errors_key, lineage_of, table_key

LATEST = "snapshots/LATEST"
MANIFEST_STAGE = "manifest"  # `stage` of errors in the sources

LINEAGE_SCHEMA = pa.schema(
    [
        pa.field("lineage_id", pa.string(), False, {"description": "as in the corpus rows"}),
        pa.field("shard_id", pa.string(), False, {"description": "shard of the rows"}),
        pa.field("stage", pa.string(), False, {"description": "stage that took part"}),
        pa.field("fingerprint", pa.string(), False, {"description": "key into stages.parquet"}),
        pa.field("output", pa.string(), False, {"description": "its table, below the WORKDIR"}),
    ]
)
STAGES_SCHEMA = pa.schema(
    [
        pa.field("stage", pa.string(), False, {"description": "name of the stage"}),
        pa.field("fingerprint", pa.string(), False, {"description": "hash of what follows"}),
        pa.field("version", pa.int32(), False, {"description": "version of the stage's code"}),
        pa.field("inputs", pa.list_(pa.string()), False, {"description": "stages it reads"}),
        pa.field("parameters", pa.string(), False, {"description": "JSON: engine, settings"}),
    ]
)


@dataclass(frozen=True)
class Snapshot:
    """What `snapshot.json` says."""

    number: int
    parent: int | None
    created: str  # ISO 8601, UTC
    content: str  # digest of parts, labels and errors: equal content makes no new snapshot
    config: str  # digest of the configuration
    wavemill: str  # version
    recordings: int
    errors: int
    rows: dict[str, int]  # corpus -> rows

    @property
    def name(self) -> str:
        return f"{self.number:06d}"

    @property
    def folder(self) -> str:
        return f"snapshots/{self.name}"


def latest_snapshot(store: Store) -> Snapshot | None:
    """Return the newest complete snapshot, or None."""
    name = store.read_text(LATEST)
    if name is None:
        return None
    text = store.read_text(f"snapshots/{name.strip()}/snapshot.json")
    return Snapshot(**json.loads(text)) if text else None


def write_snapshot(
    store: Store,
    plan: Plan,
    source_errors: Sequence[SourceError],
    config_digest: str,
    version: str,
) -> Snapshot:
    """Make the finished plan the newest snapshot, unless the newest holds the same already."""
    recordings = [r for s in plan.shards for r in s.shard.recordings]
    errors = _errors(store, plan, source_errors)
    content = _content(plan, recordings, errors)
    previous = latest_snapshot(store)
    if previous is not None and previous.content == content:
        return previous
    number = previous.number + 1 if previous else 1
    folder = f"snapshots/{number:06d}"
    shutil.rmtree(store.path(folder), ignore_errors=True)
    corpus = plan.graph.target.name
    rows = _link_parts(store, plan, f"{folder}/{corpus}")
    store.write_table(f"{folder}/recordings.parquet", recordings_table(recordings))
    store.write_table(f"{folder}/errors.parquet", errors)
    store.write_table(f"{folder}/lineage.parquet", _lineage(plan))
    store.write_table(f"{folder}/stages.parquet", _stages(plan))
    snapshot = Snapshot(
        number=number,
        parent=previous.number if previous else None,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        content=content,
        config=config_digest,
        wavemill=version,
        recordings=len(recordings),
        errors=errors.num_rows,
        rows={corpus: rows},
    )
    store.write_text(f"{folder}/snapshot.json", json.dumps(asdict(snapshot), indent=2) + "\n")
    store.write_text(LATEST, snapshot.name + "\n")
    _point_corpus_at(store, snapshot)
    return snapshot


def _content(plan: Plan, recordings: Sequence[Recording], errors: pa.Table) -> str:
    target = plan.graph.target.name
    parts = sorted(key for s in plan.shards for key in s.outputs[target])
    labels = sorted(label_digest(r) for r in recordings)
    return digest_of_lines([*parts, *labels, *(str(row) for row in errors.to_pylist())])


def _link_parts(store: Store, plan: Plan, folder: str) -> int:
    """Hard-link the non-empty parts of the corpus; an empty corpus is one file without rows."""
    total = 0
    for shard in plan.shards:
        for key in shard.outputs[plan.graph.target.name]:
            rows = pq.read_metadata(store.path(table_key(key))).num_rows
            total += rows
            if rows:
                store.link(table_key(key), f"{folder}/{key.rsplit('/', 1)[1]}.parquet")
    if total == 0:
        store.write_table(f"{folder}/empty.parquet", plan.graph.target.schema.empty_table())
    return total


def _errors(store: Store, plan: Plan, source_errors: Sequence[SourceError]) -> pa.Table:
    """Gather the errors of the sources and of every stage, of recordings that are still there."""
    rows = [
        {
            "stage": MANIFEST_STAGE,
            "recording_id": None,
            "uri": error.uri,
            "reason": error.reason,
            "message": error.message,
        }
        for error in source_errors
    ]
    tables = [pa.Table.from_pylist(rows, schema=ERRORS_SCHEMA)]
    for shard in plan.shards:
        active = {r.recording_id for r in shard.shard.recordings}
        for keys in shard.outputs.values():
            for key in keys:
                if store.exists(errors_key(key)):
                    found = pq.read_table(store.path(errors_key(key)))
                    keep = [i in active for i in found["recording_id"].to_pylist()]
                    tables.append(found.filter(pa.array(keep)))
    table = pa.concat_tables(tables).cast(ERRORS_SCHEMA)
    return table.sort_by([("uri", "ascending"), ("stage", "ascending")])


def _lineage(plan: Plan) -> pa.Table:
    fingerprints, target = plan.graph.fingerprints, plan.graph.target.name
    rows = [
        {
            "lineage_id": lineage_of(part),
            "shard_id": shard.shard.shard_id,
            "stage": stage,
            "fingerprint": fingerprints[stage],
            "output": table_key(key),
        }
        for shard in plan.shards
        for part in shard.outputs[target]
        for stage, keys in shard.outputs.items()
        for key in keys
    ]
    return pa.Table.from_pylist(rows, schema=LINEAGE_SCHEMA)


def _stages(plan: Plan) -> pa.Table:
    rows = [
        {
            "stage": stage.name,
            "fingerprint": plan.graph.fingerprints[stage.name],
            "version": stage.version,
            "inputs": list(stage.inputs),
            "parameters": json.dumps(dict(stage.parameters), sort_keys=True),
        }
        for stage in plan.graph.stages.values()
    ]
    return pa.Table.from_pylist(rows, schema=STAGES_SCHEMA)


def _point_corpus_at(store: Store, snapshot: Snapshot) -> None:
    """Replace the link `corpus` in one step."""
    temporary = store.path(".corpus.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(snapshot.folder)
    temporary.replace(store.path("corpus"))
