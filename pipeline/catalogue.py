"""The catalogue: which recordings there are, and which shard each of them is in.

It is one file, `manifest/catalogue.parquet`. DuckDB compares it with the current sources, so that a
million unchanged recordings never become Python objects.

A recording that is a member of a shard stays in it. New recordings, in the order of their ids, are
put into new shards, those that are written conversations into shards of their own, since other
stages work on them. A recording that has left the sources becomes an inactive member and stays one:
if it comes back, it joins a new shard, since outputs that were made in between lack its rows.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pyarrow as pa

from wavemill.manifests.recording import MessageOf
from wavemill.manifests.table import SCHEMA as RECORDINGS
from wavemill.manifests.table import audio_digest, label_digest, recordings_from_table
from wavemill.pipeline.damage import parsing
from wavemill.pipeline.ledger import ledger_files
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.shard import group_by_duration, new_shard_id
from wavemill.pipeline.store import Store

CATALOGUE = "manifest/catalogue.parquet"
DIGITS = 32  # of the digests
BATCH_ROWS = 100_000  # of the catalogue that are in memory at a time


def _field(name: str, kind: pa.DataType, description: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"description": description})


SCHEMA = pa.schema(
    [
        _field("shard_id", pa.string(), "shard of the recording"),
        _field("active", pa.bool_(), "false once it left the sources; it stays a member"),
        _field("audio_digest", pa.string(), "hash of id, regions and item spans"),
        _field("label_digest", pa.string(), "hash of everything that is known of it"),
        *RECORDINGS,
    ]
)
FRESH = pa.schema(
    [(n, pa.string()) for n in ("recording_id", "audio_digest", "label_digest")]
    + [("duration_ms", pa.int64())]
)
COLUMNS = [name for name in RECORDINGS.names if name != "recording_id"]


@dataclass(frozen=True)
class Changes:
    """How many recordings of the sources differ from the catalogue."""

    new: int = 0  # a file whose content changed is a new recording
    relabelled: int = 0  # the same audio under another name or with other labels
    gone: int = 0

    @property
    def any(self) -> bool:
        """Whether anything differs."""
        return bool(self.new or self.relabelled or self.gone)


def read_catalogue(store: Store) -> pa.Table:
    """Return the catalogue (SCHEMA), empty before the first build. Raises WorkdirDamaged."""
    return pa.concat_tables([SCHEMA.empty_table(), *catalogue_parts(store)])


def catalogue_parts(store: Store) -> Iterator[pa.Table]:
    """Yield the catalogue (SCHEMA) in parts, none before the first build. Raises WorkdirDamaged."""
    if not store.exists(CATALOGUE):
        if ledger_files(store):  # there are outputs of shards, but no members are known
            raise store.damaged(CATALOGUE, "is missing")
        return
    with closing(store.opened(CATALOGUE)) as file, parsing(store.root, CATALOGUE):
        rows = 0
        for batch in file.iter_batches(BATCH_ROWS, columns=SCHEMA.names):
            rows += batch.num_rows
            yield pa.Table.from_batches([batch]).select(SCHEMA.names).cast(SCHEMA)
        if rows != file.metadata.num_rows:  # checksums cover pages, not the footer
            raise store.damaged(CATALOGUE, "holds another number of rows than it says")


class Catalogue:
    """The recordings of the current sources in their shards.

    A member without an id is a recording that was purged.

    Tables in `database`: `today` (RECORDINGS), `members` (recording_id, shard_id, audio_digest,
    label_digest, active) and `shards` (of active members: shard_id, label_digest, duration_ms,
    recordings, labelled, written).
    """

    def __init__(self, store: Store, recordings: pa.Table, shard_seconds: float) -> None:
        """Compare `recordings` (RECORDINGS, one row per id) with the catalogue of the store.

        Raises WorkdirDamaged if that is damaged, or missing although there are outputs.
        """
        stack = ExitStack()
        self.database = stack.enter_context(memory_database(ordered=False))
        weakref.finalize(self, stack.close)
        self.recordings = recordings
        self._store = store
        self._shard_seconds = shard_seconds
        self.database.register("today", recordings)
        self._read_known()
        self.database.execute(f"create table now as select {_LIGHT} from today")
        self.changes = self._update(pa.table({"recording_id": pa.array([], pa.string())}))

    def renew(self, recording_ids: Sequence[str]) -> None:
        """Treat recordings as new ones: they leave their shards and join new shards."""
        ids = pa.table({"recording_id": pa.array(recording_ids, pa.string())})
        self.changes = self._update(ids)

    @property
    def has_conversations(self) -> bool:
        """Whether any of the recordings is a written conversation."""
        query = "select count(*) from shards where written"
        return bool(self.database.execute(query).fetchall()[0][0])

    def save(self) -> None:
        """Write the catalogue, if it differs from the one in the store."""
        if self.changes.any or not self._store.exists(CATALOGUE):
            table = self.database.sql(_CATALOGUE).to_arrow_table()
            self._store.write_table(CATALOGUE, table.cast(SCHEMA))

    def _update(self, renewed: pa.Table) -> Changes:
        self.database.register("renewed", renewed)
        self._digest_what_changed()
        self.database.execute(_STAYING)
        placed = self._place_new_ones()
        self.database.register("placed", placed)
        relabelled, gone = self.database.execute(_COUNTS).fetchall()[0]
        self.database.execute(_PLACED)
        self.database.execute(_SHARDS)
        return Changes(new=placed.num_rows, relabelled=relabelled, gone=gone)

    def _read_known(self) -> None:
        """Make the table `known`: the members in the catalogue, batch by batch.

        Of what the catalogue says of them it has a hash, which is compared with that of today.
        """
        light = f"shard_id, active, audio_digest, label_digest, {_LIGHT}"
        self._add_known("create table known as", light, SCHEMA.empty_table())
        for batch in catalogue_parts(self._store):
            self._add_known("insert into known", light, batch)

    def _add_known(self, statement: str, columns: str, batch: pa.Table) -> None:
        self.database.register("batch", batch)
        self.database.execute(f"{statement} select {columns} from batch")
        self.database.unregister("batch")

    def _digest_what_changed(self) -> None:
        """Make the table `fresh`: digests of the rows of `today` that differ from `known`."""
        self.database.execute(
            "create or replace table differing as select recording_id from now "
            "anti join (from known where active) using (recording_id, content)"
        )
        rows = self.database.sql("select t.* from today t semi join differing using (recording_id)")
        table = rows.to_arrow_table().select(RECORDINGS.names).cast(RECORDINGS)
        found = recordings_from_table(table)
        columns = [
            [r.recording_id for r in found],
            [audio_digest(r)[:DIGITS] for r in found],
            [label_digest(r)[:DIGITS] for r in found],
            [r.duration_ms for r in found],
        ]
        self.database.register("fresh", pa.table(columns, schema=FRESH))

    def _place_new_ones(self) -> pa.Table:
        """Put the recordings that are in no shard into new shards; return rows of `members`."""
        rows = self.database.sql(_UNPLACED).to_arrow_table()
        digests, written = rows["audio_digest"].to_pylist(), rows["written"].to_pylist()
        durations = rows["duration_ms"].to_pylist()
        known = self.database.sql("select distinct shard_id from known").fetchall()
        taken = {shard_id for (shard_id,) in known}
        shard_ids: list[str] = [""] * len(rows)
        for kind in (False, True):
            mine = [i for i, one in enumerate(written) if one is kind]
            for group in group_by_duration([durations[i] for i in mine], self._shard_seconds):
                shard_id = new_shard_id([digests[mine[i]] for i in group], taken)
                taken.add(shard_id)
                for i in group:
                    shard_ids[mine[i]] = shard_id
        return rows.append_column("shard_id", pa.array(shard_ids, pa.string()))


def written_sql(items: str) -> str:
    """Return SQL for `Recording.written`, given its items."""
    tasks = ", ".join(f"'{task}'" for task in MessageOf)
    return f"coalesce({items}[1].task in ({tasks}), false)"


# What is needed of every recording, and a hash of all that is known of it.
_LIGHT = (
    f"recording_id, duration_ms, len(items) > 0 as labelled, {written_sql('items')} as written, "
    f"hash({', '.join(COLUMNS)}) as content"
)

# The known members after the scan: only labels and `active` change. New ones are added to them.
_STAYING = """
create or replace table members as
select k.recording_id, k.shard_id, k.audio_digest,
       coalesce(f.label_digest, k.label_digest) as label_digest,
       k.active and t.recording_id is not null and r.recording_id is null
         and (f.recording_id is null or f.audio_digest = k.audio_digest) as active,
       k.active as was_active, f.recording_id is not null as relabelled,
       t.duration_ms, t.labelled, t.written
from known k left join now t using (recording_id) left join fresh f using (recording_id)
left join renewed r using (recording_id)
"""

_UNPLACED = """
select t.recording_id, t.duration_ms, t.labelled, t.written,
       coalesce(f.audio_digest, k.audio_digest) as audio_digest,
       coalesce(f.label_digest, k.label_digest) as label_digest
from now t anti join (from members where active) s using (recording_id)
left join fresh f using (recording_id)
left join (from known where active) k using (recording_id)
order by t.recording_id
"""

_COUNTS = """
select count(*) filter (active and relabelled),
       count(*) filter (was_active and not active
                        and recording_id not in (select recording_id from placed))
from members
"""

_PLACED = """
insert into members by name
select recording_id, shard_id, audio_digest, label_digest, true as active, duration_ms, labelled,
       written
from placed
"""

# The digests are sorted in a list: an ordered string_agg takes DuckDB many times as long.
_SHARDS = """
create or replace table shards as
select shard_id,
       substr(sha256(array_to_string(list_sort(list(label_digest)), chr(10))), 1, 12)
         as label_digest,
       sum(duration_ms)::bigint as duration_ms, count(*) as recordings,
       bool_or(labelled) as labelled, bool_or(written) as written
from members where active group by shard_id
"""

# An inactive member keeps its id, shard and digests only.
_CATALOGUE = f"""
select m.shard_id, m.active, m.audio_digest, m.label_digest, m.recording_id,
       {", ".join(f"t.{name}" for name in COLUMNS)}
from (from members where active) m join today t using (recording_id)
union all
select m.shard_id, m.active, m.audio_digest, m.label_digest, m.recording_id,
       '', 0, [], null, null, null, null, '{{}}', []
from members m where not m.active
order by 5, 2
"""
