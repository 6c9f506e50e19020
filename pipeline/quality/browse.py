"""Segments and recordings, page by page.

Names of columns come from this module, and values are bound as parameters. Many clients ask at a
time, so what a query reads of all segments stands in a table of its own, `browsed`, in the order in
which pages are shown; the rules that segments broke are few combinations. Which segments a filter
leaves, and the order by a column, are asked of it once and kept: the next page, or the same filter
with another, takes no query. What is shown of the segments of a page is read from a file, by
number: DuckDB would read many rows to find fifty.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from wavemill.pipeline.quality.details import Sample, detail_columns, sample_of
from wavemill.pipeline.quality.scores import columns_at
from wavemill.stages.score import Place

PAGE_SIZE = 50
RECORDINGS_SHOWN = 200
KEPT_BYTES = 256 << 20  # of filters, a byte a segment each, and of orders, four bytes
ORDERS = {
    "source": "rowid {0}",
    "text": "text {0}, rowid",
    **{
        name: f"{name} {{0}} nulls last, rowid"
        for name in ("start_ms", "duration_s", "speaker", "language", "status")
    },
}
FILTERS = {  # name of a parameter -> condition with the parameter bound
    "search": "contains(searched, lower($search))",
    "source": (
        "recording_id in (select recording_id from recordings "
        "where contains(lower(uri), lower($source)))"
    ),
    "speaker": "speaker = $speaker",
    "language": "language = $language",
    "status": "status = $status",
    "rule": (
        "combination in (select combination from combinations where list_contains(rules, $rule))"
    ),
}


class BadQuery(ValueError):
    """A parameter is not one of those that there are."""


@dataclass(frozen=True)
class SegmentPage:
    total: int  # segments that the filters leave
    hours: float
    size: int  # of a page
    rows: tuple[Sample, ...]


def make_browsable(database: duckdb.DuckDBPyConnection) -> None:
    """Make tables in the page's database: `browsed`, `combinations` of rules, `with_segments`."""
    database.execute(_COMBINATIONS)
    scores = dict.fromkeys(["duration_s", *columns_at(Place.VIEWS)])
    database.execute(_BROWSED.format(scores=", ".join(scores)))
    database.execute(_WITH_SEGMENTS)


class ShownRows:
    """What is shown of each segment, by its number in `browsed`.

    The file is unlinked as soon as it is open: no transcript stays on disk.
    """

    def __init__(self, database: duckdb.DuckDBPyConnection, path: Path) -> None:
        """Write the file at `path` and open it."""
        columns = ", ".join(detail_columns())
        query = f"select {columns} from seen order by {_ORDER}"
        reader = pa.RecordBatchReader.from_stream(database.sql(query))
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
        self._file = pa.memory_map(str(path))
        path.unlink()
        self._table = pa.ipc.open_file(self._file).read_all()
        self._lengths_ms = _column(database, "select end_ms - start_ms from browsed order by rowid")
        self._kept: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def page(
        self,
        database: duckdb.DuckDBPyConnection,
        filters: Mapping[str, str],
        order: str,
        first: int,
    ) -> SegmentPage:
        """Return the segments from place `first` in an order (SQL), of those that FILTERS leave."""
        left = np.ones(len(self._lengths_ms), bool)
        for name, value in filters.items():
            left &= self._array(name, value, partial(self._left, database, name, value))
        query = f"select rowid from browsed order by {order}"
        ordered = self._array("order", order, partial(_column, database, query, np.int32))
        total = int(np.count_nonzero(left))
        numbers = ordered[left[ordered]] if total < len(left) else ordered
        milliseconds = int(self._lengths_ms[left].sum(dtype=np.int64))
        rows = self._samples(numbers[first : first + PAGE_SIZE].tolist())
        return SegmentPage(total, milliseconds / 3.6e6, PAGE_SIZE, rows)

    def _left(self, database: duckdb.DuckDBPyConnection, name: str, value: str) -> np.ndarray:
        """Return which segments a filter leaves: bool (segments,)."""
        query = f"select rowid from browsed where {FILTERS[name]}"
        left = np.zeros(len(self._lengths_ms), bool)
        left[_column(database, query, np.int32, {name: value})] = True
        return left

    def _array(self, kind: str, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return an array that was kept, or is made and kept."""
        key = kind, name
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            self._kept[key] = made
            while sum(array.nbytes for array in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)
        return made

    def _samples(self, numbers: Sequence[int]) -> tuple[Sample, ...]:
        """Return the segments with these numbers."""
        parts = [self._table.slice(number, 1) for number in numbers]
        rows = pa.concat_tables(parts).to_pylist() if parts else []
        return tuple(sample_of(row) for row in rows)

    def close(self) -> None:
        self._file.close()


def segments(
    database: duckdb.DuckDBPyConnection, shown: ShownRows, given: Mapping[str, str]
) -> SegmentPage:
    """Return one page (`page`, from 0) of the segments that the filters leave, in an order.

    Raises BadQuery.
    """
    scores = {name: f"{name} {{0}} nulls last, rowid" for name in columns_at(Place.TABLE)}
    order = {**scores, **ORDERS}.get(given.get("sort", "source"))
    if order is None:
        raise BadQuery("there is no such order")
    direction = "desc" if given.get("descending") else "asc"
    filters = {name: given[name] for name in FILTERS if given.get(name)}
    return shown.page(database, filters, order.format(direction), _page(given) * PAGE_SIZE)


def recordings(database: duckdb.DuckDBPyConnection, search: str) -> list[dict[str, str]]:
    """Return the first recordings with segments whose source contains `search`."""
    found = database.execute(
        "select recording_id, uri from with_segments where contains(searched, lower(?)) "
        "order by uri limit ?",
        [search, RECORDINGS_SHOWN],
    ).fetchall()
    return [{"recording_id": key, "source": source} for key, source in found]


def _page(given: Mapping[str, str]) -> int:
    text = given.get("page", "0")
    if not text.isdecimal() or len(text) > 9:
        raise BadQuery("page is a number from 0")
    return int(text)


def _column(
    database: duckdb.DuckDBPyConnection,
    query: str,
    kind: type[np.signedinteger[Any]] = np.int64,
    values: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Return the one column of a query: (rows,) of `kind`."""
    table = database.sql(query, params=dict(values or {})).to_arrow_table()
    return table.column(0).to_numpy().astype(kind)


_ORDER = "source, start_ms, segment_id"
_COMBINATIONS = """
create table combinations as
select rules, (row_number() over () - 1)::integer as combination
from (select distinct coalesce(rules, []) as rules from seen)
"""
_WITH_SEGMENTS = """
create table with_segments as
select recording_id, uri, lower(uri) as searched
from recordings where recording_id in (select recording_id from browsed) order by uri
"""
_BROWSED = f"""
create table browsed as
select recording_id, text_source, start_ms, end_ms, speaker, language, status, kept, text,
       lower(text) as searched, combination, {{scores}}
from seen join combinations c on c.rules = coalesce(seen.rules, [])
order by {_ORDER}
"""
