"""What is new since the snapshot before."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from wavemill.pipeline.snapshots import Snapshot, read_snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.upkeep.difference import Difference, RuleChange, SegmentChange, compare

NAMED = 50  # recordings, of each kind of change


@dataclass(frozen=True)
class Changed:
    change: str  # added, removed, changed
    source: str
    duration_ms: int


@dataclass(frozen=True)
class Setting:
    field: str
    before: str
    after: str


@dataclass(frozen=True)
class Change:
    """From the parent of a snapshot to the snapshot."""

    older: int
    newer: int
    created: str  # the older one, ISO 8601
    counts: dict[str, int]  # recordings by change
    recordings: tuple[Changed, ...]  # some of them
    segments: tuple[SegmentChange, ...]
    rules: tuple[RuleChange, ...]
    settings: tuple[Setting, ...]


def read_change(store: Store, snapshot: Snapshot) -> Change | None:
    """Compare a snapshot with its parent; None where there is none (any more)."""
    if snapshot.parent is None:
        return None
    with suppress(FileNotFoundError):
        older = read_snapshot(store, snapshot.parent)
        return _change(older, compare(store, older, snapshot))
    return None


def _change(older: Snapshot, found: Difference) -> Change:
    counts = Counter(recording.change for recording in found.recordings)
    named = [
        Changed(recording.change, recording.source, recording.duration_ms)
        for kind in counts
        for recording in [r for r in found.recordings if r.change == kind][:NAMED]
    ]
    settings = (Setting(c.field, str(c.before), str(c.after)) for c in found.config)
    return Change(
        found.older,
        found.newer,
        older.created,
        dict(counts),
        tuple(named),
        found.segments,
        found.rules,
        tuple(settings),
    )
