"""`WORKDIR/quality.duckdb`: views over the Parquet files of the newest snapshot.

The file holds queries and paths; its only rows are those of small tables (`about`, `snapshots`,
`stages`, `rules`). So it takes little time to make, and a view computes its rows when it is read.
It is written under another name and then renamed, so a reader of the old file goes on reading.

The paths are absolute, so the file works from any folder; after the WORKDIR has moved it must be
made again. It is made in a folder with a plain name, since DuckDB cannot write below some folders
(`what?`). The views name every file: DuckDB allows no subquery there, a variable is not stored in
the file, and a pattern would also match files that belong to no snapshot. On two cores, with files
of ten rows: a list of 10,000 files costs a query 0.2 s for binding and 1 s for a scan,
100,000 files 1.1 s and 10 s; `segments` reads five lists.

DuckDB's httpfs extension cannot be assumed. Of a WORKDIR that is not on a local file system the
tables are therefore copied into the file, without audio and tokens, under the same names.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import resources

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from wavemill.manifests.table import SCHEMA as RECORDINGS
from wavemill.pipeline.catalogue import CATALOGUE, written_sql
from wavemill.pipeline.catalogue import SCHEMA as MEMBERS
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.curation import CONVERSATION_STAGES, all_schemas
from wavemill.pipeline.ledger import SCHEMA as LEDGER
from wavemill.pipeline.ledger import ledger_files
from wavemill.pipeline.output_key import shard_sql
from wavemill.pipeline.quality.scores import (
    derived_scores,
    score_joins,
    seen_columns,
    segment_scores,
    stages_shown,
)
from wavemill.pipeline.quality.small_tables import (
    about_table,
    rules_table,
    snapshots_table,
    stages_table,
)
from wavemill.pipeline.scratch import scratch_folder
from wavemill.pipeline.snapshots import LINEAGE_SCHEMA, Snapshot, latest_snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import ERRORS_SCHEMA

DATABASE = "quality.duckdb"
FORMAT: dict[str, str | bool | int | float | list[str]] = {
    "storage_compatibility_version": "v1.4.0"  # for readers that are older than the writer
}
# Stages whose columns another stage had, in snapshots of earlier versions.
ONCE_OF = {"score_signal": "score_audio", "decode": "denoise"}
CORPORA = {"pretrain": "corpus", "sft": "sft", "sft_spoken": "sft_spoken"}  # -> name of the view
SCRIPTS = ("segments.sql", "rules.sql", "accounting.sql", "summaries.sql")
OF_CONVERSATIONS = "conversations.sql"  # only where the snapshot has some
CONVERSATION_TABLES = ("screen", "cast", "listen", "verdict_spoken", "augment")  # that it reads
HEAVY = frozenset({"audio", "messages", "semantic_tokens", "text_tokens"})  # never copied
ALL = "columns(lambda c: c <> 'filename')"
# Of a stage what it declares, without audio, and the shard, after which a file is named:
# `<shard>[-<digest>].parquet`.
OF_STAGE = f"columns(lambda c: c in ({{names}})), {shard_sql('filename')} as shard_id"
# Snapshots of older versions have `uri` only.
OF_ERRORS = "columns(lambda name: name not in ('source', 'filename')), uri as source"


class NoSnapshot(ConfigError):
    """The folder is not a WORKDIR, or no build has succeeded in it yet."""


def newest_snapshot(store: Store) -> Snapshot:
    """Return the newest snapshot. Raises NoSnapshot."""
    snapshot = latest_snapshot(store)
    if snapshot is None:
        raise NoSnapshot(f"{store.root} holds no snapshot; wavemill curate makes one")
    return snapshot


@contextmanager
def new_database(
    store: Store, version: str
) -> Iterator[tuple[Snapshot, duckdb.DuckDBPyConnection]]:
    """Make `quality.duckdb` of the newest snapshot; it is in place when the block has succeeded.

    Gives the snapshot and a connection, so that the caller can read at once. Raises NoSnapshot.
    """
    snapshot = newest_snapshot(store)
    with scratch_folder() as folder, store.replacing(DATABASE) as path:
        with duckdb.connect(folder / DATABASE, config=FORMAT) as database:
            create_views(database, store, snapshot, version)
            yield snapshot, database
        shutil.copyfile(folder / DATABASE, path)


def create_views(
    database: duckdb.DuckDBPyConnection,
    store: Store,
    snapshot: Snapshot,
    version: str,
    shard_id: str | None = None,
) -> None:
    """Make all views of a snapshot in an empty database, on disk or in memory.

    With `shard_id`, only the stages' tables of that shard: enough to look at its recordings.
    """
    tables = Tables(database, store)
    database.execute("create schema base")
    tables.small("about", about_table(store, snapshot, version))
    tables.small("snapshots", snapshots_table(store))
    tables.small("stages", stages_table(store, snapshot))
    tables.small("base.rules", rules_table())
    stages = stages_shown()
    outputs, schemas = outputs_of(store, snapshot, stages, shard_id), all_schemas()
    show_snapshot(tables, store, snapshot)
    for stage, name in CORPORA.items():
        folder = f"{snapshot.folder}/{stage}"
        parts = [f"{folder}/{part}" for part in sorted(store.names(folder))]
        if parts or name == "corpus":
            tables.show(name, parts, schemas[stage])
    tables.show("base.ledger", ledger_files(store), LEDGER)
    # A view binds what it stands on when it is made: over one file of each stage that takes no
    # time, over all of them it would take minutes for the views together.
    for stage in stages:
        show_stage(tables, stage, outputs.get(stage, [])[:1], schemas[stage])
    for script in SCRIPTS:
        database.execute(sql_of(script))
    show_conversations(tables, store, snapshot, shard_id)
    for stage in stages:
        show_stage(tables, stage, outputs.get(stage, []), schemas[stage])


def show_conversations(
    tables: Tables, store: Store, snapshot: Snapshot, shard_id: str | None = None
) -> None:
    """Make the views of conversations.sql, if the snapshot has any; after `show_snapshot`."""
    if not has_conversations(snapshot):
        return
    outputs, schemas = outputs_of(store, snapshot, CONVERSATION_TABLES, shard_id), all_schemas()
    for stage in CONVERSATION_TABLES:
        show_stage(tables, stage, outputs.get(stage, []), schemas[stage])
    tables.database.execute(sql_of(OF_CONVERSATIONS))


def has_conversations(snapshot: Snapshot) -> bool:
    """Whether a snapshot was built with the stages that speak written conversations."""
    return any(stage.name in snapshot.rows for stage in CONVERSATION_STAGES if stage.corpus)


def sql_of(script: str) -> str:
    """Return a script of this package, with the columns and joins of the scoring stages in it."""
    text = (resources.files("wavemill.pipeline.quality") / script).read_text(encoding="utf-8")
    for name, sql in (
        ("score_columns", segment_scores()),
        ("score_joins", score_joins()),
        ("derived_scores", derived_scores()),
        ("scores", ",\n       ".join(seen_columns())),
        ("spoken_stages", ", ".join(f"'{stage.name}'" for stage in CONVERSATION_STAGES)),
        ("written", written_sql("l.items")),
    ):
        text = text.replace(f"{{{name}}}", sql)
    return text


def show_stage(tables: Tables, stage: str, keys: Sequence[str], schema: pa.Schema) -> None:
    """Show the tables of a stage, without audio, as `base.<stage>`."""
    names = ", ".join(f"'{name}'" for name in schema.names if name != "audio")
    tables.show(f"base.{stage}", keys, schema, OF_STAGE.format(names=names))


def show_errors(tables: Tables, snapshot: Snapshot) -> None:
    """Show the errors of a snapshot."""
    of_all_versions = ERRORS_SCHEMA.remove(ERRORS_SCHEMA.get_field_index("source"))
    tables.show("errors", [f"{snapshot.folder}/errors.parquet"], of_all_versions, OF_ERRORS)


def show_snapshot(tables: Tables, store: Store, snapshot: Snapshot) -> None:
    """Show the errors, the lineage and the recordings of a snapshot."""
    folder = snapshot.folder
    show_errors(tables, snapshot)
    tables.show("lineage", [f"{folder}/lineage.parquet"], LINEAGE_SCHEMA)
    tables.show("base.listed", [f"{folder}/recordings.parquet"], RECORDINGS)
    tables.show("base.members", [CATALOGUE] if store.exists(CATALOGUE) else [], MEMBERS)
    # Recordings listed by an earlier version may lack fields of an item: null.
    items = tables.database.from_arrow(RECORDINGS.empty_table()).select("items").types[0]
    written = written_sql("listed.items")
    tables.database.execute(_RECORDINGS.format(items=items, written=written))


# The catalogue may be ahead of the snapshot, by a build that did not end. So the shards of the
# snapshot count, and among those the one that a recording is in now.
_RECORDINGS = """
create view recordings as
select listed.* replace (items::{items} as items), shard_id
from base.listed left join (
    select recording_id, arg_max(shard_id, active) as shard_id
    from base.members semi join lineage using (shard_id) group by recording_id
) using (recording_id)
where not {written}
"""


@dataclass(frozen=True)
class Tables:
    """Puts tables of the store into a database; the one place that knows how to reach files."""

    database: duckdb.DuckDBPyConnection
    store: Store

    def small(self, name: str, table: pa.Table) -> None:
        """Make a table of the database itself."""
        self.database.register("incoming", table)
        self.database.execute(f"create table {name} as from incoming")
        self.database.unregister("incoming")

    def show(self, name: str, keys: Sequence[str], schema: pa.Schema, columns: str = ALL) -> None:
        """Make or replace a view over Parquet files; a table where there are none, or remote.

        Columns that files of an earlier version lack are null.
        """
        if (scan := self.store.scan(keys, filename=True)) is not None:
            columns += self._absent(keys[0], schema)
            self.database.execute(f"create or replace view {name} as select {columns} from {scan}")
        else:
            self._copy(name, keys, schema, columns)

    def _absent(self, key: str, schema: pa.Schema) -> str:
        """SQL: the columns of `schema` that a file does not have, as nulls."""
        with closing(self.store.opened(key)) as file:
            there = set(file.schema_arrow.names)
        relation = self.database.from_arrow(schema.empty_table())
        types = zip(relation.columns, relation.types, strict=True)
        return "".join(f", null::{kind} as {name}" for name, kind in types if name not in there)

    def _copy(self, name: str, keys: Sequence[str], schema: pa.Schema, columns: str) -> None:
        light = pa.schema([field for field in schema if field.name not in HEAVY])
        create = f"create or replace table {name} as select {columns} from incoming limit 0"
        self._with(light.empty_table(), "", create)
        for key in keys:
            rows = self.store.read_table(key, light.names)
            self._with(rows, key, f"insert into {name} by name select {columns} from incoming")

    def _with(self, rows: pa.Table, key: str, statement: str) -> None:
        filename = pa.repeat(pa.scalar(key, pa.string()), rows.num_rows)
        self.database.register("incoming", rows.append_column("filename", filename))
        self.database.execute(statement)
        self.database.unregister("incoming")


def outputs_of(
    store: Store, snapshot: Snapshot, stages: Sequence[str], shard_id: str | None = None
) -> dict[str, list[str]]:
    """Return the keys of the tables of stages, by stage, in order.

    With `shard_id`, of that shard.
    """
    columns = ["stage", "output", "shard_id"]
    lineage = store.read_table(f"{snapshot.folder}/lineage.parquet", columns)
    earlier = [ONCE_OF[stage] for stage in stages if stage in ONCE_OF]
    wanted = pc.is_in(lineage["stage"], pa.array([*stages, *earlier], pa.string()))
    if shard_id is not None:
        wanted = pc.and_(wanted, pc.equal(lineage["shard_id"], shard_id))
    unique = lineage.filter(wanted).group_by(["stage", "output"]).aggregate([])
    found: dict[str, list[str]] = {}
    for row in unique.sort_by("output").to_pylist():
        found.setdefault(row["stage"], []).append(row["output"])
    return {**{stage: found[old] for stage, old in ONCE_OF.items() if old in found}, **found}
