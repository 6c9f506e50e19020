"""The catalogue: which recordings there are, and which shard each of them is in.

It is one file, `manifest/catalogue.parquet`. DuckDB compares it with the current sources by a hash
of all that is known of a recording (`content`), so that a million unchanged recordings never become
Python objects, and of the catalogue only ids, digests and hashes are read. Only the shards in which
something differs are looked at; the others stand in `wavemill.pipeline.finished`.

A recording that is a member of a shard stays in it. New recordings, in the order of their ids, are
put into new shards, those that are written conversations into shards of their own, since other
stages work on them. A recording that has left the sources becomes an inactive member and stays one:
if it comes back, it joins a new shard, since outputs that were made in between lack its rows.
"""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from wavemill.manifests.recording import MessageOf
from wavemill.manifests.table import SCHEMA as RECORDINGS
from wavemill.manifests.table import audio_digest, label_digest, recordings_from_table
from wavemill.pipeline.damage import parsing
from wavemill.pipeline.finished import SHARDS, Finished
from wavemill.pipeline.ledger import ledger_files
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.shard import group_by_duration, new_shard_id
from wavemill.pipeline.store import Store

CATALOGUE = "manifest/catalogue.parquet"
DIGITS = 32  # of the digests
BATCH_ROWS = 100_000  # that are in memory at a time as Python objects, or with all columns
_HASHED_BY, _WRITTEN_AS = b"wavemill.hashed_by", b"wavemill.written_as"  # keys of the metadata
HASHED_BY = f"duckdb {duckdb.__version__}".encode()  # another version may hash otherwise


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
CONTENT = pa.field("content", pa.uint64())  # only of active members, see HASHED_BY
FRESH = pa.schema([(n, pa.string()) for n in ("recording_id", "audio_digest", "label_digest")])
KNOWN = pa.schema(
    [
        *(SCHEMA.field(n) for n in ("recording_id", "shard_id", "active")),
        *(SCHEMA.field(n) for n in ("audio_digest", "label_digest")),
        CONTENT,
    ]
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
    with closing(store.opened(CATALOGUE)) as file:
        yield from _parts(store, file, SCHEMA)


def _parts(store: Store, file: pq.ParquetFile, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield some columns of the catalogue in parts. Raises WorkdirDamaged."""
    with parsing(store.root, CATALOGUE):
        rows = 0
        for batch in file.iter_batches(BATCH_ROWS, columns=schema.names):
            rows += batch.num_rows
            yield pa.Table.from_batches([batch]).select(schema.names).cast(schema)
        _check_rows(store, file, rows)


def _check_rows(store: Store, file: pq.ParquetFile, rows: int) -> None:
    if rows != file.metadata.num_rows:  # checksums cover pages, not the footer
        raise store.damaged(CATALOGUE, "holds another number of rows than it says")


def write_catalogue(store: Store, batches: Iterable[pa.RecordBatch]) -> str:
    """Write the catalogue (SCHEMA), sorted by id; returns the mark by which this writing is known.

    Rows that are not active have no hash of their content.
    """
    mark = uuid.uuid4().hex
    metadata = {_HASHED_BY: HASHED_BY, _WRITTEN_AS: mark.encode()}
    schema = pa.schema([*SCHEMA, CONTENT], metadata)
    with memory_database() as database, store.replacing(CATALOGUE) as path:
        options = {"compression": "zstd", "write_page_checksum": True}
        with pq.ParquetWriter(path, schema, **options) as writer:
            for batch in batches:
                rows = pa.Table.from_batches([batch]).select(SCHEMA.names).cast(SCHEMA)
                database.register("rows", rows)
                hashed = database.sql(f"select *, if(active, {_HASH}, null) as content from rows")
                writer.write_table(hashed.to_arrow_table().cast(schema))
    return mark


class Catalogue:
    """The recordings of the current sources in their shards.

    A member without an id is a recording that was purged.

    Tables and views in `database`: `today` (RECORDINGS), `members` (recording_id, shard_id,
    audio_digest, label_digest, active) and `shards` (SHARDS, of active members).
    """

    def __init__(self, store: Store, recordings: pa.Table, shard_seconds: float) -> None:
        """Compare `recordings` (RECORDINGS, one row per id) with the catalogue of the store.

        Raises WorkdirDamaged if that is damaged, or missing although there are outputs.
        """
        stack = ExitStack()
        self.database = stack.enter_context(memory_database(ordered=False))
        weakref.finalize(self, stack.close)
        self.recordings = recordings
        self.mark = ""  # of the file, as `write_catalogue` returns it
        self._store = store
        self._shard_seconds = shard_seconds
        self._hashed = False  # whether the file has the hashes by which it is compared
        self.database.register("today", recordings)
        self.database.register("known", self._read_known())
        self.database.execute(f"create temp view now as select {_LIGHT} from today")
        self.database.execute(_DIFFERENT)
        self._digest_what_changed()
        self.finished = Finished.read(store)
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
        if self.changes.any or not self._hashed:
            rows = self.database.sql(_CATALOGUE).to_arrow_reader(BATCH_ROWS)
            self.mark = write_catalogue(self._store, rows)
            self._hashed = True

    def _update(self, renewed: pa.Table) -> Changes:
        self.database.register("renewed", renewed)
        known_shards = self.mark != "" and self.finished.catalogue == self.mark
        self.database.register(
            "settled", self.finished.shards if known_shards else SHARDS.empty_table()
        )
        self.database.execute(_TOUCHED if known_shards else _ALL_TOUCHED)
        self.database.execute(_STAYING)
        placed = self._place_new_ones()
        self.database.register("placed", placed)
        relabelled, gone = self.database.execute(_COUNTS).fetchall()[0]
        self.database.execute(_MEMBERS)
        self.database.execute(_SHARDS)
        return Changes(new=placed.num_rows, relabelled=relabelled, gone=gone)

    def _read_known(self) -> pa.Table:
        """Return the members in the catalogue (KNOWN), with a hash of what it says of each."""
        if not self._store.exists(CATALOGUE):
            return pa.concat_tables([KNOWN.empty_table(), *catalogue_parts(self._store)])
        with closing(self._store.opened(CATALOGUE)) as file:
            metadata = file.schema_arrow.metadata or {}
            if metadata.get(_HASHED_BY) == HASHED_BY and CONTENT.name in file.schema_arrow.names:
                self._hashed, self.mark = True, metadata.get(_WRITTEN_AS, b"").decode()
                with parsing(self._store.root, CATALOGUE):
                    table = file.read(KNOWN.names).select(KNOWN.names).cast(KNOWN)
                _check_rows(self._store, file, table.num_rows)
                return table
            parts = [self._hash(part) for part in _parts(self._store, file, SCHEMA)]
            return pa.concat_tables([KNOWN.empty_table(), *parts])

    def _hash(self, part: pa.Table) -> pa.Table:
        """Return rows of the catalogue (SCHEMA) as KNOWN."""
        self.database.register("part", part)
        columns = ", ".join(name for name in KNOWN.names if name != CONTENT.name)
        hashed = self.database.sql(f"select {columns}, {_HASH} as content from part")
        table = hashed.to_arrow_table().cast(KNOWN)
        self.database.unregister("part")
        return table

    def _digest_what_changed(self) -> None:
        """Make the table `fresh`: digests of the rows of `today` that differ from `known`."""
        rows = self.database.sql(
            "select t.* from today t semi join (from different where present) using (recording_id)"
        )
        parts = [FRESH.empty_table()]
        for batch in rows.to_arrow_reader(BATCH_ROWS):
            table = pa.Table.from_batches([batch]).select(RECORDINGS.names).cast(RECORDINGS)
            found = recordings_from_table(table)
            columns = [
                table["recording_id"],
                pa.array([audio_digest(r)[:DIGITS] for r in found], pa.string()),
                pa.array([label_digest(r)[:DIGITS] for r in found], pa.string()),
            ]
            parts.append(pa.table(columns, schema=FRESH))
        self.database.register("fresh", pa.concat_tables(parts))

    def _place_new_ones(self) -> pa.Table:
        """Put the recordings that are in no shard into new shards; return rows of `members`."""
        rows = self.database.sql(_UNPLACED).to_arrow_table()
        shard_ids: list[str] = [""] * len(rows)
        if shard_ids:
            digests, written = rows["audio_digest"].to_pylist(), rows["written"].to_pylist()
            durations = rows["duration_ms"].to_pylist()
            known = self.database.sql("select distinct shard_id from known").to_arrow_table()
            taken: set[str] = set(known["shard_id"].to_pylist())
        for kind in (False, True) if shard_ids else ():
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
_HASH = f"hash({', '.join(RECORDINGS.names)})"
_LIGHT = (
    f"recording_id, duration_ms, len(items) > 0 as labelled, {written_sql('items')} as written, "
    f"{_HASH} as content"
)

# What is new (in no shard), gone (not `present`) or changed. Only the hashes are compared; a
# recording that changed is in two rows.
_DIFFERENT = """
create table different as
select coalesce(n.recording_id, k.recording_id) as recording_id,
       n.recording_id is not null as present, k.shard_id
from now n full join (from known where active) k using (content)
where n.recording_id is null or k.recording_id is null
"""

# The shards whose members are looked at.
_TOUCHED = """
create or replace table touched as
select distinct shard_id from different where shard_id is not null
union
select shard_id from known semi join renewed using (recording_id) where active
"""
_ALL_TOUCHED = "create or replace table touched as select distinct shard_id from known"

# Their members after the scan: only labels and `active` change. New ones are added to them.
_STAYING = """
create or replace table staying as
select k.recording_id, k.shard_id, k.audio_digest,
       coalesce(f.label_digest, k.label_digest) as label_digest,
       k.active and t.recording_id is not null and r.recording_id is null
         and (f.recording_id is null or f.audio_digest = k.audio_digest) as active,
       k.active as was_active, f.recording_id is not null as relabelled,
       t.duration_ms, t.labelled, t.written
from (from known semi join touched using (shard_id)) k
left join (
    from now semi join (from known semi join touched using (shard_id)) using (recording_id)
) t using (recording_id)
left join fresh f using (recording_id) left join renewed r using (recording_id)
"""

_UNPLACED = """
select t.recording_id, t.duration_ms, t.labelled, t.written,
       coalesce(f.audio_digest, k.audio_digest) as audio_digest,
       coalesce(f.label_digest, k.label_digest) as label_digest
from now t
semi join (select recording_id from different where present union from renewed)
  using (recording_id)
anti join (from staying where active) s using (recording_id)
left join fresh f using (recording_id)
left join (from staying where was_active) k using (recording_id)
order by t.recording_id
"""

_COUNTS = """
select count(*) filter (active and relabelled),
       count(*) filter (was_active and not active
                        and recording_id not in (select recording_id from placed))
from staying
"""

_MEMBERS = """
create or replace temp view members as
select recording_id, shard_id, audio_digest, label_digest, active
from known anti join touched using (shard_id)
union all
select recording_id, shard_id, audio_digest, label_digest, active from staying
union all
select recording_id, shard_id, audio_digest, label_digest, true from placed
"""

# The digests are sorted in a list: an ordered string_agg takes DuckDB many times as long.
_SHARDS = """
create or replace table shards as
from settled anti join touched using (shard_id)
union all
select shard_id,
       substr(sha256(array_to_string(list_sort(list(label_digest)), chr(10))), 1, 12)
         as label_digest,
       sum(duration_ms)::bigint as duration_ms, count(*) as recordings,
       bool_or(labelled) as labelled, bool_or(written) as written
from (
    select shard_id, label_digest, duration_ms, labelled, written from staying where active
    union all
    select shard_id, label_digest, duration_ms, labelled, written from placed
) group by shard_id
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
