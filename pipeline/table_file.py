"""The table of a stage as a Parquet file, written in batches and read by recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROW_GROUP_BYTES = 4 << 20  # buffered before a row group is written: bounds a worker's memory
ID_COLUMNS = frozenset({"recording_id", "segment_id", "track", "start_ms", "end_ms"})


class TableWriter:
    """Writes batches to a Parquet file, a row group each time enough bytes are pending."""

    def __init__(
        self, path: Path, schema: pa.Schema, row_group_bytes: int = ROW_GROUP_BYTES
    ) -> None:
        binary = {
            f.name for f in schema if pa.types.is_binary(f.type) or pa.types.is_nested(f.type)
        }
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            use_dictionary=[f.name for f in schema if f.name not in binary],
            # Statistics on ids and times let a reader find one recording, or one minute of it.
            write_statistics=[f.name for f in schema if f.name in ID_COLUMNS],
            write_page_checksum=True,
        )
        self.schema = schema
        self._row_group_bytes = row_group_bytes
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        self.rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a batch. Raises pyarrow.ArrowInvalid if it does not fit the schema of the file."""
        if not batch.schema.equals(self.schema):
            batch = batch.cast(self.schema)
        self._pending.append(batch)
        self._pending_bytes += batch.nbytes
        self.rows += batch.num_rows
        if self._pending_bytes >= self._row_group_bytes:
            self._flush()

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write what is pending and the key-value metadata of the file."""
        self._flush()
        self._writer.add_key_value_metadata(dict(metadata))
        self._writer.close()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_batches(self._pending, self.schema))
        self._pending, self._pending_bytes = [], 0


class TableFile:
    """One Parquet file of a stage, read one recording at a time."""

    def __init__(
        self,
        file: pq.ParquetFile,
        reading: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`reading` is entered for every access; it names the file in errors."""
        self._file, self._reading = file, reading
        schema = self._file.metadata.schema
        self._leaves = {schema.column(i).path: i for i in range(len(schema))}

    def rows(
        self, recording_id: str, columns: list[str] | None, between: tuple[int, int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one recording; `between` skips row groups outside that time."""
        wanted = None if columns is None else [*columns, "recording_id"]
        for index in range(self._file.num_row_groups):
            if not self._may_hold(index, recording_id, between):
                continue
            with self._reading():
                group = self._file.read_row_group(index, columns=wanted)
            rows = group.filter(pc.field("recording_id") == recording_id)
            yield from (rows.select(columns) if columns else rows).to_batches()

    @property
    def schema(self) -> pa.Schema:
        return self._file.schema_arrow

    def close(self) -> None:
        self._file.close()

    def _may_hold(self, group: int, recording_id: str, between: tuple[int, int] | None) -> bool:
        ids = self._statistics(group, "recording_id")
        if ids is not None and not ids[0] <= recording_id <= ids[1]:
            return False
        if between is None:
            return True
        starts, ends = self._statistics(group, "start_ms"), self._statistics(group, "end_ms")
        return starts is None or ends is None or (starts[0] < between[1] and ends[1] > between[0])

    def _statistics(self, group: int, column: str) -> tuple | None:
        """Return (min, max) of a top-level column in a row group, or None if not recorded."""
        if column not in self._leaves:
            return None
        found = self._file.metadata.row_group(group).column(self._leaves[column]).statistics
        return (found.min, found.max) if found is not None and found.has_min_max else None
