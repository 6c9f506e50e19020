"""One recording in order of time: who speaks, what is said, what is kept and what is not."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.quality.database import create_views, newest_snapshot
from wavemill.pipeline.store import Store

NAMED_AT_MOST = 8  # recordings in the message that a name is ambiguous


class NoSuchRecording(ConfigError):
    """No recording, or more than one, has this id or name; the message says which."""


@dataclass(frozen=True)
class TimelineSegment:
    segment_id: str
    track: int
    start_ms: int
    end_ms: int
    speaker: str
    language: str | None
    text: str | None  # transcript, or the answer of an item without one
    status: str  # kept, rejected, error, unjudged
    first_rule: str | None
    value: float | None  # what the first broken rule looked at; None for a rule of texts
    threshold: float | None  # what it held that against


@dataclass(frozen=True)
class TimelineError:
    stage: str
    reason: str
    message: str


@dataclass(frozen=True)
class Timeline:
    recording_id: str
    source: str
    duration_ms: int  # as decoded, where it could be
    segments: tuple[TimelineSegment, ...]  # in order of time
    errors: tuple[TimelineError, ...]


def read_timeline(store: Store, name: str, version: str) -> Timeline:
    """Return the timeline of the recording that `name` means in the newest snapshot.

    `name` is an id, a source, the last parts of a source, or the beginning of an id.
    Raises NoSnapshot, NoSuchRecording.
    """
    snapshot = newest_snapshot(store)
    with memory_database() as database:
        create_views(database, store, snapshot, version, shard_id="none")
        recording_id, shard_id = find_recording(database, name)
    with memory_database() as database:
        create_views(database, store, snapshot, version, shard_id)
        return timeline(database, recording_id)


def timeline(database: duckdb.DuckDBPyConnection, recording_id: str) -> Timeline:
    """Read the timeline of a recording, by its whole id, from a database with all views."""
    source, duration_ms = database.execute(
        "select source, duration_ms from base.durations where recording_id = ?", [recording_id]
    ).fetchall()[0]
    segments = database.execute(_SEGMENTS, [recording_id]).fetchall()
    errors = database.execute(
        "select stage, reason, message from errors where recording_id = ?", [recording_id]
    ).fetchall()
    return Timeline(
        recording_id,
        source,
        duration_ms,
        tuple(TimelineSegment(*row) for row in segments),
        tuple(TimelineError(*row) for row in errors),
    )


def find_recording(database: duckdb.DuckDBPyConnection, name: str) -> tuple[str, str]:
    """Return (recording_id, shard_id) of what `read_timeline` is asked for.

    Raises NoSuchRecording.
    """
    found = database.execute(_FIND, {"name": name}).fetchall()
    if not found:
        raise NoSuchRecording(_why_not(database, name))
    if len(found) > 1:
        some = "".join(f"\n  {uri} ({key})" for key, _, uri in found[:NAMED_AT_MOST])
        more = "\n  ..." if len(found) > NAMED_AT_MOST else ""
        raise NoSuchRecording(f"{len(found)} recordings are called {name!r}:{some}{more}")
    recording_id, shard_id, _ = found[0]
    return recording_id, shard_id


def _why_not(database: duckdb.DuckDBPyConnection, name: str) -> str:
    """Say that there is no such recording, or that its file could not be read."""
    unread = database.execute(_UNREAD, {"name": name}).fetchall()
    if unread:
        return "{} could not be read: {}: {}".format(*unread[0])
    return f"no recording {name!r}; an id or its beginning, a URI or its end is expected"


_UNREAD = """
select source, reason, message from errors
where recording_id is null and ends_with(source, $name) and $name <> '' order by source limit 1
"""
# The best kind of match only: a whole id or source, its last parts, any other end or start.
_FIND = """
select recording_id, shard_id, uri
from (
    select *, case when recording_id = $name or uri = $name then 1
                   when ends_with(uri, concat('/', $name)) then 2
                   when starts_with(recording_id, $name) or ends_with(uri, $name) then 3
              end as rank
    from recordings where $name <> ''
)
where rank is not null
qualify rank = min(rank) over ()
order by uri
"""
_SEGMENTS = """
select segment_id, track, start_ms, end_ms, speaker, language, coalesce(text, answer), status,
       first_rule, broken[1].value, broken[1].threshold
from segments where recording_id = ? order by start_ms, track, end_ms
"""
