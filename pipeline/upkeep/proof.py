"""Rows of recordings in Parquet files: finding them, and proving that there are none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.store import Store
from pipeline.upkeep.withdrawal import WITHDRAWN

ID_DIGITS = 32  # of a recording's id, with which the ids of its segments and samples begin
ID_COLUMNS = ("recording_id", "segment_id", "sample_id")


@dataclass(frozen=True)
class Proof:
    """What was found when everything was read again."""

    files: int  # Parquet files read
    rows: dict[str, int]  # file -> rows of the recordings that are still in it
    unreadable: tuple[str, ...]
    linked_elsewhere: int  # files replaced here that also have a name outside the WORKDIR

    @property
    def clean(self) -> bool:
        return not (self.rows or self.unreadable or self.linked_elsewhere)


def prove(store: Store, ids: pa.Array) -> Proof:
    """Read the ids in every Parquet file of the WORKDIR, but the tombstones, and count."""
    files, rows, unreadable = 0, {}, []
    for key in parquet_files(store):
        files += 1
        try:
            count = count_rows(store, key, ids)
        except (OSError, pa.ArrowException):
            unreadable.append(key)
            continue
        if count:
            rows[key] = count
    return Proof(files, rows, tuple(unreadable), 0)


def parquet_files(store: Store) -> Iterator[str]:
    """Yield all Parquet files but the tombstones; `corpus` is a link to others."""
    top = list(store.files("", recursive=False))
    folders = sorted(store.names("") - {file.key for file in top} - {"corpus"})
    for files in (top, *(store.files(folder) for folder in folders)):
        for file in files:
            if file.key.endswith(".parquet") and file.key != WITHDRAWN:
                yield file.key


def count_rows(store: Store, key: str, ids: pa.Array) -> int:
    """Count a file's rows of the recordings."""
    with store.opened(key) as file:
        columns = [name for name in ID_COLUMNS if name in file.schema_arrow.names]
        if not columns:
            return 0
        groups = range(file.num_row_groups)
        return sum(
            int(pc.sum(mask_of(file.read_row_group(i, columns=columns), ids)).as_py() or 0)
            for i in groups
        )


def mask_of(table: pa.Table, ids: pa.Array) -> pa.ChunkedArray:
    """Return which rows are of the recordings: of the ids of segments, the beginning says so."""
    found = pa.chunked_array([pa.repeat(pa.scalar(False), table.num_rows)])
    for name in ID_COLUMNS:
        if name in table.column_names:
            begins = pc.utf8_slice_codeunits(table[name], 0, ID_DIGITS)
            found = pc.or_(found, pc.is_in(begins, ids))
    return found
