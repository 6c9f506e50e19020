"""The figures of a snapshot that fit on a screen, and whether all of its input is accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb


@dataclass(frozen=True)
class RuleTotal:
    """Audio accounted to the first rule that its segments broke."""

    rule: str
    ms: int


@dataclass(frozen=True)
class LanguageTotal:
    """Segments of a language; None where nobody named one. Overlapping segments count each."""

    language: str | None
    segments: int
    ms: float
    kept_segments: int
    kept_ms: float


@dataclass(frozen=True)
class ErrorTotal:
    stage: str
    reason: str
    count: int


@dataclass(frozen=True)
class Discrepancy:
    """A recording whose milliseconds are not all accounted for, and how many (too few: < 0)."""

    recording_id: str
    source: str
    problem: str
    ms: int


@dataclass(frozen=True)
class Totals:
    """Durations in ms. The classes, from `error_ms` on, add up to `input_ms`."""

    recordings: int
    input_ms: int
    error_ms: int
    kept_ms: int
    non_speech_ms: int
    unused_ms: int
    rejected: tuple[RuleTotal, ...]  # by first broken rule, most first
    languages: tuple[LanguageTotal, ...]
    errors: tuple[ErrorTotal, ...]
    discrepancies: tuple[Discrepancy, ...]


def read_totals(database: duckdb.DuckDBPyConnection) -> Totals:
    """Read the totals from a database with all views; it gets a temporary table."""
    database.execute("create or replace temp table accounted as from accounting")  # read thrice

    def rows(query: str) -> list[tuple[Any, ...]]:
        return database.execute(query).fetchall()

    ((recordings, input_ms, error_ms, kept_ms, non_speech_ms, unused_ms),) = rows(_SUMS)
    return Totals(
        recordings=recordings,
        input_ms=input_ms,
        error_ms=error_ms,
        kept_ms=kept_ms,
        non_speech_ms=non_speech_ms,
        unused_ms=unused_ms,
        rejected=tuple(RuleTotal(*row) for row in rows(_REJECTED)),
        languages=tuple(LanguageTotal(*row) for row in rows(_LANGUAGES)),
        errors=tuple(ErrorTotal(*row) for row in rows(_ERRORS)),
        discrepancies=tuple(Discrepancy(*row) for row in rows(_DISCREPANCIES)),
    )


_SUMS = """
select count(*), coalesce(sum(duration_ms), 0)::bigint, coalesce(sum(error_ms), 0)::bigint,
       coalesce(sum(kept_ms), 0)::bigint, coalesce(sum(non_speech_ms), 0)::bigint,
       coalesce(sum(unused_ms), 0)::bigint
from accounted
"""
_REJECTED = """
select entry.key, sum(entry.value)::bigint as ms
from (select unnest(map_entries(rejected_by_rule)) as entry from accounted)
group by all having ms > 0 order by ms desc, 1
"""
_LANGUAGES = """
select language, segments, hours * 3.6e6, kept_segments, kept_hours * 3.6e6
from hours_by_language order by 5 desc, 3 desc
"""
_ERRORS = "select stage, reason, count(*) from errors group by all order by all"
# The view `discrepancies`, without computing `accounting` once more.
_DISCREPANCIES = """
select recording_id, source, 'does not add up', difference_ms from accounted where not adds_up
union all from base.losses order by 2, 3
"""
