"""Searching all files of a WORKDIR for recordings, to prove that nothing of them is left.

In Parquet files, the ids of all rows are compared, and all texts are searched for ids. In DuckDB
files, all tables are searched. All other files are searched as bytes, and compressed ones (gzip,
bz2, zstd, zip) are unpacked first.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from wavemill.pipeline.store import Store
from wavemill.pipeline.tombstones import WITHDRAWN

ID_DIGITS = 32  # of a recording's id; the ids of its segments and samples begin with it
ID_COLUMNS = ("recording_id", "segment_id", "sample_id")
NAME_COLUMNS = ("uri", "source")  # of the recording's file
OWN_FOLDERS = ("stages", "snapshots", "manifest", "report")
THREADS = 4  # files searched at a time
FEW_IDS = 64  # with more, it is faster to look up every run of hex digits
_READ_BYTES = 4 << 20
_HEX = re.compile(rb"[0-9a-f]{%d,}" % ID_DIGITS)
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
_ZIP, _PARQUET, _DUCKDB = b"PK\x03\x04", b"PAR1", b"DUCK"  # the last one from byte 8


class Unsearchable(Exception):
    """A file cannot be searched: it is damaged, or a database in an object store."""


@dataclass(frozen=True)
class Traces:
    """What identifies recordings in files: ids, paths and texts."""

    ids: pa.Array
    uris: frozenset[str] = frozenset()  # that no other recording has
    texts: frozenset[str] = frozenset()  # of their labels; other recordings may have the same

    def __bool__(self) -> bool:
        return len(self.ids) > 0

    @cached_property
    def _ids(self) -> frozenset[bytes]:
        return frozenset(key.encode() for key in self.ids.to_pylist())

    @cached_property
    def _names(self) -> frozenset[bytes]:
        """The URIs as they may be written in a file: as they are, or escaped in JSON."""
        return frozenset(
            form.encode("utf-8", "surrogateescape")
            for uri in self.uris
            for form in (uri, json.dumps(uri)[1:-1], json.dumps(uri, ensure_ascii=False)[1:-1])
        )

    @property
    def longest(self) -> int:
        """The bytes of the longest id or URI."""
        return max([ID_DIGITS, *map(len, self._names)])

    def names_in(self, data: bytes | memoryview) -> bool:
        """Whether bytes hold an id or a URI."""
        data = bytes(data)
        return self.ids_in(data) or any(name in data for name in self._names)

    def ids_in(self, data: bytes | memoryview) -> bool:
        """Whether bytes hold an id."""
        data = bytes(data)
        if len(self._ids) <= FEW_IDS:
            return any(key in data for key in self._ids)
        return any(
            run[at : at + ID_DIGITS] in self._ids
            for run in _HEX.findall(data)
            for at in range(len(run) - ID_DIGITS + 1)
        )


@dataclass(frozen=True)
class Proof:
    """The result of searching all files."""

    files: int  # that were searched
    rows: dict[str, int]  # table -> rows of the recordings that are still in it
    named: tuple[str, ...]  # other files that still hold an id or URI
    unreadable: tuple[str, ...]
    linked_elsewhere: int = 0  # replaced files that have a hard link outside the WORKDIR

    @property
    def clean(self) -> bool:
        """Whether nothing of the recordings was found, and everything could be searched."""
        return not (self.rows or self.named or self.unreadable or self.linked_elsewhere)


def prove(store: Store, traces: Traces) -> Proof:
    """Search every file of the WORKDIR except the tombstones."""
    rows: dict[str, int] = {}
    named, unreadable = [], []
    keys = [key for key in every_file(store) if key != WITHDRAWN]
    for key, found in _in_threads(lambda key: _search(store, key, traces), keys):
        if found is None:
            unreadable.append(key)
        elif found and is_table(key):
            rows[key] = found
        elif found or traces.names_in(key.encode("utf-8", "surrogateescape")):
            named.append(key)
    return Proof(len(keys), rows, tuple(named), tuple(unreadable))


def find_rows(store: Store, keys: Iterable[str], traces: Traces) -> dict[str, int]:
    """Return table -> number of rows of the recordings, for tables that have some.

    Tables that cannot be read are left out.
    """
    found = _in_threads(lambda key: count_rows(store, key, traces), keys)
    return {key: rows for key, rows in found if rows}


def every_file(store: Store) -> Iterator[str]:
    """Yield the keys of all files, unfinished ones too, but not those below the link `corpus`.

    Links are followed only in the folders that the program itself makes.
    """
    for folder in OWN_FOLDERS:
        yield from (file.key for file in store.files(folder))
    if not store.local:
        for file in store.files(""):
            if file.key.partition("/")[0] not in OWN_FOLDERS:
                yield file.key
        return
    root = store.path("")
    for folder, folders, names in os.walk(root):
        if folder == str(root):
            folders[:] = [name for name in folders if name not in OWN_FOLDERS]
        below = os.path.relpath(folder, root)
        for name in names:
            if os.path.isfile(f"{folder}/{name}"):  # noqa: PTH113 (reading a pipe would block)
                yield name if below == "." else f"{below}/{name}"


def own_tables(store: Store) -> Iterator[str]:
    """Yield the keys of the Parquet files of this program, except the tombstones."""
    for key in every_file(store):
        if key.partition("/")[0] in OWN_FOLDERS and is_table(key) and key != WITHDRAWN:
            yield key


def is_table(key: str) -> bool:
    """Whether a file is named like a Parquet file."""
    return key.endswith(".parquet")


def count_rows(store: Store, key: str, traces: Traces) -> int:
    """Count the rows of the recordings in a table."""
    with store.opened(key) as file:
        names = (*ID_COLUMNS, *NAME_COLUMNS)
        columns = [name for name in names if name in file.schema_arrow.names]
        if not columns:
            return 0
        return sum(
            int(pc.sum(mask_of(file.read_row_group(i, columns=columns), traces)).as_py() or 0)
            for i in range(file.num_row_groups)
        )


def mask_of(table: pa.Table, traces: Traces) -> pa.ChunkedArray:
    """Return which rows are of the recordings; ids of segments begin with the recording's id."""
    found = pa.chunked_array([pa.repeat(pa.scalar(False), table.num_rows)])
    uris = pa.array(sorted(traces.uris), pa.string())
    for name in (*ID_COLUMNS, *NAME_COLUMNS):
        if name not in table.column_names or not _is_text(table[name].type):
            continue
        values, wanted = table[name].cast(pa.string()), uris
        if name in ID_COLUMNS:
            values, wanted = pc.utf8_slice_codeunits(values, 0, ID_DIGITS), traces.ids
        found = pc.or_(found, pc.is_in(values, wanted))
    return found


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _in_threads(
    look: Callable[[str], int | None], keys: Iterable[str]
) -> Iterator[tuple[str, int | None]]:
    """Yield (key, result of `look`) for each key; None for a file that cannot be read."""

    def attempt(key: str) -> tuple[str, int | None]:
        try:
            return key, look(key)
        except FileNotFoundError:
            return key, 0  # it was removed meanwhile
        except (OSError, EOFError, ValueError, pa.ArrowException, duckdb.Error, Unsearchable):
            return key, None

    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(attempt, keys)


def _search(store: Store, key: str, traces: Traces) -> int:
    """Return how often a file holds the recordings. Raises Unsearchable, and errors of reading."""
    if is_table(key):
        return _search_table(store, key, traces)
    with _open(store, key) as file:
        begin = file.read(12)
    if begin.startswith(_PARQUET):
        return _search_table(store, key, traces)
    if begin[8:] == _DUCKDB:
        return _search_database(store, key, traces)
    if begin.startswith(_ZIP):
        return _search_zip(store, key, traces)
    with _open(store, key) as file:
        packed = next((kind for magic, kind in _PACKED.items() if begin.startswith(magic)), None)
        stream = pa.CompressedInputStream(file, packed) if packed else file
        return _search_stream(stream.read, traces)


def _open(store: Store, key: str) -> pa.NativeFile:
    """Open a file; pyarrow itself refuses paths that are not UTF-8."""
    return pa.PythonFile(store.path(key).open("rb")) if store.local else store.open_file(key)


def _search_stream(read: Callable[[int], bytes], traces: Traces) -> int:
    end = b""
    while chunk := read(_READ_BYTES):
        if traces.names_in(end + chunk):
            return 1
        end = chunk[-traces.longest :]
    return 0


def _search_table(store: Store, key: str, traces: Traces) -> int:
    """Count rows of the recordings; if there are none, texts and metadata with an id."""
    if rows := count_rows(store, key, traces):
        return rows
    with store.opened(key) as file:
        facts = file.metadata.metadata or {}
        leaves = [file.schema.column(i) for i in range(len(file.schema))]
        texts = [leaf.path for leaf in leaves if leaf.logical_type.type in ("STRING", "JSON")]
        columns = [path for path in texts if path not in ID_COLUMNS]
        return sum(map(traces.ids_in, facts.values())) + sum(
            traces.ids_in(data)
            for group in range(file.num_row_groups if columns else 0)
            for column in file.read_row_group(group, columns=columns).columns
            for chunk in column.chunks
            for data in _text_buffers(chunk)
        )


def _search_database(store: Store, key: str, traces: Traces) -> int:
    """Search all tables of a DuckDB file; views hold no rows."""
    if not store.local:
        raise Unsearchable(key)
    with duckdb.connect(store.path(key), read_only=True) as database:
        tables = database.execute(
            'select format(\'"{}"."{}"\', replace(schema_name, \'"\', \'""\'), '
            "replace(table_name, '\"', '\"\"')) from duckdb_tables() where not internal"
        ).fetchall()
        return sum(
            traces.names_in(data)
            for (table,) in tables
            for batch in database.sql(f"from {table}").to_arrow_table().to_batches()
            for column in batch.columns
            for data in _text_buffers(column)
        )


def _search_zip(store: Store, key: str, traces: Traces) -> int:
    with _open(store, key) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return sum(
                    _search_stream(archive.open(name).read, traces) for name in archive.namelist()
                )
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise Unsearchable(key) from error


def _text_buffers(array: pa.Array) -> Iterator[memoryview]:
    """Yield the bytes of all texts in an array, at any depth."""
    if pa.types.is_struct(array.type):
        for i in range(array.type.num_fields):
            yield from _text_buffers(array.field(i))
    elif pa.types.is_map(array.type):
        yield from _text_buffers(array.keys)
        yield from _text_buffers(array.items)
    elif pa.types.is_nested(array.type):
        yield from _text_buffers(array.values)
    elif pa.types.is_dictionary(array.type):
        yield from _text_buffers(array.dictionary)
    elif (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)) and len(array):
        data = array.buffers()[2]
        if data is not None:
            yield memoryview(data)
