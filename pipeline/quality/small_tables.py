"""Small tables that stand in the quality database itself."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa

from wavemill.pipeline.curation import all_scores
from wavemill.pipeline.snapshots import Snapshot, all_snapshots
from wavemill.pipeline.store import Store
from wavemill.stages.score import rules_of

_UTC = pa.timestamp("ms")  # without a zone, which Python would need pytz for
_COUNTS = pa.map_(pa.string(), pa.int64())  # corpus -> rows


def rules_table() -> pa.Table:
    """Return one row per rule, in the order in which broken rules are recorded.

    position int32 (from 0), rule, column (of `segments`), setting (field of the thresholds), side
    ('min', 'max', 'one_of').
    """
    rules = rules_of(all_scores())
    return pa.table(
        {
            "position": pa.array(range(len(rules)), pa.int32()),
            "rule": [rule.name for rule in rules],
            "column": [rule.column for rule in rules],
            "setting": [rule.setting for rule in rules],
            "side": [rule.side for rule in rules],
        }
    )


def about_table(store: Store, snapshot: Snapshot, version: str) -> pa.Table:
    """Return one row: the snapshot that is shown, the WORKDIR, who made the database and when."""
    return pa.table(
        {
            "snapshot": [snapshot.number],
            "workdir": [store.root],
            "wavemill": [version],
            "made": pa.array([_utc(datetime.now(UTC))], _UTC),
        }
    )


def snapshots_table(store: Store) -> pa.Table:
    """Return one row per kept snapshot, the newest last; `rows` maps corpora to rows."""
    found = all_snapshots(store)
    return pa.table(
        {
            "number": pa.array([s.number for s in found], pa.int64()),
            "parent": pa.array([s.parent for s in found], pa.int64()),
            "created": pa.array([_utc(datetime.fromisoformat(s.created)) for s in found], _UTC),
            "recordings": pa.array([s.recordings for s in found], pa.int64()),
            "hours": pa.array([s.audio_ms / 3.6e6 for s in found], pa.float64()),
            "errors": pa.array([s.errors for s in found], pa.int64()),
            "rows": pa.array([list(s.rows.items()) for s in found], _COUNTS),
            "added": pa.array([s.added for s in found], pa.int64()),
            "removed": pa.array([s.removed for s in found], pa.int64()),
            "config": pa.array([s.config for s in found], pa.string()),
            "wavemill": pa.array([s.wavemill for s in found], pa.string()),
        }
    )


def stages_table(store: Store, snapshot: Snapshot) -> pa.Table:
    """Return the snapshot's stages with their position in the build, from 1."""
    table = store.read_table(f"{snapshot.folder}/stages.parquet")
    return table.add_column(0, "position", pa.array(range(1, table.num_rows + 1), pa.int32()))


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(tzinfo=None)
