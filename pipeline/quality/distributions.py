"""How the values of segments are spread, with the thresholds that they are held against."""

from __future__ import annotations

import math
from dataclasses import dataclass

import duckdb

BINS = 40
TAIL = 0.002  # of the values at either end go into the outermost bins


@dataclass(frozen=True)
class Metric:
    """A column of `segments` as people call it."""

    column: str
    title: str
    unit: str = ""


METRICS = (
    Metric("duration_s", "Duration", "s"),
    Metric("dnsmos_overall", "DNSMOS overall", "1 to 5"),
    Metric("snr_db", "Signal-to-noise ratio", "dB"),
    Metric("asr_confidence", "Transcript confidence", "0 to 1"),
    Metric("words_per_second", "Speaking rate", "words/s"),
    Metric("speech_ratio", "Speech in the segment", "share"),
)


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
    metric: Metric
    width: float  # of a bin
    main: str  # the kind of input with most segments, whose thresholds the scale holds
    bins: tuple[Bin, ...]
    lines: tuple[Line, ...]
    known: int  # segments with a value
    unknown: int
    below: int  # segments beyond the first and the last bin, shown in them
    above: int


def read_distributions(database: duckdb.DuckDBPyConnection) -> tuple[Distribution, ...]:
    """Read the distribution of each metric that any segment has, from the table `seen`."""
    found = (_distribution(database, metric) for metric in METRICS)
    return tuple(one for one in found if one is not None)


def _distribution(database: duckdb.DuckDBPyConnection, metric: Metric) -> Distribution | None:
    column = metric.column
    ((known, unknown, low, high),) = database.execute(
        f"select count({column}), count(*) - count({column}), quantile_cont({column}, {TAIL}), "
        f"quantile_cont({column}, {1 - TAIL}) from seen where status in ('kept', 'rejected')"
    ).fetchall()
    if not known:
        return None
    lines = [Line(*row) for row in database.execute(_LINES, [column]).fetchall()]
    ((main,),) = database.execute(_MAIN).fetchall()
    ends = [low, high, *(line.value for line in lines if line.text_source == main)]
    start, width, count = scale(ends)
    place = f"floor(({column} - $start) / $width)"
    rows = database.execute(
        f"""
        select greatest(0, least({place}, {count - 1}))::integer as bin,
               count(*) filter (kept), coalesce(sum(duration_s) filter (kept), 0) / 3600,
               count(*) filter (not kept), coalesce(sum(duration_s) filter (not kept), 0) / 3600,
               count(*) filter ({place} < 0), count(*) filter ({place} > {count})
        from seen where status in ('kept', 'rejected') and {column} is not null
        group by bin order by bin
        """,
        {"start": start, "width": width},
    ).fetchall()
    return Distribution(
        metric,
        width,
        main,
        tuple(Bin(round(start + row[0] * width, 9), *row[1:5]) for row in rows),
        tuple(line for line in lines if start <= line.value <= start + count * width),
        known,
        unknown,
        sum(row[5] for row in rows),
        sum(row[6] for row in rows),
    )


def scale(values: list[float]) -> tuple[float, float, int]:
    """Return start, width and number of bins of a round width that hold all values."""
    low, high = min(values), max(values)
    span = (high - low) or max(abs(low), 1.0) * 0.1
    rough = span / BINS
    unit = 10.0 ** math.floor(math.log10(rough))
    width = next(unit * step for step in (1, 2, 5, 10) if unit * step >= rough * (1 - 1e-9))
    first = math.floor(low / width + 1e-9)
    return first * width, width, math.floor(high / width + 1e-9) - first + 1


_MAIN = """
select text_source from seen where status in ('kept', 'rejected')
group by text_source order by count(*) desc, text_source limit 1
"""
_LINES = """
select rule, side, value, text_source from thresholds
where "column" = ? and value is not null
  and text_source in (select distinct text_source from seen)
order by text_source, position
"""
