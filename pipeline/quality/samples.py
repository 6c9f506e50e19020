"""What a person listens to: accepted and rejected segments side by side, rule by rule."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

import duckdb

from wavemill.pipeline.quality.details import Sample, Sound, read_details
from wavemill.pipeline.quality.listening import Clip, find_place, read_clips
from wavemill.pipeline.quality.timeline import Timeline, timeline
from wavemill.pipeline.store import Store
from wavemill.stages.audio.opus import encode_opus, peaks

PER_SIDE = 4  # accepted and rejected segments per rule
CLIP_MS = 12_000  # longer segments are cut
AUDIO_BYTES = 4_500_000  # of all clips; base64 makes a third more of it
PEAKS = 240
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


@dataclass
class _Budget:
    left: int = AUDIO_BYTES
    left_out: int = 0
    taken: dict[str, Sample] = field(default_factory=dict)


def read_samples(
    database: duckdb.DuckDBPyConnection, store: Store, silent: bool = False
) -> Samples:
    """Choose samples and read their audio, from a database with all views and `seen`.

    `silent`: without audio and timelines, which a server gives when they are asked for.
    """
    groups = [_by_chance(database), *_by_rule(database)]
    details = read_details(database, sorted(set(_in_turn(groups))))
    ((count,),) = database.execute("select count(*) from recordings").fetchall()
    if silent:
        return Samples(tuple(groups), details, 0, (), count)
    budget = _Budget()
    for key in _in_turn(groups):
        if key not in budget.taken:
            _take(database, store, details[key], budget)
    recordings = database.execute(_RECORDINGS, [TIMELINE_SEGMENTS, TIMELINES]).fetchall()
    lines = tuple(timeline(database, key) for (key,) in recordings)
    found = tuple(_only(group, budget.taken) for group in groups)
    return Samples(found, budget.taken, budget.left_out, lines, count)


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


def _by_rule(database: duckdb.DuckDBPyConnection) -> Iterator[Group]:
    for rule, column, side in database.execute(_RULES).fetchall():
        nearest = "hash(segment_id)" if side == "one_of" else f"abs({column} - value)"
        query = _NEAREST.format(nearest=nearest)
        values = {"rule": rule, "count": PER_SIDE}

        def ids(condition: str, query: str = query, values: Any = values) -> tuple[str, ...]:
            rows = database.execute(query.format(condition=condition), values).fetchall()
            return tuple(key for (key,) in rows)

        has_value = "true" if side == "one_of" else f"{column} is not null"
        yield Group(rule, ids("list_contains(rules, $rule)"), ids(f"kept and {has_value}"))


def _in_turn(groups: Sequence[Group]) -> Iterator[str]:
    """Yield the ids of all groups so that each has its first samples before any its last."""
    sides = [side for group in groups for side in (group.rejected, group.accepted)]
    for turn in zip_longest(*sides):
        yield from (key for key in turn if key is not None)


def _take(
    database: duckdb.DuckDBPyConnection, store: Store, sample: Sample, budget: _Budget
) -> None:
    """Add a sample with its audio, if the budget has room for it."""
    if budget.left <= 0:
        budget.left_out += 1
        return
    place = find_place(database, sample.segment_id)
    clips = read_clips(database, store, place, CLIP_MS) if place else []
    sounds = tuple(sound(clip, encoded=True) for clip in clips)
    budget.left -= sum(len(one.webm) * 3 // 4 for one in sounds)
    budget.taken[sample.segment_id] = replace(sample, sounds=sounds)


def sound(clip: Clip, encoded: bool) -> Sound:
    """Return what the page has of a clip: its peaks and, if `encoded`, its sound."""
    heights = (peaks(clip.audio, PEAKS) * 255).clip(0, 255).astype("uint8")
    webm = _base64(encode_opus(clip.audio, clip.sample_rate)) if encoded else ""
    return Sound(clip.version, _base64(heights.tobytes()), webm)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


_RULES = """
select rule, any_value("column"), any_value(side)
from rejections_by_rule join thresholds using (rule)
group by rule order by any_value(segments) desc, rule
"""
_NEAREST = """
select segment_id from seen join (
    select text_source, value from thresholds where rule = $rule
) using (text_source)
where {{condition}} and status in ('kept', 'rejected')
order by {nearest}, segment_id limit $count
"""
_RECORDINGS = """
select recording_id from seen group by recording_id having count(*) <= ?
order by count(distinct status) desc, count(distinct speaker) > 1 desc, count(*) desc, recording_id
limit ?
"""
