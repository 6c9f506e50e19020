"""The half of `wavemill.pipeline.upkeep.purge` that deletes rows from snapshots."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pyarrow.compute as pc

from wavemill.pipeline.output_key import OutputKey
from wavemill.pipeline.snapshots import Snapshot, save_snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.upkeep.proof import Traces, count_rows
from wavemill.pipeline.upkeep.rewriting import Journal, leaving_damaged, rewrite, rewrite_small


def purge_snapshot(store: Store, snapshot: Snapshot, traces: Traces, found: Iterable[str]) -> None:
    """Rewrite those of the tables `found` that belong to the snapshot; link its parts again."""
    mine = [key for key in found if key.startswith(f"{snapshot.folder}/")]
    outputs: dict[str, str] = {}
    if mine:
        with leaving_damaged():
            outputs = _outputs_of_parts(store, snapshot)
    for key in mine:
        with leaving_damaged():
            if key in outputs and _is_purged(store, outputs[key], traces):
                store.relink(outputs[key], key)
            elif key.count("/") > 2:
                rewrite(store, key, traces, {})
            else:
                rewrite_small(store, key, traces)


def _is_purged(store: Store, output: str, traces: Traces) -> bool:
    with leaving_damaged():
        return count_rows(store, output, traces) == 0
    return False


def renew_snapshot(store: Store, snapshot: Snapshot, journal: Journal, now: str) -> None:
    """Update `snapshot.json`, if a file of the snapshot was replaced."""
    if not any(key.startswith(f"{snapshot.folder}/") for key in journal.keys):
        return
    with leaving_damaged():
        renewed = _renewed(store, snapshot, journal)
        if renewed != snapshot:
            save_snapshot(store, replace(renewed, purged=[*snapshot.purged, now]))


def _renewed(store: Store, snapshot: Snapshot, journal: Journal) -> Snapshot:
    folder = snapshot.folder
    recordings = store.read_table(f"{folder}/recordings.parquet", ["duration_ms"])
    errors = store.read_table(f"{folder}/errors.parquet", ["stage"])
    return replace(
        snapshot,
        recordings=recordings.num_rows,
        audio_ms=int(pc.sum(recordings["duration_ms"]).as_py() or 0),
        errors=errors.num_rows,
        rows={corpus: _rows(store, f"{folder}/{corpus}") for corpus in snapshot.rows},
        sha256={
            name: journal.renewed(f"{folder}/{name}", sha256) or ""
            for name, sha256 in snapshot.sha256.items()
        },
    )


def _outputs_of_parts(store: Store, snapshot: Snapshot) -> dict[str, str]:
    """Return part of a corpus -> the output that it is a link to."""
    lineage = store.read_table(f"{snapshot.folder}/lineage.parquet", ["stage", "output"])
    mine = lineage.group_by(["stage", "output"]).aggregate([]).to_pylist()
    return {
        f"{snapshot.folder}/{row['stage']}/{OutputKey.of_file(row['output']).part}": row["output"]
        for row in mine
        if row["stage"] in snapshot.rows
    }


def _rows(store: Store, folder: str) -> int:
    """Count the rows of a snapshot's corpus."""
    total = 0
    for name in store.names(folder):
        with store.opened(f"{folder}/{name}") as part:
            total += part.metadata.num_rows
    return total
