"""The ledger: one row per finished output, so that planning lists no folders and reads no tables.

It is a sequence of files, `manifest/ledger/<number>.parquet`; each flush adds one, and small ones
are merged when there are many. A run that dies loses at most the rows of its last seconds: a worker
that finds such an output uses it as it is. If an output has several rows, the last one counts.

Rows are sorted by shard within a file and read in groups of which those without a wanted shard are
passed over.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from wavemill.pipeline.damage import parsing
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.output_key import OutputKey
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import TaskResult

FOLDER = "manifest/ledger"
FLUSH_SECONDS = 5.0  # between two files of a run
_FILE = re.compile(r"[0-9]{8}\.parquet")
# SQL, after a query of rows: of several rows of an output, the last one.
LAST_OF_OUTPUT = "qualify row_number() over (partition by output order by finished_ms desc) = 1"
MAX_FILES = 64  # more small ones are merged into one
SMALL_BYTES = 16 << 20  # of a file that is merged
GROUP_ROWS = 1 << 16  # that are read at a time


def _field(name: str, kind: pa.DataType, description: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


SCHEMA = pa.schema(
    [
        _field("stage", pa.string(), "stage that made the output"),
        _field("fingerprint", pa.string(), "of the stage: key into stages.parquet"),
        _field("shard_id", pa.string(), "shard that the output is of"),
        _field("stem", pa.string(), "what the plan asked for: stage, fingerprint, shard, labels"),
        _field("output", pa.string(), "key of the table below the WORKDIR, without .parquet"),
        _field("rows", pa.int64(), "rows of the table"),
        _field("errors", pa.int32(), "rows of its errors table; 0: there is none"),
        _field("bytes", pa.int64(), "size of the table's file"),
        _field("audio_ms", pa.int64(), "audio of the shard's recordings"),
        _field("seconds", pa.float64(), "wall time of making it"),
        _field("cpu_seconds", pa.float64(), "CPU time of making it"),
        _field("gpus", pa.float64(), "GPUs (or parts of one) that the worker held"),
        _field("kept", pa.string(), "digest of the ids that a verdict keeps", nullable=True),
        _field("sha256", pa.string(), "of the table's file"),
        _field("errors_sha256", pa.string(), "of the errors table's file", nullable=True),
        _field("finished_ms", pa.int64(), "when, in ms since 1970"),
    ]
)


def ledger_files(store: Store) -> list[str]:
    """Return the keys of the ledger's files, in order; other files in the folder do not count."""
    names = sorted(name for name in store.names(FOLDER) if _FILE.fullmatch(name))
    return [f"{FOLDER}/{name}" for name in names]


def read_ledger_file(store: Store, key: str) -> pa.Table:
    """Return the rows of one file of the ledger (SCHEMA). Raises WorkdirDamaged."""
    table = store.read_table(key)
    with parsing(store.root, key):
        return table.select(SCHEMA.names).cast(SCHEMA)


class Ledger:
    """The finished outputs of a store; new rows are held in memory until `flush`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: list[dict[str, object]] = []
        self._flushed = time.monotonic()

    def add(self, result: TaskResult, gpus: float = 0.0) -> None:
        """Add the row of an output, made with `gpus` GPUs; flushes every few seconds."""
        row = {name: getattr(result, name) for name in SCHEMA.names if hasattr(result, name)}
        row["fingerprint"] = OutputKey.parse(result.stem).fingerprint
        row["gpus"], row["finished_ms"] = gpus, time.time_ns() // 1_000_000
        self._rows.append(row)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the rows in memory as one more file."""
        if self._rows:
            self._append(pa.Table.from_pylist(self._rows, schema=SCHEMA))
            self._rows = []
        self._flushed = time.monotonic()

    def show(self, database: duckdb.DuckDBPyConnection, name: str = "ledger") -> None:
        """Make the ledger a view of a connection: the last row of each output.

        All rows are in a second view, `<name>_rows`. Raises WorkdirDamaged.
        """
        self.flush()
        tables = [read_ledger_file(self._store, key) for key in ledger_files(self._store)]
        database.register(f"{name}_rows", pa.concat_tables([SCHEMA.empty_table(), *tables]))
        database.execute(
            f"create or replace temp view {name} as select * from {name}_rows {LAST_OF_OUTPUT}"
        )

    def files(self) -> dict[str, int]:
        """Return the keys of the files and their bytes."""
        self.flush()
        keys = set(ledger_files(self._store))
        found = self._store.files(FOLDER, recursive=False)
        return {file.key: file.bytes for file in found if file.key in keys}

    def rows_of_shards(self, shard_ids: pa.Array, columns: Sequence[str]) -> pa.Table:
        """Return some columns of all rows of these shards: several rows of an output, perhaps.

        Raises WorkdirDamaged.
        """
        if not len(shard_ids):
            return pa.schema([SCHEMA.field(column) for column in columns]).empty_table()
        return self._where("shard_id", lambda ids: pc.is_in(ids, value_set=shard_ids), columns)

    def shards_with_errors(self) -> pa.Array:
        """Return the ids of shards that have, or had, an output with errors."""
        found = self._where("errors", lambda errors: pc.greater(errors, 0), ["shard_id"])
        return found["shard_id"].combine_chunks().unique()

    def _where(
        self,
        name: str,
        wanted: Callable[[pa.ChunkedArray], pa.ChunkedArray],
        columns: Sequence[str],
    ) -> pa.Table:
        """Return `columns` of the rows of which the column `name` is wanted."""
        self.flush()
        schema = pa.schema([SCHEMA.field(column) for column in columns])
        parts = [schema.empty_table()]
        for key in ledger_files(self._store):
            with closing(self._store.opened(key)) as file, parsing(self._store.root, key):
                for group in range(file.num_row_groups):
                    mask = wanted(file.read_row_group(group, [name])[name])
                    if pc.any(mask).as_py():
                        rows = file.read_row_group(group, list(columns)).filter(mask)
                        parts.append(rows.select(schema.names).cast(schema))
        return pa.concat_tables(parts)

    def rows(self, outputs: Iterable[str] | None = None) -> pa.Table:
        """Return the rows (SCHEMA) of these outputs, or of all outputs, in any order."""
        with memory_database() as database:
            self.show(database)
            if outputs is None:
                return database.sql("from ledger").to_arrow_table().cast(SCHEMA)
            database.register("wanted", pa.table({"output": pa.array(list(outputs), pa.string())}))
            query = "select l.* from ledger l semi join wanted using (output)"
            return database.sql(query).to_arrow_table().cast(SCHEMA)

    def replace(self, table: pa.Table) -> None:
        """Replace all rows of the ledger by these (SCHEMA)."""
        self._rows = []
        old = ledger_files(self._store)
        self._append(table)
        self._store.delete_all(old)

    def compact(self) -> None:
        """Merge the small files into one if there are more than MAX_FILES."""
        small = [key for key, size in self.files().items() if size < SMALL_BYTES]
        if len(small) > MAX_FILES:
            self._append(pa.concat_tables(read_ledger_file(self._store, key) for key in small))
            self._store.delete_all(small)

    def _append(self, table: pa.Table) -> None:
        last = max((int(Path(key).stem) for key in ledger_files(self._store)), default=0)
        table = table.sort_by([("shard_id", "ascending"), ("stem", "ascending")])
        key = f"{FOLDER}/{last + 1:08d}.parquet"
        self._store.write_table(key, table, row_group_size=GROUP_ROWS)
