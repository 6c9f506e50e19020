"""Checking the files of which a snapshot is about to be made."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow.compute as pc

from wavemill.pipeline.damage import Recorded
from wavemill.pipeline.output_key import OutputKey, errors_key, table_key
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.snapshots import latest_snapshot
from wavemill.pipeline.store import Store

THREADS = 4  # hash at a time; hashing releases the interpreter lock


def check_parts(store: Store, plan: Plan) -> None:
    """Raise WorkdirDamaged if a part or an errors table differs from what its stage wrote.

    Parts that are in the newest snapshot already are left to `verify`. Parts in an object store
    are not read: the store checks its objects itself, and there may be terabytes.
    """
    latest = latest_snapshot(store)
    wanted: dict[str, Recorded] = {}
    outputs = plan.outputs()
    for stage in plan.graph.corpora if store.local else ():
        there = store.names(f"{latest.folder}/{stage.name}") if latest else set()
        for row in outputs.filter(pc.field("stage") == stage.name).to_pylist():
            key = table_key(row["output"])
            if row["rows"] and OutputKey.parse(row["output"]).part not in there:
                wanted[key] = Recorded(row["sha256"], row["bytes"])
    for row in outputs.filter(pc.field("errors") > 0).to_pylist():
        wanted[errors_key(row["output"])] = Recorded(row["errors_sha256"])
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(store.check, wanted.keys(), wanted.values()))
