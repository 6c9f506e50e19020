"""Rebuilding the catalogue from the newest snapshot and the outputs of the stages."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from wavemill.manifests.table import SCHEMA as RECORDINGS
from wavemill.manifests.table import audio_digest, label_digest, recordings_from_table
from wavemill.pipeline.catalogue import DIGITS, SCHEMA, write_catalogue
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.output_key import errors_key, table_key
from wavemill.pipeline.snapshots import Snapshot
from wavemill.pipeline.store import Store

_MEMBERS = pa.schema(
    [("recording_id", pa.string()), ("shard_id", pa.string()), ("finished_ms", pa.int64())]
)


def recatalogue(store: Store, ledger: pa.Table, newest: Snapshot | None) -> None:
    """Write a catalogue of the shards whose outputs are in `ledger` (LEDGER_SCHEMA).

    A recording of the newest snapshot becomes a member of the shard that last had rows of it; all
    other recordings become inactive members. So do all members of a shard with outputs newer than
    that snapshot, since these may lack rows of members that were inactive then.
    """
    members = _members(store, ledger)
    today = RECORDINGS.empty_table()
    if newest is not None:
        key = f"{newest.folder}/recordings.parquet"
        today = store.read_table(key).select(RECORDINGS.names).cast(RECORDINGS)
    with memory_database() as database:
        database.register("members", members)
        database.register("today", today)
        query = _PLACES.format(published_ms=_published_ms(newest))
        places = database.sql(query).fetchall()
    known = {recording.recording_id: recording for recording in recordings_from_table(today)}
    plain = dict(zip(today["recording_id"].to_pylist(), today.to_pylist(), strict=True))
    rows = [
        {
            "shard_id": shard_id,
            "active": active,
            "audio_digest": audio_digest(known[recording_id])[:DIGITS] if active else "",
            "label_digest": label_digest(known[recording_id])[:DIGITS] if active else "",
            **(plain[recording_id] if active else {**_NOTHING, "recording_id": recording_id}),
        }
        for recording_id, shard_id, active in places
    ]
    write_catalogue(store, pa.Table.from_pylist(rows, schema=SCHEMA).to_batches())


_NOTHING = {"uri": "", "duration_ms": 0, "regions": [], "metadata": "{}", "items": []}
_PLACES = """
select recording_id, shard_id,
       row_number() over (partition by recording_id order by max(finished_ms) desc, shard_id) = 1
         and recording_id in (select recording_id from today)
         and shard_id not in (select shard_id from members where finished_ms > {published_ms})
from members group by recording_id, shard_id order by recording_id, shard_id
"""


def _members(store: Store, ledger: pa.Table) -> pa.Table:
    """Return which recordings have rows or errors in the outputs of which shard (_MEMBERS)."""
    tables = [_MEMBERS.empty_table()]
    for row in ledger.select(["output", "errors", "shard_id", "finished_ms"]).to_pylist():
        keys = [table_key(row["output"]), *([errors_key(row["output"])] if row["errors"] else [])]
        for key in keys:
            ids = store.read_table(key, ["recording_id"])["recording_id"].unique()
            columns = [
                ids,
                pa.array([row["shard_id"]] * len(ids), pa.string()),
                pa.array([row["finished_ms"]] * len(ids), pa.int64()),
            ]
            tables.append(pa.table(columns, schema=_MEMBERS))
    return pa.concat_tables(tables)


def _published_ms(snapshot: Snapshot | None) -> int:
    if snapshot is None:
        return 0
    return int(datetime.fromisoformat(snapshot.created).timestamp() * 1000)
