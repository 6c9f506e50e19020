"""The half of `verify` that checks snapshots: their own files, lineage and parts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import duckdb

from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.damage import Recorded, WorkdirDamaged, difference, short
from wavemill.pipeline.digest import digest_of
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.output_key import has_stem_sql, output_sql, part_sql, table_key, table_sql
from wavemill.pipeline.snapshots import (
    LATEST,
    LINEAGE_SCHEMA,
    STAGES_SCHEMA,
    Snapshot,
    latest_number,
    read_snapshot,
)
from wavemill.pipeline.store import Store
from wavemill.pipeline.tombstones import WITHDRAWN, Known, are_lost, read_tombstones
from wavemill.pipeline.upkeep.findings import Damage, Inspection, Kind
from wavemill.pipeline.upkeep.rewriting import JOURNAL, is_begun


def inspect_snapshots(store: Store, found: Inspection) -> None:
    """Check the files of the snapshots, except corpora."""
    numbers = sorted(int(name) for name in store.names("snapshots") if name.isdecimal())
    latest = _latest(store)
    for number in numbers:
        if latest is not None and number > latest:
            continue  # was never finished
        folder = f"snapshots/{number:06d}"
        try:
            snapshot = read_snapshot(store, number)
        except FileNotFoundError:
            if number == latest:
                problem = "is missing"
                found.damages.append(Damage(f"{folder}/snapshot.json", problem, Kind.SNAPSHOT))
            continue  # half removed
        except (ValueError, TypeError) as error:
            problem = f"cannot be read: {short(error)}"
            found.damages.append(Damage(f"{folder}/snapshot.json", problem, Kind.SNAPSHOT))
            continue
        found.snapshots.append(snapshot)
        found.damages.extend(_inspect_own_files(store, snapshot, found))


def _inspect_own_files(store: Store, snapshot: Snapshot, found: Inspection) -> Iterator[Damage]:
    for name, sha256 in snapshot.sha256.items():
        key = f"{snapshot.folder}/{name}"
        found.files += 1
        if problem := difference(store, key, Recorded(sha256)):
            yield Damage(key, problem, Kind.SNAPSHOT)
    key = f"{snapshot.folder}/config.json"
    found.files += 1
    try:
        if digest_of(json.loads(store.read_text(key) or "")) != snapshot.config:
            yield Damage(key, "is not what the snapshot was made with", Kind.SNAPSHOT)
    except ValueError:
        yield Damage(key, "is missing, or no JSON", Kind.SNAPSHOT)


def inspect_corpora(store: Store, found: Inspection) -> None:
    """Check that the outputs of the snapshots are in the ledger and make up their corpora."""
    with memory_database() as database:
        database.register("ledger", found.ledger)
        for snapshot in found.snapshots:
            if f"{snapshot.folder}/lineage.parquet" not in found.keys:
                _inspect_lineage(store, snapshot, database, found)


def _inspect_lineage(
    store: Store, snapshot: Snapshot, database: duckdb.DuckDBPyConnection, found: Inspection
) -> None:
    damaged = found.keys
    lineage = f"{snapshot.folder}/lineage.parquet"
    store.view(database, "lineage", [lineage], LINEAGE_SCHEMA)
    for stage, shard_id, output in database.sql(_UNKNOWN).fetchall():
        key = table_key(output)
        if key not in damaged:
            kind = Kind.LEDGER if store.exists(key) else Kind.OUTPUT
            problem = "is not in the ledger" if kind is Kind.LEDGER else "is missing"
            found.damages.append(Damage(key, problem, kind, output, output, stage, shard_id))
    for corpus in snapshot.rows:
        folder = f"{snapshot.folder}/{corpus}"
        more = store.names(folder) - {"empty.parquet"}
        for name, output, rows, sha256 in database.execute(_PARTS, [corpus]).fetchall():
            key = f"{folder}/{name}"
            problem = "is missing" if rows else ""  # a part without rows may be missing
            if name in more:
                more.remove(name)
                # An output that is not in the ledger was reported already.
                problem = _inspect_part(store, key, output, sha256, found) if output else ""
                found.files += 1
            if problem:
                found.damages.append(Damage(key, problem, Kind.PART, output))
        for name in sorted(more):
            problem = "belongs to no output that the lineage names"
            found.damages.append(Damage(f"{folder}/{name}", problem, Kind.PART))


# An output of a selected stage may have been made again under another name of the same stem.
_UNKNOWN = f"""
select distinct n.stage, n.shard_id, {output_sql("n.output")} as output
from lineage n where not exists (
    select 1 from ledger l where l.stage = n.stage and l.fingerprint = n.fingerprint
    and l.shard_id = n.shard_id and {has_stem_sql("n.output", "l.stem")})
order by output
"""

_PARTS = f"""
select distinct {part_sql("n.output")} as name, l.output, l.rows, l.sha256
from lineage n left join ledger l on n.output = {table_sql("l.output")}
where n.stage = ? order by name
"""


def _inspect_part(store: Store, key: str, output: str, sha256: str, found: Inspection) -> str:
    """Return the problem of a part that exists, "" if it has none."""
    there = store.local and store.exists(table_key(output))
    if there and store.path(key).samefile(store.path(table_key(output))):
        return found.checked.get(output, "")
    problem = difference(store, key, Recorded(sha256))
    return f"differs from its stage output: {problem}" if problem else ""


def inspect_pointers(store: Store, found: Inspection) -> None:
    """Check LATEST and the link `corpus`."""
    newest = found.newest
    if newest is None:
        if store.exists(LATEST):
            found.damages.append(Damage(LATEST, "names no snapshot", Kind.POINTER))
        return
    if _latest(store) != newest.number:
        problem = f"does not name the newest snapshot, {newest.name}"
        found.damages.append(Damage(LATEST, problem, Kind.POINTER))
    link = store.path("corpus") if store.local else None
    if link is not None and (not link.is_symlink() or str(link.readlink()) != newest.folder):
        found.damages.append(Damage("corpus", f"is not a link to {newest.folder}", Kind.POINTER))


def inspect_tombstones(store: Store, found: Inspection) -> None:
    """Check the tombstones against what the newest snapshot remembers."""
    if is_begun(store):
        problem = "a purge was interrupted; the same command, or any curate, finishes it"
        found.damages.append(Damage(JOURNAL, problem, Kind.PURGE))
    found.files += store.exists(WITHDRAWN)
    problem = ""
    try:
        known = found.newest.known_tombstones if found.newest else Known()
        if are_lost(read_tombstones(store), known):
            problem = "lacks tombstones that the newest snapshot knew of"
    except ConfigError:
        problem = "cannot be read"
    if problem:
        found.damages.append(Damage(WITHDRAWN, problem, Kind.TOMBSTONES))


def _latest(store: Store) -> int | None:
    try:
        return latest_number(store)
    except WorkdirDamaged:
        return None  # `inspect_pointers` reports it


def stage_inputs(store: Store, found: Inspection) -> dict[str, set[str]]:
    """Return stage -> stages that it reads, in any snapshot."""
    keys = [f"{s.folder}/stages.parquet" for s in found.snapshots]
    damaged = found.keys
    inputs: dict[str, set[str]] = {}
    for key in keys:
        if key not in damaged:
            table = store.read_table(key).cast(STAGES_SCHEMA)
            for row in table.to_pylist():
                inputs.setdefault(row["stage"], set()).update(row["inputs"])
    return inputs
