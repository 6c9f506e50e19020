"""Repairing a WORKDIR that `verify` found damaged; the next build completes it.

A damaged output is removed, and so is everything of its shard that was made from it: it is unknown
whether those stages read it before it was damaged. (Of a selected stage all outputs of the stem go,
since each holds only what the earlier ones lack.) The next `curate` makes exactly the missing
outputs again, and `relink` then puts corpus parts back into their snapshots.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import pyarrow as pa

from wavemill.pipeline.ledger import SCHEMA as LEDGER_SCHEMA
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.output_key import (
    ERRORS,
    NotAnOutputKey,
    OutputKey,
    errors_key,
    output_of,
    table_key,
)
from wavemill.pipeline.snapshots import LATEST, all_snapshots, point_corpus_at
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import finished_before
from wavemill.pipeline.upkeep.dropping import drop_outputs
from wavemill.pipeline.upkeep.findings import Damage, Inspection, Kind
from wavemill.pipeline.upkeep.recataloguing import recatalogue
from wavemill.pipeline.upkeep.verify_snapshots import stage_inputs
from wavemill.pipeline.upkeep.withdrawal import accept_lost_tombstones

LOST = "manifest/lost-parts.json"  # list of outputs: corpus parts that must be linked again


def repair(store: Store, found: Inspection) -> list[str]:
    """Repair what can be repaired. Returns the outputs that must be made again."""
    by_kind: dict[Kind, list[Damage]] = {kind: [] for kind in Kind}
    for damage in found.damages:
        by_kind[damage.kind].append(damage)
    _drop_newest(store, found)
    _mend_pointers(store, found)
    if by_kind[Kind.TOMBSTONES]:
        accept_lost_tombstones(store)
    ledger, damaged = found.ledger, by_kind[Kind.OUTPUT]
    if by_kind[Kind.LEDGER]:
        ledger, unreadable = _rebuilt(store, ledger)
        damaged = [*damaged, *unreadable]
        Ledger(store).replace(ledger)
    dropped = _derived(ledger, damaged, stage_inputs(store, found))
    outputs: list[str] = dropped["output"].to_pylist()
    for damage in by_kind[Kind.PART]:
        _mend_part(store, damage, set(outputs))
    gone = [*outputs, *(damage.output for damage in (*damaged, *by_kind[Kind.PART]))]
    _remember_lost(store, {corpus for s in found.snapshots for corpus in s.rows}, gone)
    drop_outputs(store, ledger, dropped)
    if by_kind[Kind.CATALOGUE]:
        recatalogue(store, Ledger(store).rows(), found.newest)
    for damage in damaged:  # those that are not in the ledger
        store.delete(table_key(damage.output))
        store.delete(errors_key(damage.output))
    return outputs


def relink(store: Store) -> None:
    """Put corpus parts that were made again into the snapshots that lost them."""
    lost = set(_lost(store))
    if not lost:
        return
    waiting: set[str] = set()
    for snapshot in all_snapshots(store):
        try:
            lineage = store.read_table(f"{snapshot.folder}/lineage.parquet", ["output"])
        except (OSError, pa.ArrowException):
            continue  # damaged for good
        for key in lineage["output"].unique().to_pylist():
            output = output_of(key)
            if output not in lost:
                continue
            if store.exists(key):
                made = OutputKey.parse(output)
                store.relink(key, f"{snapshot.folder}/{made.stage}/{made.part}")
            else:
                waiting.add(output)
    _write_lost(store, waiting)


def _drop_newest(store: Store, found: Inspection) -> None:
    """Remove `snapshot.json` of the newest snapshots, if files of theirs are damaged.

    The next build makes such a snapshot again with the same number, from its outputs. An older
    snapshot cannot be made again and stays as it is.
    """
    damaged = {d.key.rsplit("/", 1)[0] for d in found.damages if d.kind is Kind.SNAPSHOT}
    while found.snapshots and found.snapshots[-1].folder in damaged:
        store.delete(f"{found.snapshots.pop().folder}/snapshot.json")
    for damage in found.damages:
        if damage.kind is Kind.SNAPSHOT and damage.key.endswith("/snapshot.json"):
            store.delete(damage.key)  # it cannot be read; `gc` removes the rest of its folder


def _mend_pointers(store: Store, found: Inspection) -> None:
    newest = found.newest
    if newest is None:
        store.delete(LATEST)
        if store.local and store.path("corpus").is_symlink():
            store.path("corpus").unlink()
        return
    store.write_text(LATEST, newest.name + "\n")
    if not store.local or store.path("corpus").is_symlink() or not store.path("corpus").exists():
        point_corpus_at(store, newest)


def _rebuilt(store: Store, ledger: pa.Table) -> tuple[pa.Table, list[Damage]]:
    """Return the ledger with rows from the metadata of all outputs, and those without any."""
    known = set(ledger["output"].to_pylist())
    rows, damaged = [], []
    for file in store.files("stages"):
        output = output_of(file.key)
        name = file.key.rsplit("/", 1)[1]
        if name.startswith(".") or name.endswith(ERRORS) or output in known:
            continue
        try:
            store.read_table(
                file.key
            )  # all of it: without a recorded hash, only its checksums show damage
            result = finished_before(output, store)
        except (OSError, pa.ArrowException):
            result = None
        if result is None or result.output != output:
            damaged.append(Damage(file.key, "cannot be read", Kind.OUTPUT, output, output))
            continue
        row = {name: getattr(result, name, None) for name in LEDGER_SCHEMA.names}
        fingerprint = OutputKey.parse(output).fingerprint
        rows.append(
            {**row, "fingerprint": fingerprint, "gpus": 0.0, "finished_ms": file.modified_ms}
        )
    return pa.concat_tables([ledger, pa.Table.from_pylist(rows, schema=LEDGER_SCHEMA)]), damaged


def _derived(
    ledger: pa.Table, damaged: Iterable[Damage], inputs: Mapping[str, set[str]]
) -> pa.Table:
    """Return the rows of the ledger of damaged outputs and of everything made from them.

    If no snapshot describes a stage, all later outputs of the shard count as made from it.
    """
    below = {stage: _below(stage, inputs) for stage in inputs}
    with memory_database() as database:
        database.register("ledger", ledger)
        rows = [(d.output, d.stem, d.stage or _stage_of(d.output), d.shard_id) for d in damaged]
        database.register("damaged", _strings(("output", "stem", "stage", "shard_id"), rows))
        pairs = [(stage, other) for stage, others in below.items() for other in others]
        database.register("below", _strings(("stage", "other"), pairs))
        database.register("described", _strings(("stage",), [(stage,) for stage in inputs]))
        return database.sql(_DERIVED).to_arrow_table().cast(LEDGER_SCHEMA)


_DERIVED = """
select l.* from ledger l where exists (
    select 1 from damaged d left join ledger mine on mine.output = d.output
    where l.stem = d.stem or l.shard_id = d.shard_id and (
        exists (select 1 from below b where b.stage = d.stage and b.other = l.stage)
        or d.stage not in (from described) and l.finished_ms >= coalesce(mine.finished_ms, 0)))
order by l.finished_ms desc, l.output
"""


def _below(stage: str, inputs: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    while more := {s for s, reads in inputs.items() if reads & (found | {stage})} - found:
        found |= more
    return found


def _strings(names: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return pa.table([pa.array(column, pa.string()) for column in columns], names=list(names))


def _mend_part(store: Store, damage: Damage, dropped: set[str]) -> None:
    """Link a part again if its output is sound; otherwise the next build does it."""
    if not damage.output:
        return  # not made by this program: it stays
    if damage.output not in dropped and store.exists(table_key(damage.output)):
        store.relink(table_key(damage.output), damage.key)
    else:
        store.delete(damage.key)


def _remember_lost(store: Store, corpora: set[str], outputs: Iterable[str]) -> None:
    lost = {output for output in outputs if output and _stage_of(output) in corpora}
    if lost:
        _write_lost(store, lost | set(_lost(store)))


def _lost(store: Store) -> list[str]:
    try:
        found = json.loads(store.read_text(LOST) or "[]")
    except ValueError:
        return []  # `verify` finds again which parts are missing
    return [output for output in found if isinstance(output, str)] if type(found) is list else []


def _write_lost(store: Store, outputs: set[str]) -> None:
    if outputs:
        store.write_text(LOST, json.dumps(sorted(outputs), indent=2) + "\n")
    else:
        store.delete(LOST)


def _stage_of(output: str) -> str:
    """Return the stage of an output; "" for a file below `stages` that is not of one."""
    try:
        return OutputKey.parse(output).stage
    except NotAnOutputKey:
        return ""
