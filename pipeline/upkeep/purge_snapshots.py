"""The half of `pipeline.upkeep.purge` that deletes rows from snapshots."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ledger import Ledger
from pipeline.snapshots import LINEAGE_SCHEMA, Snapshot
from pipeline.store import Store
from pipeline.upkeep.proof import count_rows
from pipeline.upkeep.rewriting import Links, rewrite, rewrite_small


def purge_snapshot(
    store: Store, snapshot: Snapshot, ids: pa.Array, shards: set[str], now: str, links: Links
) -> None:
    """Purge a snapshot's own tables, link its parts anew, and renew what it says of them."""
    folder = snapshot.folder
    for name in ("recordings", "errors"):
        rewrite_small(store, f"{folder}/{name}.parquet", ids, links)
    for corpus in snapshot.rows:
        for name in sorted(store.names(f"{folder}/{corpus}")):
            if shard_of(name) in shards:
                _purge_part(store, snapshot, corpus, name, ids, links)
    recordings = store.read_table(f"{folder}/recordings.parquet", ["duration_ms"])
    errors = store.read_table(f"{folder}/errors.parquet", ["stage"])
    renewed = replace(
        snapshot,
        recordings=recordings.num_rows,
        audio_ms=int(pc.sum(recordings["duration_ms"]).as_py() or 0),
        errors=errors.num_rows,
        rows=_rows(store, snapshot),
        sha256={name: store.sha256(f"{folder}/{name}") for name in snapshot.sha256},
    )
    if renewed != snapshot:
        renewed = replace(renewed, purged=[*snapshot.purged, now])
        text = json.dumps(asdict(renewed), indent=2)
        store.write_text(f"{folder}/snapshot.json", text + "\n")


def _purge_part(
    store: Store, snapshot: Snapshot, corpus: str, name: str, ids: pa.Array, links: Links
) -> None:
    """Give a corpus part the content of its output, which has been purged by now."""
    part = f"{snapshot.folder}/{corpus}/{name}"
    output = _output_of_part(store, snapshot, corpus, name)
    if output is not None and store.local and store.path(part).samefile(store.path(output)):
        return
    if count_rows(store, part, ids) == 0:
        return
    links.note(part)
    if output is None:
        rewrite(store, part, ids, {})
    else:
        store.relink(output, part)


def _output_of_part(store: Store, snapshot: Snapshot, corpus: str, name: str) -> str | None:
    lineage = store.read_table(f"{snapshot.folder}/lineage.parquet", ["stage", "output"])
    mine = lineage.filter(pc.equal(lineage["stage"], pa.scalar(corpus)))
    for key in mine["output"].unique().to_pylist():
        if key.rsplit("/", 1)[1] == name and store.exists(key):
            return str(key)
    return None


def _rows(store: Store, snapshot: Snapshot) -> dict[str, int]:
    """Count the rows of a snapshot's corpora."""
    with duckdb.connect() as database:
        Ledger(store).show(database)
        lineage = [f"{snapshot.folder}/lineage.parquet"]
        store.view(database, "lineage", lineage, LINEAGE_SCHEMA)
        found = database.sql(
            "select stage, sum(rows)::bigint from (select distinct stage, output from lineage) n "
            "join (select concat(output, '.parquet') as output, rows from ledger) "
            "using (output) group by stage"
        ).fetchall()
    counts = dict(found)
    return {corpus: counts.get(corpus, 0) for corpus in snapshot.rows}


def shard_of(key: str) -> str:
    """Return the shard that a file of a stage or corpus is named after."""
    return key.rsplit("/", 1)[-1].split(".")[0].split("-")[0]
