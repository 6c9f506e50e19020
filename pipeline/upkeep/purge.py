"""Deleting every byte of withdrawn recordings from a WORKDIR, and proving that none is left.

Files are immutable otherwise; here each one that holds rows of the recordings is replaced by one
without them, in one step, and so are the hard links to it in older snapshots: the old file has no
name left. What says how large a file is and what its hash is (ledger, `snapshot.json`) is renewed.
The catalogue comes last, since it leads to the files: an interrupted purge is done by asking for
it again. It keeps that somebody was a member of the shard, without saying who.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.catalogue import CATALOGUE
from pipeline.catalogue import SCHEMA as CATALOGUE_SCHEMA
from pipeline.ledger import SCHEMA as LEDGER_SCHEMA
from pipeline.ledger import Ledger
from pipeline.snapshots import all_snapshots
from pipeline.store import Store, StoredFile
from pipeline.task import REPORT, errors_key, table_key
from pipeline.upkeep.proof import Proof, count_rows, prove
from pipeline.upkeep.purge_snapshots import purge_snapshot, shard_of
from pipeline.upkeep.rewriting import Links, rewrite, rewrite_small
from pipeline.upkeep.withdrawal import WITHDRAWN

DATABASE, REPORT_FOLDER = "quality.duckdb", "report"


def purge(store: Store, recording_ids: Sequence[str], now: str) -> Proof:
    """Delete the bytes of recordings; `now` (ISO 8601) is noted in the snapshots it touches."""
    ids = pa.array(recording_ids, pa.string())
    shards = _shards(store, ids)
    _remove_leftovers(store)
    before = Links(store)
    ledger = _purge_outputs(store, ids, shards, before)
    _renew_ledger(store, ledger)
    for snapshot in all_snapshots(store):
        purge_snapshot(store, snapshot, ids, shards, now, before)
    store.delete(DATABASE)  # both are made from the tables; `wavemill report` makes them anew
    store.delete_folder(REPORT_FOLDER)
    for file in store.files("manifest"):
        if file.key.endswith(".parquet") and file.key not in (CATALOGUE, WITHDRAWN):
            rewrite_small(store, file.key, ids, before)
    elsewhere = before.elsewhere()
    _purge_catalogue(store, ids)
    return replace(prove(store, ids), linked_elsewhere=elsewhere)


def affected_files(store: Store, recording_ids: Sequence[str]) -> list[StoredFile]:
    """Return the files of stages that have, or may have, rows of recordings."""
    shards = _shards(store, pa.array(recording_ids, pa.string()))
    return [file for file in store.files("stages") if shard_of(file.key) in shards]


def _shards(store: Store, ids: pa.Array) -> set[str]:
    if not store.exists(CATALOGUE):
        return set()
    table = store.read_table(CATALOGUE, ["shard_id", "recording_id"])
    return set(table.filter(pc.is_in(table["recording_id"], ids))["shard_id"].to_pylist())


def _remove_leftovers(store: Store) -> None:
    """Remove unfinished files: nobody writes while this run holds the lock."""
    for prefix, recursive in (("stages", True), ("snapshots", True), ("manifest", True), ("", 0)):
        for file in list(store.files(prefix, bool(recursive))):
            if file.key.rsplit("/", 1)[-1].startswith(".") and file.key.endswith(".tmp"):
                store.delete(file.key)


def _purge_outputs(
    store: Store, ids: pa.Array, shards: set[str], links: Links
) -> dict[str, dict[str, Any]]:
    """Rewrite the shards' outputs that hold rows; return what the ledger has to say of each."""
    found: dict[str, dict[str, Any]] = {}
    for file in list(store.files("stages")):
        name = file.key.rsplit("/", 1)[1]
        if shard_of(file.key) in shards and not name.endswith(".errors.parquet"):
            output = file.key.removesuffix(".parquet")
            found[output] = _purge_output(store, output, ids, links)
    return found


def _purge_output(store: Store, output: str, ids: pa.Array, links: Links) -> dict[str, Any]:
    table, errors = table_key(output), errors_key(output)
    failed = 0
    with_errors = store.exists(errors)
    touched = count_rows(store, table, ids) > 0
    if with_errors:
        touched |= rewrite_small(store, errors, ids, links)
        failed = store.read_table(errors, ["stage"]).num_rows
    if touched:
        links.note(table)
        rewrite(store, table, ids, {"errors": failed})
    if with_errors and not failed:
        store.delete(errors)
    report = json.loads((store.facts(table) or {})[REPORT])
    return {
        "rows": report["rows"],
        "errors": failed,
        "bytes": store.size(table),
        "sha256": store.sha256(table),
        "errors_sha256": store.sha256(errors) if failed else None,
    }


def _renew_ledger(store: Store, found: dict[str, dict[str, Any]]) -> None:
    rows = Ledger(store).rows().to_pylist()
    if any(row["output"] in found for row in rows):
        renewed = [{**row, **found.get(row["output"], {})} for row in rows]
        Ledger(store).replace(pa.Table.from_pylist(renewed, schema=LEDGER_SCHEMA))


def _purge_catalogue(store: Store, ids: pa.Array) -> None:
    """Leave of a member only that there was one: its shard's name must not be used again."""
    if not store.exists(CATALOGUE):
        return
    with duckdb.connect() as database:
        store.view(database, "catalogue", [CATALOGUE], CATALOGUE_SCHEMA)
        database.register("purged", pa.table({"recording_id": ids}))
        table = database.sql(_CATALOGUE).to_arrow_table().select(CATALOGUE_SCHEMA.names)
    store.write_table(CATALOGUE, table.cast(CATALOGUE_SCHEMA))


_CATALOGUE = """
select c.* from catalogue c anti join purged using (recording_id)
union all by name
select distinct shard_id, false as active, '' as audio_digest, '' as label_digest,
       '' as recording_id, '' as uri, 0 as duration_ms, [] as regions, '{}' as metadata,
       [] as items
from catalogue semi join purged using (recording_id)
order by recording_id, shard_id
"""
