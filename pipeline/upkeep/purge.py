"""Deleting every byte of withdrawn recordings from a WORKDIR, and proving that none is left.

The tombstones say whose bytes must be deleted, before the first byte is. Every purge deletes all of
these. It finds their rows by reading all tables, whatever an interrupted purge has done already, so
the same command, or the next run that holds the lock (`finish_purge`), always finishes it.

All other code treats files as immutable. A purge replaces each file that holds rows of the
recordings by one without them, in one step. It replaces the hard links to it in older snapshots
too, so that the old file has no name left. Recorded sizes and hashes (ledger, `snapshot.json`) are
renewed, unless the file was damaged before. Errors and requests that name recordings without their
ids are changed first, since the tables of recordings are needed to find them. The catalogue keeps
an anonymous member in the shard.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wavemill.pipeline.catalogue import CATALOGUE, write_catalogue
from wavemill.pipeline.catalogue import SCHEMA as CATALOGUE_SCHEMA
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.ledger import SCHEMA as LEDGER_SCHEMA
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.output_key import NotAnOutputKey, OutputKey, errors_key, output_of, table_key
from wavemill.pipeline.request import forget_sources
from wavemill.pipeline.snapshots import Snapshot, all_snapshots
from wavemill.pipeline.store import Store, StoredFile, is_temporary
from wavemill.pipeline.task import TASK_RESULT
from wavemill.pipeline.upkeep.proof import (
    OWN_FOLDERS,
    Proof,
    Traces,
    every_file,
    find_rows,
    own_tables,
    prove,
)
from wavemill.pipeline.upkeep.purge_snapshots import purge_snapshot, renew_snapshot
from wavemill.pipeline.upkeep.retention import broken_snapshots
from wavemill.pipeline.upkeep.rewriting import (
    Journal,
    is_begun,
    leaving_damaged,
    rewrite,
    rewrite_small,
)
from wavemill.pipeline.upkeep.traces import find_traces, withhold
from wavemill.pipeline.upkeep.withdrawal import purged_ids

DATABASE, REPORT_FOLDER = "quality.duckdb", "report"


def purge(store: Store, now: str) -> Proof:
    """Delete the bytes of all recordings whose tombstones say so, and prove it.

    `now` (ISO 8601) is stored in the snapshots that change.
    """
    _remove_copies(store)
    snapshots = all_snapshots(store)
    traces = find_traces(store, purged_ids(store))
    quoting = _quoting_errors(store, snapshots, traces)
    found = find_rows(store, own_tables(store), traces)
    journal = Journal(store)
    replaced = _replaced(store, {*found, *quoting})
    journal.begin(replaced, _recorded(store, snapshots, replaced))
    forget_sources(store, traces.uris)
    for key, table in quoting.items():
        store.write_table(key, table)
    _purge_outputs(store, traces, found)
    _renew_ledger(store, journal)
    for snapshot in snapshots:
        purge_snapshot(store, snapshot, traces, found)
        renew_snapshot(store, snapshot, journal, now)
    for key in found:
        if key.startswith("manifest/") and key != CATALOGUE:
            with leaving_damaged():
                rewrite_small(store, key, traces)
    if CATALOGUE in found:
        _purge_catalogue(store, traces.ids)
    proof = replace(prove(store, traces), linked_elsewhere=journal.elsewhere)
    journal.end()
    return proof


def finish_purge(store: Store, now: str) -> bool:
    """Finish an interrupted purge; return whether there was one."""
    if not is_begun(store):
        return False
    try:
        purged_ids(store)
    except ConfigError:
        return False  # a command that needs the tombstones reports what is wrong
    purge(store, now)
    return True


def affected_files(store: Store, recording_ids: Sequence[str]) -> list[StoredFile]:
    """Return the files of stages that may have rows of the recordings."""
    shards = _shards(store, pa.array(recording_ids, pa.string()))
    return [file for file in store.files("stages") if _shard_of(file.key) in shards]


def _shards(store: Store, ids: pa.Array) -> set[str]:
    if not store.exists(CATALOGUE):
        return set()
    table = store.read_table(CATALOGUE, ["shard_id", "recording_id"])
    return set(table.filter(pc.is_in(table["recording_id"], ids))["shard_id"].to_pylist())


def _shard_of(key: str) -> str | None:
    """Return the shard of a file of a stage; None for a file that is not of an output."""
    try:
        return OutputKey.of_file(key).shard_id
    except NotAnOutputKey:
        return None


def _remove_copies(store: Store) -> None:
    """Remove unfinished files, unfinished snapshots, and what `report` has made.

    This run holds the lock, so no other run writes them.
    """
    for folder in broken_snapshots(store, all_snapshots(store)):
        store.delete_folder(folder)
    store.delete_folder(REPORT_FOLDER)
    for key in list(every_file(store)):
        if _is_copy(key):
            store.delete(key)


def _is_copy(key: str) -> bool:
    """Whether a file is the database of `report`, unfinished, or a temporary file of DuckDB."""
    top, name = key.partition("/")[0], key.rpartition("/")[2]
    return (
        (top in OWN_FOLDERS and is_temporary(key))
        or top in (DATABASE, f"{DATABASE}.wal", f"{DATABASE}.tmp")
        or top.startswith(f".{DATABASE}.")
        or (top == ".tmp" and name.startswith("duckdb_temp"))
    )


def _quoting_errors(
    store: Store, snapshots: Iterable[Snapshot], traces: Traces
) -> dict[str, pa.Table]:
    """Return errors tables with rows that name the recordings, with the names removed."""
    changed: dict[str, pa.Table] = {}
    for snapshot in snapshots:
        key = f"{snapshot.folder}/errors.parquet"
        with leaving_damaged():
            errors = store.read_table(key)
            left = withhold(errors, traces)
            if not left.equals(errors):
                changed[key] = left
    return changed


def _replaced(store: Store, keys: Collection[str]) -> set[str]:
    """Return all files that are replaced: both files of an output are."""
    found = set(keys)
    for output in _outputs(keys):
        found.update(key for key in (table_key(output), errors_key(output)) if store.exists(key))
    return found


def _recorded(
    store: Store, snapshots: Iterable[Snapshot], keys: Iterable[str]
) -> dict[str, str | None]:
    """Return the recorded hashes of files, by key."""
    found: dict[str, str | None] = {}
    for row in Ledger(store).rows(_outputs(keys)).to_pylist():
        found[table_key(row["output"])] = row["sha256"]
        found[errors_key(row["output"])] = row["errors_sha256"]
    for snapshot in snapshots:
        found |= {f"{snapshot.folder}/{name}": sha for name, sha in snapshot.sha256.items()}
    return found


def _outputs(keys: Iterable[str]) -> list[str]:
    """Return the outputs of stages that files belong to."""
    return sorted({output_of(key) for key in keys if key.startswith("stages/")})


def _purge_outputs(store: Store, traces: Traces, found: Iterable[str]) -> None:
    """Rewrite the outputs whose table or errors hold rows of the recordings.

    The table is written first, since its metadata says how many errors there are.
    """
    for output in _outputs(found):
        with leaving_damaged():
            _purge_output(store, output, traces)


def _purge_output(store: Store, output: str, traces: Traces) -> None:
    table, errors = table_key(output), errors_key(output)
    left = 0
    if store.exists(errors):
        rows = find_rows(store, [errors], traces).get(errors, 0)
        left = store.read_table(errors, ["stage"]).num_rows - rows
    if store.exists(table):
        rewrite(store, table, traces, {"errors": left})
    if left:
        rewrite_small(store, errors, traces)
    else:
        store.delete(errors)


def _renew_ledger(store: Store, journal: Journal) -> None:
    """Update the rows of the ledger for outputs that were replaced."""
    ledger = Ledger(store)
    rows = ledger.rows(_outputs(journal.keys)).to_pylist()
    renewed = [_renewed(store, row, journal) for row in rows]
    if renewed != rows:
        table = ledger.rows()
        replaced = pa.array([row["output"] for row in rows], pa.string())
        others = table.filter(pc.invert(pc.is_in(table["output"], replaced)))
        ledger.replace(pa.concat_tables([others, pa.Table.from_pylist(renewed, LEDGER_SCHEMA)]))


def _renewed(store: Store, row: Mapping[str, Any], journal: Journal) -> dict[str, Any]:
    table, errors = table_key(row["output"]), errors_key(row["output"])
    sha256 = journal.renewed(table, row["sha256"])
    facts = store.facts(table) if sha256 != row["sha256"] else None
    if facts is None or TASK_RESULT not in facts:
        return dict(row)
    result = json.loads(facts[TASK_RESULT])
    return {
        **row,
        "rows": result["rows"],
        "errors": result["errors"],
        "bytes": store.size(table),
        "sha256": sha256,
        "errors_sha256": journal.renewed(errors, row["errors_sha256"]),
    }


def _purge_catalogue(store: Store, ids: pa.Array) -> None:
    """Make members anonymous; they stay, since the id of their shard must not be used again."""
    with memory_database() as database:
        store.view(database, "catalogue", [CATALOGUE], CATALOGUE_SCHEMA)
        database.register("purged", pa.table({"recording_id": ids}))
        table = database.sql(_CATALOGUE).to_arrow_table()
    write_catalogue(store, table.to_batches())


_CATALOGUE = """
select c.* from catalogue c anti join purged using (recording_id)
union all by name
select distinct shard_id, false as active, '' as audio_digest, '' as label_digest,
       '' as recording_id, '' as uri, 0 as duration_ms, [] as regions, '{}' as metadata,
       [] as items
from catalogue semi join purged using (recording_id)
order by recording_id, shard_id
"""
