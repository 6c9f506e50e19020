"""What the page needs of every shard, computed once: a row per segment and a row per recording.

To join all tables of a shard's stages and to account for its milliseconds takes most of a report's
time. So what comes of it is kept in `report/shards/<format>/`, and a report computes it only of
shards of which anything has changed: their outputs, recordings or errors. What a shard's rows
depend on is hashed into their `key`; what all of them depend on (queries, scores, the snapshot's
stages) is hashed into the folder's name. Shards are computed in chunks, so that memory is bounded,
and a chunk's rows are one file, since a WORKDIR may have as many shards as recordings. The figures
come from all current rows: exact ones, whatever was computed when.

The folder may be deleted at any time; a purge does so.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa

from wavemill.pipeline.curation import all_schemas
from wavemill.pipeline.damage import WorkdirDamaged
from wavemill.pipeline.digest import digest_of
from wavemill.pipeline.ledger import SCHEMA as LEDGER
from wavemill.pipeline.ledger import ledger_files
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.quality.database import (
    SCRIPTS,
    Tables,
    outputs_of,
    show_conversations,
    show_errors,
    show_snapshot,
    show_stage,
    sql_of,
)
from wavemill.pipeline.quality.scores import seen_columns, stages_shown
from wavemill.pipeline.quality.small_tables import (
    about_table,
    rules_table,
    snapshots_table,
    stages_table,
)
from wavemill.pipeline.scratch import scratch_folder
from wavemill.pipeline.snapshots import Snapshot
from wavemill.pipeline.store import Store

FOLDER = "report/shards"
VERSION = 1  # raise it when this module gives other rows
CHUNK_SEGMENTS = 250_000  # about so many are computed at a time
SEGMENT_MS = 3_600  # of a recording, for each segment that is expected in it
MAX_FILES = 48  # more of them are merged into one,
STALE_SHARE = 0.3  # as they are when so many of their rows belong to no shard any more
KINDS = ("seen", "known")  # rows of segments, rows of recordings; the second is written last
COPY = "copy ({query}) to '{path}' (format parquet, compression zstd)"


@dataclass(frozen=True)
class _Rows:
    """The files of both kinds that are there, as SQL in which DuckDB scans them."""

    scans: Mapping[str, tuple[str, ...]]

    def sql(self, kind: str, empty: str) -> str:
        """SQL: all rows of a kind; `empty` gives none of them."""
        return " union all by name ".join(f"(from {scan})" for scan in (empty, *self.scans[kind]))


@contextmanager
def page_database(
    store: Store, snapshot: Snapshot, version: str, write: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database of what the page is made of; `figures.py` and `samples.py` read it.

    It has the relations of page_tables.sql, rules.sql and summaries.sql, and `seen` (seen.sql).
    `write`: what was computed is kept in the WORKDIR, whose lock the caller holds.
    """
    with scratch_folder() as folder, duckdb.connect(folder / "page.duckdb") as database:
        tidy = fill_page_database(database, store, snapshot, version, folder, write)
        yield database
        tidy()


def fill_page_database(
    database: duckdb.DuckDBPyConnection,
    store: Store,
    snapshot: Snapshot,
    version: str,
    folder: Path,
    write: bool,
    as_tables: bool = False,
) -> Callable[[], None]:
    """Do what `page_database` does in an empty database; `folder` is scratch.

    The rows are read from files in `folder` and in the WORKDIR, with `as_tables` copied. What is
    returned merges the files in the WORKDIR where that is due; nothing is read after it.
    """
    shown = Tables(database, store)
    database.execute("create schema base")
    shown.small("about", about_table(store, snapshot, version))
    shown.small("snapshots", snapshots_table(store))
    stages = stages_table(store, snapshot)
    shown.small("stages", stages)
    shown.small("base.rules", rules_table())
    show_snapshot(shown, store, snapshot)
    shown.show("base.ledger", ledger_files(store), LEDGER)
    kept = _Kept(store, f"{FOLDER}/{_format(stages)}", folder)
    chunks = _Chunks(database, store, snapshot, folder, stages)
    rows = kept.read()
    chunks.find(rows)
    made = list(chunks.compute())
    every = _Rows({kind: (*rows.scans[kind], *_scratch(made, kind)) for kind in KINDS})
    if write:
        kept.add(made)
    for kind in KINDS:
        query = (
            f"select * exclude (key) from ({every.sql(kind, chunks.empty[kind])}) "
            "semi join base.wanted using (key)"
        )
        what = "table" if as_tables else "view"
        database.execute(f"create {what} base.{kind}_rows as {query}")
    database.execute("drop view recordings")
    for script in ("page_tables.sql", "rules.sql", "summaries.sql"):
        database.execute(sql_of(script))
    database.execute("create view seen as from base.seen_rows")
    show_conversations(shown, store, snapshot)
    return partial(kept.tidy, database, every, chunks.empty) if write else lambda: None


def _format(stages: pa.Table) -> str:
    """Return a digest of all that the rows of every shard depend on."""
    scripts = [sql_of(name) for name in (*SCRIPTS, "seen.sql", "known.sql")]
    tables = [json.dumps(table.to_pylist(), default=str) for table in (stages, rules_table())]
    return digest_of([VERSION, duckdb.__version__, seen_columns(), *scripts, *tables])


def _scratch(made: Sequence[Mapping[str, Path]], kind: str) -> list[str]:
    return [f"read_parquet('{paths[kind]}')" for paths in made]


@dataclass(frozen=True)
class _Kept:
    """The files of rows in a WORKDIR: `<number>-<kind>.parquet` in one folder."""

    store: Store
    folder: str
    scratch: Path

    def read(self) -> _Rows:
        """Return what is there; files that cannot be read do not count."""
        numbers = self._numbers()
        found = {kind: [self._scan(f"{n:08d}-{kind}") for n in numbers] for kind in KINDS}
        both = [pair for pair in zip(*found.values(), strict=True) if all(pair)]
        return _Rows({kind: tuple(str(pair[i]) for pair in both) for i, kind in enumerate(KINDS)})

    def add(self, made: Sequence[Mapping[str, Path]]) -> None:
        """Keep files that were just made, and remove those of another format."""
        last = max(self._numbers(), default=0)
        for number, paths in enumerate(made, last + 1):
            for kind in KINDS:
                with self.store.replacing(f"{self.folder}/{number:08d}-{kind}.parquet") as path:
                    shutil.copyfile(paths[kind], path)
        for name in self.store.names(FOLDER) - {Path(self.folder).name}:
            self.store.delete_folder(f"{FOLDER}/{name}")

    def tidy(
        self, database: duckdb.DuckDBPyConnection, rows: _Rows, empty: Mapping[str, str]
    ) -> None:
        """Write all current rows anew as one file, if there are many files or stale rows."""
        counts = [
            database.execute(f"select count(*) from {relation}").fetchall()[0][0]
            for relation in (f"({rows.sql('known', empty['known'])})", "base.known_rows")
        ]
        numbers = self._numbers()
        if len(numbers) <= MAX_FILES and counts[0] * (1 - STALE_SHARE) <= counts[1]:
            return
        paths = {kind: self.scratch / f"all-{kind}.parquet" for kind in KINDS}
        for kind, path in paths.items():
            query = f"from ({rows.sql(kind, empty[kind])}) semi join base.wanted using (key)"
            database.execute(COPY.format(query=query, path=path))
        self.add([paths])
        self.store.delete_all(
            f"{self.folder}/{number:08d}-{kind}.parquet" for number in numbers for kind in KINDS
        )

    def _numbers(self) -> list[int]:
        """Return the numbers of the files of which both kinds were written."""
        ending = f"-{KINDS[-1]}.parquet"
        names = [name.removesuffix(ending) for name in self.store.names(self.folder)]
        return sorted(int(name) for name in names if name.isdecimal())

    def _scan(self, name: str) -> str | None:
        key = f"{self.folder}/{name}.parquet"
        try:
            with self.store.opened(key):
                pass
        except (WorkdirDamaged, FileNotFoundError):
            return None
        if (scan := self.store.scan([key])) is not None:
            return scan
        path = self.scratch / f"kept-{name}.parquet"
        with self.store.open_file(key) as file, path.open("wb") as copy:
            while part := file.read(1 << 24):
                copy.write(part)
        return f"read_parquet('{path}')"


class _Chunks:
    """The shards whose rows are to be computed, some at a time."""

    def __init__(
        self,
        database: duckdb.DuckDBPyConnection,
        store: Store,
        snapshot: Snapshot,
        folder: Path,
        stages: pa.Table,
    ) -> None:
        """Make `base.wanted`: shard_id and key of every shard that has recordings."""
        self._database, self._store, self._snapshot = database, store, snapshot
        self._folder, self._stages = folder, stages
        self._placed = folder / "placed.parquet"
        self._schemas = all_schemas()
        self._outputs = {
            stage: _by_shard(keys)
            for stage, keys in outputs_of(store, snapshot, stages_shown()).items()
        }
        corpus = f"{snapshot.folder}/pretrain"
        self._parts = _by_shard([f"{corpus}/{name}" for name in sorted(store.names(corpus))])
        database.execute("create temp table placed as select * from recordings")
        database.execute(_WANTED)
        self.empty = self._empty_rows()

    def find(self, rows: _Rows) -> None:
        """Make the table `lacking` of shards whose rows are in no file, by chunk."""
        scan = rows.sql("known", self.empty["known"])
        self._database.execute(
            _LACKING.format(known=scan, segment_ms=SEGMENT_MS, chunk=CHUNK_SEGMENTS)
        )
        self._database.execute(
            COPY.format(
                query="select placed.* replace (coalesce(shard_id, '') as shard_id) from placed "
                "where coalesce(shard_id, '') in (select shard_id from lacking) order by shard_id",
                path=self._placed,
            )
        )
        self._database.execute("drop table placed")

    def compute(self) -> Iterator[Mapping[str, Path]]:
        """Yield the files of rows of each chunk."""
        chunks = self._database.execute(
            "select list(shard_id), list(key) from lacking group by chunk order by chunk"
        ).fetchall()
        for number, (shard_ids, keys) in enumerate(chunks):
            paths = {kind: self._folder / f"chunk-{number}-{kind}.parquet" for kind in KINDS}
            with memory_database() as database:
                self._show(database, shard_ids, keys)
                for kind, path in paths.items():
                    database.execute(COPY.format(query=_ROWS.format(kind=kind), path=path))
            yield paths

    def _empty_rows(self) -> dict[str, str]:
        """Return, by kind, SQL of a relation with the columns of its rows and without rows."""
        found = {}
        with memory_database() as database:
            self._database.execute(COPY.format(query="from placed limit 0", path=self._placed))
            self._show(database, [], [])
            for kind in KINDS:
                path = self._folder / f"empty-{kind}.parquet"
                database.execute(COPY.format(query=_ROWS.format(kind=kind), path=path))
                found[kind] = f"read_parquet('{path}')"
        return found

    def _show(
        self, database: duckdb.DuckDBPyConnection, shard_ids: Sequence[str], keys: Sequence[int]
    ) -> None:
        """Make the views of some shards in an empty database, and of them the tables of rows."""
        tables = Tables(database, self._store)
        database.execute("create schema base")
        tables.small("stages", self._stages)
        tables.small("base.rules", rules_table())
        columns = [pa.array(shard_ids, pa.string()), pa.array(keys, pa.uint64())]
        tables.small("base.chunk", pa.table(columns, ["shard_id", "key"]))
        # Read by many views, so it is a table.
        database.execute(
            f"create table recordings as from read_parquet('{self._placed}') "
            "semi join base.chunk using (shard_id)"
        )
        show_errors(tables, self._snapshot)
        parts = [part for shard in shard_ids for part in self._parts.get(shard, ())]
        outputs = {
            stage: [key for shard in shard_ids for key in found.get(shard, ())]
            for stage, found in self._outputs.items()
        }
        for first in (True, False):
            some = slice(0, 1) if first else slice(None)
            tables.show("corpus", parts[some], self._schemas["pretrain"])
            for stage in stages_shown():
                show_stage(tables, stage, outputs.get(stage, [])[some], self._schemas[stage])
            if first:
                for script in SCRIPTS[:-1]:
                    database.execute(sql_of(script))
        # Asked for often, so it is computed once.
        database.execute("create table base.made as select * exclude (words) from segments")
        database.execute("create or replace view segments as from base.made")
        for kind in KINDS:
            database.execute(f"create view base.{kind} as {sql_of(f'{kind}.sql')}")


def _by_shard(keys: Sequence[str]) -> dict[str, list[str]]:
    """Group the keys of tables by the shards after which they are named."""
    found: dict[str, list[str]] = {}
    for key in keys:
        name = key.rpartition("/")[2]
        found.setdefault(name.partition(".")[0].partition("-")[0], []).append(key)
    return found


# A recording without a shard has the shard ''.
_WANTED = """
create table base.wanted as
with of_errors as (
    select p.shard_id, sum(hash(e)::hugeint) as errors
    from errors e join placed p using (recording_id) group by all
),
of_outputs as (
    select shard_id, list_sort(list(distinct output)) as outputs from lineage group by shard_id
)
select coalesce(p.shard_id, '') as shard_id,
       hash(concat_ws('|', p.shard_id, sum(hash(p)::hugeint), any_value(errors),
                      any_value(outputs))) as key,
       sum(p.duration_ms)::bigint as duration_ms, sum(len(p.items))::bigint as items
from placed p left join of_errors e on e.shard_id is not distinct from p.shard_id
left join of_outputs o on o.shard_id = p.shard_id
group by p.shard_id
"""
_LACKING = """
create temp table lacking as
select shard_id, key,
       (sum(duration_ms / {segment_ms} + items) over (order by shard_id) / {chunk})::bigint as chunk
from base.wanted anti join (select distinct key from ({known})) using (key)
"""
_ROWS = """
select c.shard_id, c.key, k.* from base.{kind} k
join (select recording_id, shard_id from recordings) using (recording_id)
join base.chunk c using (shard_id)
"""
