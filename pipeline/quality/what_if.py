"""What other thresholds would keep.

A rule whose threshold stays counts as in the stored verdict; a rule whose threshold is moved is
applied to the stored values again. So all rules act together, as they do in a build. Durations are
those of segments, and overlapping segments count each.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

SAMPLE = 20_000  # segments of each kind whose values are given; of more, so many are drawn


@dataclass(frozen=True)
class Knob:
    """A rule with a threshold that is a number. `value` is None where the rule is off."""

    rule: str
    column: str
    setting: str  # as `--set` takes it
    side: str  # min or max
    value: float | None
    low: float  # the values that there are
    high: float


@dataclass(frozen=True)
class WhatIf:
    """Segments of one kind, 'asr' or 'manifest', with the values that its rules look at.

    `columns` are float32 (sampled,), NaN for null, and `broken` uint32 (sampled,), of which bit i
    says that the rule knobs[i] is broken and bit 31 that another one is; all little-endian, in
    base64.
    """

    text_source: str
    knobs: tuple[Knob, ...]
    segments: int
    sampled: int
    hours: float  # of all segments, as the next
    kept_hours: float
    kept: int
    columns: dict[str, str]
    broken: str


def read_what_if(database: duckdb.DuckDBPyConnection, limit: int = SAMPLE) -> tuple[WhatIf, ...]:
    """Read both kinds, the one with more segments first, from a database with `seen`."""
    kinds = database.execute(_KINDS).fetchall()
    return tuple(_what_if(database, limit, *row) for row in kinds)


def _what_if(
    database: duckdb.DuckDBPyConnection,
    limit: int,
    kind: str,
    segments: int,
    hours: float,
    kept_hours: float,
    kept: int,
) -> WhatIf:
    knobs = read_knobs(database, kind)
    names = list(dict.fromkeys(["duration_s", *(knob.column for knob in knobs)]))
    table = _sample(database, names, kind, limit, segments)
    bits = {knob.rule: 1 << index for index, knob in enumerate(knobs)}
    broken = [
        sum({bits.get(rule, 1 << 31) for rule in rules}) for rules in table["rules"].to_pylist()
    ]
    values = {name: np.asarray(table[name].to_numpy(zero_copy_only=False), "<f4") for name in names}
    return WhatIf(
        kind,
        knobs,
        segments,
        table.num_rows,
        hours,
        kept_hours,
        kept,
        {name: _base64(value) for name, value in values.items()},
        _base64(np.asarray(broken, "<u4")),
    )


def _sample(
    database: duckdb.DuckDBPyConnection, names: Sequence[str], kind: str, limit: int, segments: int
) -> pa.Table:
    """Return the values and broken rules of the `limit` segments whose ids have the least hashes.

    Of many segments, those with great hashes are left out before they are sorted.
    """
    share = 1.5 * limit / segments
    for most in ([int(share * 2**64)] if share < 0.5 else []) + [2**64 - 1]:
        query = _SAMPLE.format(columns=", ".join(names), limit=limit, most=most)
        table = database.sql(query, params=[kind]).to_arrow_table()
        if table.num_rows == min(limit, segments):
            break
    return table


def read_knobs(database: duckdb.DuckDBPyConnection, kind: str) -> tuple[Knob, ...]:
    """Return the rules that look at numbers which any segment of this kind has."""
    rules = database.execute(_RULES, [kind]).fetchall()
    if not rules:
        return ()
    asked = ", ".join(f"min({column}), max({column})" for _, column, *_ in rules)
    (ends,) = database.execute(f"select {asked} from seen where {_JUDGED}", [kind]).fetchall()
    return tuple(
        Knob(*(*rule, low, high))
        for rule, low, high in zip(rules, ends[::2], ends[1::2], strict=True)
        if low is not None
    )


def kept_with(
    database: duckdb.DuckDBPyConnection, kind: str, moved: Mapping[str, float | None]
) -> tuple[int, float]:
    """Return segments and hours that would be kept with these thresholds; None: the rule is off.

    It reads the tables that `browse.make_browsable` makes. Raises KeyError for a rule that has no
    threshold which is a number.
    """
    knobs = {row[0]: row for row in database.execute(_RULES, [kind]).fetchall()}
    conditions = [_JUDGED, _OTHERS_MET]
    values: list[object] = [kind, list(moved)]
    for rule, value in moved.items():
        _, column, _, side, _ = knobs[rule]
        if value is not None:
            sign = ">=" if side == "min" else "<="
            conditions.append(f"coalesce({column} {sign} ?, true)")
            values.append(value)
    ((count, milliseconds),) = database.execute(
        "select count(*), coalesce(sum(end_ms - start_ms), 0)::bigint "
        f"from browsed where {' and '.join(conditions)}",
        values,
    ).fetchall()
    return count, milliseconds / 3.6e6


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


_JUDGED = "text_source = ? and status in ('kept', 'rejected')"
_OTHERS_MET = """
combination in (
    select combination from combinations
    where len(list_filter(rules, lambda r: not list_contains(?::varchar[], r))) = 0
)
"""
_KINDS = """
select text_source, count(*), sum(end_ms - start_ms) / 3.6e6,
       coalesce(sum(end_ms - start_ms) filter (kept), 0) / 3.6e6, count(*) filter (kept)
from seen where status in ('kept', 'rejected')
group by text_source order by count(*) desc, text_source
"""
_RULES = """
select rule, "column", concat('filter.', case text_source when 'asr' then 'asr'
       else 'labelled' end, '.', setting), side, value
from thresholds join (select rule, setting from base.rules) using (rule)
where side in ('min', 'max') and text_source = ? order by position
"""
_SAMPLE = f"""
select {{columns}}, rules from seen where {_JUDGED} and hash(segment_id) <= {{most}}::ubigint
order by hash(segment_id), segment_id
limit {{limit}}
"""
