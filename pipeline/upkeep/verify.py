"""Checking that all files of snapshots and ledger exist and are unchanged, byte for byte.

The ledger records size and SHA-256 of every stage output, and `snapshot.json` the SHA-256 of the
tables of its snapshot. The parts of a corpus must have the same bytes as the outputs that the
lineage names. Files that are recorded nowhere, such as outputs of a run that died, do not count as
damage.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from wavemill.pipeline.catalogue import CATALOGUE, read_catalogue
from wavemill.pipeline.damage import Recorded, difference, short
from wavemill.pipeline.ledger import SCHEMA as LEDGER_SCHEMA
from wavemill.pipeline.ledger import ledger_files, read_ledger_file
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.output_key import errors_key, table_key
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import TASK_RESULT
from wavemill.pipeline.upkeep.findings import Damage, Inspection, Kind
from wavemill.pipeline.upkeep.verify_snapshots import (
    inspect_corpora,
    inspect_pointers,
    inspect_snapshots,
    inspect_tombstones,
)

THREADS = 4  # hash at a time; hashing releases the interpreter lock

Progress = Callable[[int, int], None]  # bytes so far, bytes in all


def inspect(store: Store, progress: Progress | None = None) -> Inspection:
    """Check a WORKDIR; reads all bytes of files with a recorded hash."""
    found = Inspection([], LEDGER_SCHEMA.empty_table(), [])
    _inspect_ledger(store, found)
    _inspect_catalogue(store, found)
    inspect_snapshots(store, found)
    _inspect_outputs(store, found, progress or (lambda _done, _total: None))
    inspect_corpora(store, found)
    inspect_pointers(store, found)
    inspect_tombstones(store, found)
    return found


def _inspect_ledger(store: Store, found: Inspection) -> None:
    readable = []
    for key in ledger_files(store):
        try:
            readable.append(read_ledger_file(store, key))
        except (OSError, pa.ArrowException, ValueError) as error:
            found.damages.append(Damage(key, f"cannot be read: {short(error)}", Kind.LEDGER))
    with memory_database() as database:
        database.register("ledger_rows", pa.concat_tables([found.ledger, *readable]))
        found.ledger = (
            database.sql(
                "from ledger_rows qualify row_number() over "
                "(partition by output order by finished_ms desc) = 1 order by output"
            )
            .to_arrow_table()
            .cast(LEDGER_SCHEMA)
        )


def _inspect_catalogue(store: Store, found: Inspection) -> None:
    if not store.exists(CATALOGUE):
        if found.ledger.num_rows:
            found.damages.append(Damage(CATALOGUE, "is missing", Kind.CATALOGUE))
        return
    try:
        read_catalogue(store)
    except (OSError, pa.ArrowException, ValueError) as error:
        problem = f"cannot be read: {short(error)}"
        found.damages.append(Damage(CATALOGUE, problem, Kind.CATALOGUE))


def _inspect_outputs(store: Store, found: Inspection, progress: Progress) -> None:
    """Check every output in the ledger."""
    rows = found.ledger.to_pylist()
    total, done = sum(row["bytes"] for row in rows), 0
    with ThreadPoolExecutor(THREADS) as pool:
        problems = pool.map(lambda row: _check_output(store, row), rows)
        for row, (key, problem) in zip(rows, problems, strict=True):
            found.files += 1 + bool(row["errors"])
            found.checked[row["output"]] = problem
            if problem:
                found.damages.append(_of_output(key, problem, row))
            done += row["bytes"]
            progress(done, total)


def _check_output(store: Store, row: dict[str, Any]) -> tuple[str, str]:
    """Return the key of a damaged file and its problem, "" if it has none."""
    key, errors = table_key(row["output"]), errors_key(row["output"])
    if problem := difference(store, key, Recorded(row["sha256"], row["bytes"])):
        return key, problem
    result = json.loads((store.facts(key) or {}).get(TASK_RESULT, "{}"))
    if result.get("output") != row["output"]:
        return key, f"says that it is {result.get('output', 'no output')}"
    if row["errors"] and (problem := difference(store, errors, Recorded(row["errors_sha256"]))):
        return errors, problem
    return key, ""


def _of_output(key: str, problem: str, row: dict[str, Any]) -> Damage:
    names = ("output", "stem", "stage", "shard_id")
    return Damage(key, problem, Kind.OUTPUT, **{name: row[name] for name in names})
