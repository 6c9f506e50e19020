"""Tombstones: which recordings were withdrawn, and whether their bytes must be deleted.

They are in one file, `manifest/withdrawn.parquet`. Rows are added or changed, but never removed or
moved: a snapshot remembers their number and a digest of their ids, so that lost tombstones are
noticed before a withdrawn recording comes back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.digest import digest_of, digest_of_lines
from wavemill.pipeline.store import Store

WITHDRAWN = "manifest/withdrawn.parquet"
_CONTENT = b"wavemill.tombstones"  # key of a digest of the rows


def _field(name: str, kind: pa.DataType, description: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


SCHEMA = pa.schema(
    [
        _field("recording_id", pa.string(), "recording that stays out; nothing else is kept of it"),
        _field("reason", pa.string(), "why, as it was given"),
        _field("withdrawn_ms", pa.int64(), "when, in ms since 1970"),
        _field("purge", pa.bool_(), "whether its bytes are to be deleted from every file"),
        _field(
            "asked",
            pa.list_(pa.string()),
            "SHA-256 of the id and of each name that it was withdrawn by: the same command finds "
            "it again when its name stands nowhere else",
        ),
        _field("lifted_ms", pa.int64(), "when it was let in again; null: it stays out", True),
    ]
)


@dataclass(frozen=True)
class Known:
    """What a snapshot remembers about the tombstones."""

    count: int = 0
    sha256: str = ""  # of the ids, in their order


def read_tombstones(store: Store) -> pa.Table:
    """Return all tombstones (SCHEMA), lifted ones too. Raises ConfigError for a damaged file."""
    if not store.exists(WITHDRAWN):
        return SCHEMA.empty_table()
    try:
        with (
            store.open_file(WITHDRAWN) as source,
            pq.ParquetFile(source, page_checksum_verification=True) as file,
        ):
            table = file.read()
        completed = _completed(table).cast(SCHEMA)
        facts = table.schema.metadata or {}
        if _CONTENT in facts and facts[_CONTENT] != _content(completed):
            raise ValueError("other content than was written")
        return completed
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise ConfigError(f"{store.root}/{WITHDRAWN} cannot be read: {_remedy(store)}") from error


def in_force(tombstones: pa.Table) -> pa.Table:
    """Return the tombstones that were not lifted."""
    return tombstones.filter(pc.is_null(tombstones["lifted_ms"]))


def known_of(tombstones: pa.Table) -> Known:
    """Return what a snapshot that is made now must remember."""
    return Known(tombstones.num_rows, _digest(tombstones)) if tombstones.num_rows else Known()


def are_lost(tombstones: pa.Table, known: Known) -> bool:
    """Whether tombstones are missing that a snapshot remembers."""
    return bool(known.count) and _digest(tombstones.slice(0, known.count)) != known.sha256


def check_tombstones(store: Store, tombstones: pa.Table, known: Known) -> None:
    """Raise ConfigError if tombstones are missing that a snapshot remembers."""
    if are_lost(tombstones, known):
        raise ConfigError(
            f"{store.root}/{WITHDRAWN} lacks tombstones that the newest snapshot knew of: "
            f"{_remedy(store)}"
        )


def with_tombstones(
    tombstones: pa.Table, asked: Mapping[str, Sequence[str]], reason: str, now_ms: int, purge: bool
) -> pa.Table:
    """Return the tombstones and those of more recordings.

    `asked` maps a recording id to the names by which it was withdrawn. A tombstone that is in
    force keeps its reason and time; only the names, and `purge`, are added.
    """
    rows = {row["recording_id"]: row for row in tombstones.to_pylist()}
    for recording_id, names in asked.items():
        row = rows.get(recording_id)
        if row is None or row["lifted_ms"] is not None:
            row = {"recording_id": recording_id, "purge": False, "asked": [], "lifted_ms": None}
            row |= {"reason": reason, "withdrawn_ms": now_ms}
        hashes = [asked_hash(recording_id, name) for name in names]
        row["asked"] = list(dict.fromkeys([*row["asked"], *hashes]))
        row["purge"] |= purge
        rows[recording_id] = row  # a new one comes last
    return pa.Table.from_pylist(list(rows.values()), schema=SCHEMA)


def asked_hash(recording_id: str, name: str) -> str:
    """Return the hash that a tombstone keeps of a name by which its recording was withdrawn."""
    return hashlib.sha256(f"{recording_id}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()


def write_tombstones(store: Store, tombstones: pa.Table) -> None:
    """Replace the file in one step."""
    marked = tombstones.replace_schema_metadata({_CONTENT: _content(tombstones)})
    with store.replacing(WITHDRAWN) as path:
        pq.write_table(marked, path, compression="zstd", write_page_checksum=True)


def _content(tombstones: pa.Table) -> bytes:
    """Return a digest of all rows; the checksums of pages do not cover everything."""
    return digest_of(tombstones.to_pylist(), 64).encode()


def _completed(table: pa.Table) -> pa.Table:
    """Add columns that earlier versions did not write."""
    rows = table.num_rows
    for name, value in (("purge", False), ("asked", []), ("lifted_ms", None)):
        if name not in table.column_names:
            kind = SCHEMA.field(name).type
            table = table.append_column(name, pa.array([value] * rows, kind))
    return table.select(SCHEMA.names)


def _digest(tombstones: pa.Table) -> str:
    return digest_of_lines(tombstones["recording_id"].to_pylist(), 64)


def _remedy(store: Store) -> str:
    return (
        "restore it from a backup, or what was withdrawn comes back "
        f"(wavemill verify {store.root} --repair goes on without it)"
    )
