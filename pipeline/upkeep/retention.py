"""Garbage: files of a WORKDIR that no kept snapshot and no interrupted build needs.

Kept are the newest snapshots, the stage outputs that their lineage names, and outputs that are
newer than the newest snapshot: these come from a build that was interrupted or not published, and
the next build uses them. Without any snapshot all outputs are kept. (Such a build may have used
outputs of an older configuration too; if those are removed here, it makes them again.)

The outputs of one stem (see `pipeline.ledger`) are kept or removed together: a selected stage
writes to each only what the earlier ones lack.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from wavemill.pipeline.ledger import SCHEMA as LEDGER_SCHEMA
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.output_key import has_stem_sql, output_of, output_sql
from wavemill.pipeline.snapshots import LATEST, LINEAGE_SCHEMA, Snapshot, all_snapshots
from wavemill.pipeline.store import Store, StoredFile, is_temporary
from wavemill.pipeline.upkeep.dropping import drop_outputs

LEFTOVER_MS = 3_600_000  # a temporary file that has not changed for so long is left over


@dataclass(frozen=True)
class Garbage:
    """What can be removed."""

    snapshots: tuple[Snapshot, ...]
    broken: tuple[str, ...]  # folders of snapshots that were never finished, or half removed
    in_snapshots: tuple[StoredFile, ...]
    outputs: tuple[StoredFile, ...]  # files of `dropped`
    leftovers: tuple[
        StoredFile, ...
    ]  # of interrupted writes, and outputs that are not in the ledger
    ledger: pa.Table  # LEDGER_SCHEMA
    dropped: pa.Table  # LEDGER_SCHEMA: its rows that are removed

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """All files that can be removed."""
        return (*self.in_snapshots, *self.outputs, *self.leftovers)


def find_garbage(store: Store, keep: int, now_ms: int) -> Garbage:
    """Find what can be removed if the newest `keep` (>= 1) snapshots are kept.

    Raises LookupError if the ledger lacks outputs that these need: then nothing is certain.
    """
    found = all_snapshots(store)
    old, kept = found[:-keep], found[-keep:]
    broken = broken_snapshots(store, found)
    folders = [*(snapshot.folder for snapshot in old), *broken]
    ledger = Ledger(store).rows()
    files = [f for f in store.files("stages") if not is_temporary(f.key)]
    with memory_database() as database:
        database.register("ledger", ledger)
        _show_files(database, files)
        _find_needed(database, store, kept)
        _refuse_without_ledger(database, store)
        dropped = database.sql(_DROPPED).to_arrow_table().cast(LEDGER_SCHEMA)
        going = {key for (key,) in database.sql(_GOING).fetchall()}
        unknown = {key for (key,) in database.sql(_UNKNOWN).fetchall()}
    return Garbage(
        tuple(old),
        tuple(broken),
        tuple(file for folder in folders for file in store.files(folder)),
        tuple(file for file in files if file.key in going),
        (*(f for f in files if f.key in unknown), *_leftovers(store, folders, now_ms)),
        ledger,
        dropped,
    )


def remove(store: Store, garbage: Garbage) -> None:
    """Remove garbage, in an order in which an interruption leaves a sound WORKDIR."""
    for snapshot in garbage.snapshots:
        store.delete(f"{snapshot.folder}/snapshot.json")  # from now on the snapshot does not exist
        store.delete_folder(snapshot.folder)
    for folder in garbage.broken:
        store.delete_folder(folder)
    store.delete_all(file.key for file in garbage.leftovers)
    drop_outputs(store, garbage.ledger, garbage.dropped)
    if store.local:
        _remove_empty_folders(store.path("stages"), {f.key for f in garbage.outputs}, store)


def freed_bytes(store: Store, files: Sequence[StoredFile], with_: Iterable[StoredFile]) -> int:
    """Return the bytes that are freed by removing `files`, if all of `with_` are removed.

    The bytes of a file with several hard links are freed when its last link is removed; they
    count for the first of its names in `with_`.
    """
    if not store.local:
        return sum(file.bytes for file in files)
    going: dict[tuple[int, int], list[str]] = {}
    for file in with_:
        stat = store.path(file.key).stat()
        going.setdefault((stat.st_dev, stat.st_ino), []).append(file.key)
    mine = {file.key: file.bytes for file in files}
    return sum(
        mine[names[0]]
        for names in going.values()
        if names[0] in mine and store.path(names[0]).stat().st_nlink <= len(names)
    )


def _published_ms(kept: Sequence[Snapshot]) -> int:
    """Return when the newest snapshot was made, in ms since 1970; 0 without one."""
    return int(datetime.fromisoformat(kept[-1].created).timestamp() * 1000) if kept else 0


def _show_files(database: duckdb.DuckDBPyConnection, files: Sequence[StoredFile]) -> None:
    """Make the table `files` (key, output, modified_ms)."""
    columns = {
        "key": pa.array([file.key for file in files], pa.string()),
        "output": pa.array([output_of(file.key) for file in files], pa.string()),
        "modified_ms": pa.array([file.modified_ms for file in files], pa.int64()),
    }
    database.register("files", pa.table(columns))


def _find_needed(
    database: duckdb.DuckDBPyConnection, store: Store, kept: Sequence[Snapshot]
) -> None:
    """Make the tables `named` (output), `needed_stems` (stem) and `needed_files` (output).

    A file without a row in the ledger comes from a run that died before it wrote the row.
    """
    lineages = [f"{snapshot.folder}/lineage.parquet" for snapshot in kept]
    store.view(database, "lineage", lineages, LINEAGE_SCHEMA)
    database.execute(
        f"create table named as select distinct {output_sql('output')} as output from lineage"
    )
    database.execute(
        "create table needed_files as select distinct output from files anti join ledger "
        "using (output) where modified_ms >= $published",
        {"published": _published_ms(kept)},
    )
    database.execute(
        "create table needed_stems as select distinct stem from ledger "
        "where output in (from named) or finished_ms >= $published "
        "union select l.stem from ledger l join needed_files f "
        f"on {has_stem_sql('f.output', 'l.stem')}",
        {"published": _published_ms(kept)},
    )


def _refuse_without_ledger(database: duckdb.DuckDBPyConnection, store: Store) -> None:
    ((missing,),) = database.sql(
        "select count(distinct output) from named semi join files using (output) "
        "anti join ledger using (output)"
    ).fetchall()
    if missing:
        raise LookupError(
            f"the ledger of {store.root} lacks {missing} outputs that snapshots name; "
            f"wavemill verify {store.root} --repair rebuilds it"
        )


_DROPPED = "from ledger where stem not in (from needed_stems)"
_GOING = f"select key from files semi join ({_DROPPED}) using (output)"
_UNKNOWN = (
    "select key from files anti join ledger using (output) anti join needed_files using (output)"
)


def broken_snapshots(store: Store, complete: Sequence[Snapshot]) -> list[str]:
    """Return the folders of snapshots that were interrupted while being written or removed."""
    known = {snapshot.name for snapshot in complete}
    names = {name for name in store.names("snapshots") if name.isdecimal()}
    if not complete and store.exists(LATEST):
        return []  # damaged: for `verify`
    return sorted(f"snapshots/{name}" for name in names - known)


def _leftovers(store: Store, folders: Sequence[str], now_ms: int) -> Iterable[StoredFile]:
    """Yield temporary files of writes that were interrupted (`.<name>.<anything>.tmp`).

    In `manifest` only old ones, since commands without the lock write there too.
    """
    places = (("stages", True, 0), ("snapshots", True, 0), ("manifest", True, LEFTOVER_MS))
    for prefix, recursive, age_ms in (*places, ("", False, LEFTOVER_MS)):
        for file in store.files(prefix, recursive):
            gone = any(file.key.startswith(f"{folder}/") for folder in folders)
            old = now_ms - file.modified_ms >= age_ms
            if is_temporary(file.key) and old and not gone:
                yield file


def _remove_empty_folders(root: Path, removed: set[str], store: Store) -> None:
    folders = {store.path(key).parent for key in removed}
    for folder in sorted({f for path in folders for f in (path, path.parent)}, reverse=True):
        if folder != root:
            with suppress(OSError):  # not empty
                folder.rmdir()
