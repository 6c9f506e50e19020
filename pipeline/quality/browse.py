"""Segments and recordings, page by page.

Names of columns come from this module, and values are bound as parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from wavemill.pipeline.quality.details import Sample, read_details
from wavemill.pipeline.quality.scores import columns_at
from wavemill.stages.score import Place

PAGE_SIZE = 50
RECORDINGS_SHOWN = 200
ORDERS = {
    "source": "source {0}, start_ms {0}",
    "text": "text {0}",
    **{
        name: f"{name} {{0}} nulls last"
        for name in ("start_ms", "duration_s", "speaker", "language", "status")
    },
}
FILTERS = {  # name of a parameter -> condition with the parameter bound
    "search": "contains(lower(text), lower($search))",
    "source": "contains(lower(source), lower($source))",
    "speaker": "speaker = $speaker",
    "language": "language = $language",
    "status": "status = $status",
    "rule": "list_contains(rules, $rule)",
}


class BadQuery(ValueError):
    """A parameter is not one of those that there are."""


@dataclass(frozen=True)
class SegmentPage:
    total: int  # segments that the filters leave
    hours: float
    size: int  # of a page
    rows: tuple[Sample, ...]


def segments(database: duckdb.DuckDBPyConnection, given: Mapping[str, str]) -> SegmentPage:
    """Return one page (`page`, from 0) of the segments that the filters leave, in an order.

    Raises BadQuery.
    """
    scores = {name: f"{name} {{0}} nulls last" for name in columns_at(Place.TABLE)}
    order = {**scores, **ORDERS}.get(given.get("sort", "source"))
    if order is None:
        raise BadQuery("there is no such order")
    direction = "desc" if given.get("descending") else "asc"
    values: dict[str, Any] = {name: given[name] for name in FILTERS if given.get(name)}
    condition = " and ".join(["true", *(FILTERS[name] for name in values)])
    ((total, seconds),) = database.execute(
        f"select count(*), coalesce(sum(duration_s), 0) from seen where {condition}", values
    ).fetchall()
    found = database.execute(
        f"select segment_id from seen where {condition} "
        f"order by {order.format(direction)}, segment_id limit {PAGE_SIZE} offset $offset",
        {**values, "offset": _page(given) * PAGE_SIZE},
    ).fetchall()
    keys = [key for (key,) in found]
    details = read_details(database, keys)
    rows = tuple(details[key] for key in keys if key in details)
    return SegmentPage(total, seconds / 3600, PAGE_SIZE, rows)


def recordings(database: duckdb.DuckDBPyConnection, search: str) -> list[dict[str, str]]:
    """Return the first recordings with segments whose source contains `search`."""
    found = database.execute(
        "select recording_id, any_value(source) as source from seen "
        "where contains(lower(source), lower(?)) group by recording_id order by source limit ?",
        [search, RECORDINGS_SHOWN],
    ).fetchall()
    return [{"recording_id": key, "source": source} for key, source in found]


def _page(given: Mapping[str, str]) -> int:
    text = given.get("page", "0")
    if not text.isdecimal() or len(text) > 9:
        raise BadQuery("page is a number from 0")
    return int(text)
