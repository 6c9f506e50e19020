"""The distribution of each score over the segments, with the thresholds of its rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from wavemill.pipeline.quality.scores import columns_at
from wavemill.stages.score import Place

BINS = 40
TAIL = 0.002  # of the values at either end go into the outermost bins


@dataclass(frozen=True)
class Line:
    """A threshold. `side` is min or max, `text_source` whose rule it is: asr or manifest."""

    rule: str
    side: str
    value: float
    text_source: str


@dataclass(frozen=True)
class Bin:
    """Segments with start <= value < start + width; the outermost also hold what lies beyond."""

    start: float
    kept: int
    kept_hours: float
    rejected: int
    rejected_hours: float


@dataclass(frozen=True)
class Distribution:
    column: str  # of `segments`
    width: float  # of a bin
    main: str  # the kind of input with most segments, whose thresholds the scale holds
    bins: tuple[Bin, ...]
    lines: tuple[Line, ...]
    known: int  # segments with a value
    unknown: int
    below: int  # segments beyond the first and the last bin, shown in them
    above: int
    query: str  # that gives the bins


@dataclass(frozen=True)
class _Known:
    """What all segments say of a column: with a value, without one, and where most values end."""

    known: int
    unknown: int
    ends: list[float]


def read_distributions(database: duckdb.DuckDBPyConnection) -> tuple[Distribution, ...]:
    """Read the distribution of each score that any segment has, from the table `seen`."""
    lines = [_named_line(*row) for row in database.execute(_LINES).fetchall()]
    columns = _known(database, columns_at(Place.CHART))
    if not columns:
        return ()
    ((main,),) = database.execute(_MAIN).fetchall()
    return tuple(
        _distribution(database, name, known, [line for of, line in lines if of == name], main)
        for name, known in columns.items()
    )


def _named_line(column: str, *line: Any) -> tuple[str, Line]:
    return column, Line(*line)


def _known(database: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> dict[str, _Known]:
    """Return, of each column that has values, how many and their ends."""
    asked = ", ".join(
        f"count({name}), quantile_cont({name}, [{TAIL}, {1 - TAIL}])" for name in columns
    )
    (row,) = database.execute(
        f"select count(*), {asked} from seen where status in ('kept', 'rejected')"
    ).fetchall()
    counts, ends = row[1::2], row[2::2]
    return {
        name: _Known(known, row[0] - known, between)
        for name, known, between in zip(columns, counts, ends, strict=True)
        if known
    }


def _distribution(
    database: duckdb.DuckDBPyConnection,
    column: str,
    known: _Known,
    lines: Sequence[Line],
    main: str,
) -> Distribution:
    ends = [*known.ends, *(line.value for line in lines if line.text_source == main)]
    first, width, count = scale(ends)
    last = first + count - 1
    place = f"floor({column} / {width!r} + 1e-9)::integer"
    query = _BINS.format(place=place, first=first, last=last, width=f"{width!r}", column=column)
    # Asked together with the bins, since each query reads the columns of all segments.
    beyond = f"count(*) filter ({place} < {first}), count(*) filter ({place} > {last})"
    counting = query.replace("from segments", f", {beyond}\nfrom seen", 1)
    rows = database.execute(counting).fetchall()
    below, above = (sum(row[number] for row in rows) for number in (-2, -1))
    shown = (line for line in lines if first * width <= line.value <= (last + 1) * width)
    bins = tuple(Bin(*row[:-2]) for row in rows)
    return Distribution(
        column, width, main, bins, tuple(shown), known.known, known.unknown, below, above, query
    )


def scale(values: list[float]) -> tuple[int, float, int]:
    """Return number of the first bin (which starts at so many widths), width and number of bins.

    The width is round, and the bins hold all values.
    """
    low, high = min(values), max(values)
    span = (high - low) or max(abs(low), 1.0) * 0.1
    rough = span / BINS
    unit = 10.0 ** math.floor(math.log10(rough))
    width = next(unit * step for step in (1, 2, 5, 10) if unit * step >= rough * (1 - 1e-9))
    first = math.floor(low / width + 1e-9)
    return first, width, math.floor(high / width + 1e-9) - first + 1


_BINS = """select round(least(greatest({place}, {first}), {last}) * {width}, 9)::double as start,
       count(*) filter (kept) as kept,
       coalesce(sum(end_ms - start_ms) filter (kept), 0) / 3.6e6 as kept_hours,
       count(*) filter (not kept) as rejected,
       coalesce(sum(end_ms - start_ms) filter (not kept), 0) / 3.6e6 as rejected_hours
from segments where status in ('kept', 'rejected') and {column} is not null
group by start order by start"""
_MAIN = """
select text_source from seen where status in ('kept', 'rejected')
group by text_source order by count(*) desc, text_source limit 1
"""
_LINES = """
select "column", rule, side, value, text_source from thresholds
where value is not null and text_source in (select distinct text_source from seen)
order by text_source, position
"""
