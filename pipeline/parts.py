"""The last look at what a snapshot is about to be made of."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow.compute as pc

from wavemill.pipeline.damage import Recorded
from wavemill.pipeline.output_key import OutputKey, errors_key, table_key
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.snapshots import latest_snapshot
from wavemill.pipeline.store import Store

THREADS = 4  # hash at a time; hashing leaves the interpreter free


def check_parts(store: Store, plan: Plan) -> None:
    """Raise WorkdirDamaged where a part or an errors table is not what its stage wrote.

    Parts that the newest snapshot has already are left to `verify`, which finds them there; and
    those in an object store to that, since it checks what it holds itself, and there may be TBs.
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
