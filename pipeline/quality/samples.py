"""What a person listens to: accepted and rejected segments side by side, rule by rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

import duckdb

from wavemill.pipeline.quality.details import Sample, read_details
from wavemill.pipeline.quality.listening import Place, find_places, read_clips, sound
from wavemill.pipeline.quality.spoken import SpokenConversation, read_spoken
from wavemill.pipeline.quality.timeline import Timeline, timeline
from wavemill.pipeline.snapshots import Snapshot
from wavemill.pipeline.store import Store

PER_SIDE = 4  # accepted and rejected segments per rule
CLIP_MS = 12_000  # longer segments are cut
AUDIO_BYTES = 4_500_000  # of all clips; base64 makes a third more of it
TIMELINES, TIMELINE_SEGMENTS = 6, 400


@dataclass(frozen=True)
class Group:
    """Samples for one rule, nearest to its threshold first. Without a rule: drawn at random."""

    rule: str | None
    rejected: tuple[str, ...]  # segment ids
    accepted: tuple[str, ...]


@dataclass(frozen=True)
class Samples:
    groups: tuple[Group, ...]
    segments: dict[str, Sample]
    left_out: int  # segments that the limit on bytes left out
    timelines: tuple[Timeline, ...]
    recordings: int  # of which timelines are shown
    conversations: tuple[SpokenConversation, ...] = ()


@dataclass
class _Budget:
    left: int = AUDIO_BYTES
    left_out: int = 0
    taken: dict[str, Sample] = field(default_factory=dict)


def read_samples(
    database: duckdb.DuckDBPyConnection, store: Store, snapshot: Snapshot, silent: bool = False
) -> Samples:
    """Choose samples and read their audio, from a database with all views and `seen`.

    `silent`: without timelines and the audio of segments, which a server gives when it is asked.
    """
    spoken = read_spoken(database, store, snapshot)
    groups = [_by_chance(database), *_by_rule(database)]
    details = read_details(database, sorted(set(_in_turn(groups))))
    ((count,),) = database.execute("select count(*) from recordings").fetchall()
    if silent:
        return Samples(tuple(groups), details, 0, (), count, spoken)
    budget = _Budget()
    places = find_places(database, list(details))
    for key in _in_turn(groups):
        if key not in budget.taken:
            _take(store, details[key], places.get(key), budget)
    recordings = database.execute(_RECORDINGS, [TIMELINE_SEGMENTS, TIMELINES]).fetchall()
    lines = tuple(timeline(database, key) for (key,) in recordings)
    found = tuple(_only(group, budget.taken) for group in groups)
    return Samples(found, budget.taken, budget.left_out, lines, count, spoken)


def _only(group: Group, taken: Mapping[str, Sample]) -> Group:
    rejected, accepted = (
        tuple(key for key in side if key in taken) for side in (group.rejected, group.accepted)
    )
    return Group(group.rule, rejected, accepted)


def _by_chance(database: duckdb.DuckDBPyConnection) -> Group:
    def drawn(status: str) -> tuple[str, ...]:
        query = "select segment_id from seen where status = ? order by hash(segment_id), 1 limit ?"
        return tuple(key for (key,) in database.execute(query, [status, PER_SIDE]).fetchall())

    return Group(None, drawn("rejected"), drawn("kept"))


@dataclass(frozen=True)
class _Side:
    """The rejected or the accepted segments of a rule, as SQL: which, and how far they are."""

    condition: str
    distance: str


def _by_rule(database: duckdb.DuckDBPyConnection) -> Iterator[Group]:
    """Yield the groups of all rules.

    Two queries read all segments: one for how far the farthest sample of each side is, and one for
    the segments that are not farther.
    """
    rules = database.execute(_RULES).fetchall()
    sides = [side for rule in rules for side in _sides(*rule)]
    if not sides:
        return
    judged = "(select hash(segment_id) as drawn, * from seen where status in ('kept', 'rejected'))"
    asked = ", ".join(
        f"min({side.distance}, {PER_SIDE}) filter ({side.condition})" for side in sides
    )
    (nearest,) = database.execute(f"select {asked} from {judged}").fetchall()
    near = [
        f"{side.condition} and {side.distance} <= {_literal(max(found))}"
        for side, found in zip(sides, nearest, strict=True)
        if found
    ]
    parts = [
        f"select {number} as side, segment_id, {side.distance} as distance from near "
        f"where {side.condition}"
        for number, side in enumerate(sides)
    ]
    query = f"""
    with near as materialized (from {judged} where {" or ".join(near)})
    select side, list(segment_id order by distance, segment_id) from (
        from ({" union all ".join(parts)}) qualify row_number() over (
            partition by side order by distance, segment_id) <= {PER_SIDE}
    ) group by side
    """
    found = dict(database.execute(query).fetchall())
    for number, (rule, *_) in enumerate(rules):
        rejected, accepted = (tuple(found.get(2 * number + i, ())) for i in (0, 1))
        yield Group(rule, rejected, accepted)


def _sides(rule: str, column: str, side: str, asr: Any, manifest: Any) -> tuple[_Side, _Side]:
    """Return the rejected and the accepted segments of a rule with its two thresholds.

    Where the rule is off, or there is no value, the distance is infinite.
    """
    held = f"case text_source when 'asr' then {_literal(asr)} else {_literal(manifest)} end"
    distance = f"coalesce(abs({column} - {held}), 'inf'::double)"
    if side == "one_of":
        return _Side(f"list_contains(rules, '{rule}')", "drawn"), _Side("kept", "drawn")
    rejected, accepted = f"list_contains(rules, '{rule}')", f"kept and {column} is not null"
    return _Side(rejected, distance), _Side(accepted, distance)


def _literal(value: float | None) -> str:
    """SQL: a number, to the last bit."""
    if value is None:
        return "null::double"
    return f"{value}::ubigint" if isinstance(value, int) else f"'{value!r}'::double"


def _in_turn(groups: Sequence[Group]) -> Iterator[str]:
    """Yield the ids of all groups so that each has its first samples before any its last."""
    sides = [side for group in groups for side in (group.rejected, group.accepted)]
    for turn in zip_longest(*sides):
        yield from (key for key in turn if key is not None)


def _take(store: Store, sample: Sample, place: Place | None, budget: _Budget) -> None:
    """Add a sample with its audio, if the budget has room for it."""
    if budget.left <= 0:
        budget.left_out += 1
        return
    clips = read_clips(store, place, CLIP_MS) if place else []
    sounds = tuple(sound(clip, encoded=True) for clip in clips)
    budget.left -= sum(len(one.webm) * 3 // 4 for one in sounds)
    budget.taken[sample.segment_id] = replace(sample, sounds=sounds)


# Names of rules and columns are those of this program: thresholds has no others.
_RULES = """
select rule, any_value("column"), any_value(side),
       any_value(value) filter (text_source = 'asr'),
       any_value(value) filter (text_source = 'manifest')
from rejections_by_rule join thresholds using (rule)
group by rule order by any_value(segments) desc, rule
"""
_RECORDINGS = """
select recording_id from seen group by recording_id having count(*) <= ?
order by count(distinct status) desc, count(distinct speaker) > 1 desc, count(*) desc, recording_id
limit ?
"""
