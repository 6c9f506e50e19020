"""Segments and recordings, page by page.

Names of columns come from this module, and values are bound as parameters. Many clients ask at a
time, so what a query reads of all segments stands in a table of its own, `browsed`, in the order in
which pages are shown; the rules that segments broke are few combinations. What is shown of the
segments of a page is read from a file, by number: DuckDB would read many rows to find fifty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from wavemill.pipeline.quality.details import Sample, detail_columns, sample_of
from wavemill.pipeline.quality.scores import columns_at
from wavemill.stages.score import Place

PAGE_SIZE = 50
RECORDINGS_SHOWN = 200
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
    """Make the tables `browsed` and `combinations`, of rules, in the page's database."""
    database.execute(_COMBINATIONS)
    scores = dict.fromkeys(["duration_s", *columns_at(Place.VIEWS)])
    database.execute(_BROWSED.format(scores=", ".join(scores)))


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

    def samples(self, numbers: Sequence[int]) -> tuple[Sample, ...]:
        """Return the segments with these numbers."""
        rows = (self._table.slice(number, 1).to_pylist()[0] for number in numbers)
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
    values: dict[str, Any] = {name: given[name] for name in FILTERS if given.get(name)}
    condition = " and ".join(["true", *(FILTERS[name] for name in values)])
    ((total, milliseconds),) = database.execute(
        "select count(*), coalesce(sum(end_ms - start_ms), 0)::bigint "
        f"from browsed where {condition}",
        values,
    ).fetchall()
    found = database.execute(
        f"select rowid from browsed where {condition} "
        f"order by {order.format(direction)} limit {PAGE_SIZE} offset $offset",
        {**values, "offset": _page(given) * PAGE_SIZE},
    ).fetchall()
    rows = shown.samples([number for (number,) in found])
    return SegmentPage(total, milliseconds / 3.6e6, PAGE_SIZE, rows)


def recordings(database: duckdb.DuckDBPyConnection, search: str) -> list[dict[str, str]]:
    """Return the first recordings with segments whose source contains `search`."""
    found = database.execute(
        "select recording_id, uri from recordings where contains(lower(uri), lower(?)) "
        "and recording_id in (select recording_id from browsed) order by uri limit ?",
        [search, RECORDINGS_SHOWN],
    ).fetchall()
    return [{"recording_id": key, "source": source} for key, source in found]


def _page(given: Mapping[str, str]) -> int:
    text = given.get("page", "0")
    if not text.isdecimal() or len(text) > 9:
        raise BadQuery("page is a number from 0")
    return int(text)


_ORDER = "source, start_ms, segment_id"
_COMBINATIONS = """
create table combinations as
select rules, (row_number() over () - 1)::integer as combination
from (select distinct coalesce(rules, []) as rules from seen)
"""
_BROWSED = f"""
create table browsed as
select recording_id, text_source, start_ms, end_ms, speaker, language, status, kept, text,
       lower(text) as searched, combination, {{scores}}
from seen join combinations c on c.rules = coalesce(seen.rules, [])
order by {_ORDER}
"""
