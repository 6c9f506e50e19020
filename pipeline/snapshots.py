"""Snapshots: numbered, immutable states of the corpora; `corpus` points to the newest.

All files of a snapshot are written before its name goes into `snapshots/LATEST`, which is replaced
atomically: from then on the snapshot exists. The next attempt removes what an interrupted one left.
The link `corpus` is replaced after LATEST; if a run dies in between, the next run corrects the link
(`point_corpus_at_newest`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from wavemill.manifests.recording import SourceError
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.digest import digest_of, digest_of_lines
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.output_key import OutputKey, table_key, table_sql
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import ERRORS_SCHEMA, error_row, lineage_of
from wavemill.pipeline.tombstones import Known, known_of, read_tombstones

LATEST = "snapshots/LATEST"
MANIFEST_STAGE = "manifest"  # `stage` of errors in the sources

LINEAGE_SCHEMA = pa.schema(
    [
        pa.field("lineage_id", pa.string(), False, {"description": "as in the corpus rows"}),
        pa.field("shard_id", pa.string(), False, {"description": "shard of the rows"}),
        pa.field("stage", pa.string(), False, {"description": "stage that took part"}),
        pa.field("fingerprint", pa.string(), False, {"description": "key into stages.parquet"}),
        pa.field("output", pa.string(), False, {"description": "its table, below the WORKDIR"}),
    ]
)
STAGES_SCHEMA = pa.schema(
    [
        pa.field("stage", pa.string(), False, {"description": "name of the stage"}),
        pa.field("fingerprint", pa.string(), False, {"description": "hash of what follows"}),
        pa.field("version", pa.int32(), False, {"description": "version of the stage's code"}),
        pa.field("inputs", pa.list_(pa.string()), False, {"description": "stages it reads"}),
        pa.field("parameters", pa.string(), False, {"description": "JSON: engine, settings"}),
    ]
)
TABLES = ("recordings", "errors", "lineage", "stages")  # of every snapshot, beside its corpora


@dataclass(frozen=True)
class Snapshot:
    """The content of `snapshot.json`."""

    number: int
    parent: int | None
    created: str  # ISO 8601, UTC
    content: str  # digest of parts, recordings and errors: equal content makes no new snapshot
    config: str  # digest of the configuration, which is in config.json
    wavemill: str  # version
    recordings: int
    audio_ms: int  # of all recordings
    errors: int
    rows: dict[str, int]  # corpus -> rows
    parts: dict[str, int] = field(default_factory=dict)  # corpus -> files
    added: int = 0  # recordings that are not in the parent
    removed: int = 0  # recordings that only the parent has
    sha256: dict[str, str] = field(default_factory=dict)  # of its own tables, by file name
    purged: list[str] = field(default_factory=list)  # when recordings' bytes were deleted from it
    tombstones: int = 0  # their number when it was made, and the digest of their ids
    tombstones_sha256: str = ""

    @property
    def name(self) -> str:
        """Its number with six digits."""
        return f"{self.number:06d}"

    @property
    def folder(self) -> str:
        """The key of its folder."""
        return f"snapshots/{self.name}"

    @property
    def known_tombstones(self) -> Known:
        """The tombstones that it remembers."""
        return Known(self.tombstones, self.tombstones_sha256)


_SNAPSHOT = TypeAdapter(Snapshot)
_NUMBER = re.compile(r"\s*[0-9]{1,9}\s*")


def latest_snapshot(store: Store) -> Snapshot | None:
    """Return the newest complete snapshot, or None. Raises WorkdirDamaged."""
    number = latest_number(store)
    if number is None:
        return None
    try:
        return read_snapshot(store, number)
    except FileNotFoundError:
        raise store.damaged(LATEST, f"names snapshot {number}, which is not there") from None


def latest_number(store: Store) -> int | None:
    """Return the number in LATEST; None if nothing was published. Raises WorkdirDamaged."""
    text = store.read_text(LATEST)
    if text is None:
        if store.local and store.path("corpus").is_symlink():
            raise store.damaged(LATEST, "is missing")
        return None
    if _NUMBER.fullmatch(text) is None:
        raise store.damaged(LATEST, "names no snapshot")
    return int(text)


def read_snapshot(store: Store, number: int) -> Snapshot:
    """Return a snapshot. Raises FileNotFoundError if it does not exist, and WorkdirDamaged."""
    key = f"snapshots/{number:06d}/snapshot.json"
    text = store.read_text(key)
    if text is None:
        raise FileNotFoundError(f"no snapshot {number} in {store.root}")
    try:
        snapshot = _SNAPSHOT.validate_json(text, strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise store.damaged(key, f"cannot be read: {place} {problem['msg']}".strip()) from None
    if snapshot.number != number:
        raise store.damaged(key, f"says that it is snapshot {snapshot.number}")
    return snapshot


def all_snapshots(store: Store) -> list[Snapshot]:
    """Return all complete snapshots, oldest first. Raises WorkdirDamaged."""
    latest = latest_snapshot(store)
    if latest is None:
        return []
    numbers = sorted(int(name) for name in store.names("snapshots") if name.isdecimal())
    return [
        read_snapshot(store, n)
        for n in numbers
        # An interrupted removal leaves a folder without it.
        if n <= latest.number and store.exists(f"snapshots/{n:06d}/snapshot.json")
    ]


def write_snapshot(
    store: Store,
    plan: Plan,
    source_errors: Sequence[SourceError],
    config: Mapping[str, Any],
    version: str,
) -> Snapshot:
    """Make a finished plan the newest snapshot, unless the newest has the same content already.

    Returns the newest snapshot. `config` is what it was built with, `version` that of the program.
    """
    outputs = plan.outputs()
    recordings = plan.catalogue.recordings.sort_by("recording_id")
    errors = _errors(plan.errors(store), source_errors)
    tombstones = known_of(read_tombstones(store))
    content = _content(plan, outputs, errors, tombstones)
    previous = latest_snapshot(store)
    if previous is not None and previous.content == content:
        point_corpus_at(store, previous)
        return previous
    number = previous.number + 1 if previous else 1
    folder = f"snapshots/{number:06d}"
    store.delete_folder(folder)
    parts = {
        s.name: _link_parts(store, outputs, s.name, s.schema, folder) for s in plan.graph.corpora
    }
    tables = (recordings, errors, _lineage(plan, outputs), _stages(plan))
    for name, table in zip(TABLES, tables, strict=True):
        store.write_table(f"{folder}/{name}.parquet", table)
    store.write_text(f"{folder}/config.json", json.dumps(dict(config), indent=2) + "\n")
    added, removed = _compare(store, recordings, previous)
    snapshot = Snapshot(
        number=number,
        parent=previous.number if previous else None,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        content=content,
        config=digest_of(dict(config)),
        wavemill=version,
        recordings=recordings.num_rows,
        audio_ms=_sum(recordings["duration_ms"]),
        errors=errors.num_rows,
        rows={name: rows for name, (_, rows) in parts.items()},
        parts={name: files for name, (files, _) in parts.items()},
        added=added,
        removed=removed,
        sha256={f"{n}.parquet": store.sha256(f"{folder}/{n}.parquet") for n in TABLES},
        tombstones=tombstones.count,
        tombstones_sha256=tombstones.sha256,
    )
    save_snapshot(store, snapshot)
    store.write_text(LATEST, snapshot.name + "\n")
    point_corpus_at(store, snapshot)
    return snapshot


def save_snapshot(store: Store, snapshot: Snapshot) -> None:
    """Write the snapshot's `snapshot.json`."""
    text = json.dumps(asdict(snapshot), indent=2)
    store.write_text(f"{snapshot.folder}/snapshot.json", text + "\n")


def _content(plan: Plan, outputs: pa.Table, errors: pa.Table, tombstones: Known) -> str:
    """Return a digest of what a reader sees: parts, recordings with their labels, errors.

    The tombstones count too, so that some snapshot always remembers them.
    """
    corpora = [stage.name for stage in plan.graph.corpora]
    database = plan.catalogue.database
    database.register("outputs", outputs)
    query = (
        f"select coalesce(string_agg(output, chr(10) order by output), '') from outputs where "
        f"stage in ({', '.join(repr(name) for name in corpora)})"
    )
    labels = (
        "select coalesce(string_agg(label_digest, chr(10) order by recording_id), '') "
        "from members where active"
    )
    found = [str(database.execute(text).fetchall()[0][0]) for text in (query, labels)]
    withdrawn = [tombstones.sha256] if tombstones.count else []
    return digest_of_lines([*found, *(str(row) for row in errors.to_pylist()), *withdrawn])


def _link_parts(
    store: Store, outputs: pa.Table, corpus: str, schema: pa.Schema, folder: str
) -> tuple[int, int]:
    """Hard-link the non-empty parts of a corpus; an empty one is one file without rows.

    Returns files and rows.
    """
    mine = outputs.filter(pc.field("stage") == corpus)
    rows = mine["rows"].to_pylist()
    keys = [key for key, count in zip(mine["output"].to_pylist(), rows, strict=True) if count]
    store.link_all(
        (table_key(key), f"{folder}/{corpus}/{OutputKey.parse(key).part}") for key in keys
    )
    if not keys:
        store.write_table(f"{folder}/{corpus}/empty.parquet", schema.empty_table())
    return max(len(keys), 1), sum(rows)


def _errors(of_stages: pa.Table, source_errors: Sequence[SourceError]) -> pa.Table:
    """Add the errors of the sources to those of the stages (ERRORS_SCHEMA)."""
    rows = [
        error_row(MANIFEST_STAGE, None, error.source, error.reason, error.message)
        for error in source_errors
    ]
    table = pa.concat_tables([pa.Table.from_pylist(rows, schema=ERRORS_SCHEMA), of_stages])
    return table.sort_by([(name, "ascending") for name in ("source", "stage", "start_ms")])


def _lineage(plan: Plan, outputs: pa.Table) -> pa.Table:
    """Return, for every part of a corpus, all outputs that its shard's rows come from."""
    database = plan.catalogue.database
    database.register("outputs", outputs)
    tables = []
    for stage in plan.graph.corpora:
        involved = [*plan.graph.ancestors(stage.name), stage.name]
        names = ", ".join(repr(name) for name in involved)
        rows = database.sql(
            "select p.output as part, o.shard_id, o.stage, o.fingerprint, "
            f"{table_sql('o.output')} as output from outputs p join outputs o using (shard_id) "
            f"where p.stage = '{stage.name}' and o.stage in ({names}) order by all"
        ).to_arrow_table()
        ids = {part: lineage_of(part) for part in rows["part"].unique().to_pylist()}
        column = pa.array([ids[part] for part in rows["part"].to_pylist()], pa.string())
        tables.append(rows.append_column("lineage_id", column).select(LINEAGE_SCHEMA.names))
    return pa.concat_tables(tables).cast(LINEAGE_SCHEMA)


def _stages(plan: Plan) -> pa.Table:
    rows = [
        {
            "stage": stage.name,
            "fingerprint": plan.graph.fingerprints[stage.name],
            "version": stage.version,
            "inputs": list(stage.inputs),
            "parameters": json.dumps(dict(stage.parameters), sort_keys=True),
        }
        for stage in plan.graph.stages.values()
    ]
    return pa.Table.from_pylist(rows, schema=STAGES_SCHEMA)


def _compare(store: Store, recordings: pa.Table, previous: Snapshot | None) -> tuple[int, int]:
    """Return how many recordings are new since the previous snapshot, and how many are gone."""
    if previous is None:
        return recordings.num_rows, 0
    known = store.read_table(f"{previous.folder}/recordings.parquet", ["recording_id"])
    with memory_database() as database:
        database.register("today", recordings.select(["recording_id"]))
        database.register("known", known)
        new, gone = (
            database.execute(
                f"select count(*) from {one} anti join {other} using (recording_id)"
            ).fetchall()[0][0]
            for one, other in (("today", "known"), ("known", "today"))
        )
    return int(new), int(gone)


def _sum(column: pa.ChunkedArray) -> int:
    return int(pc.sum(column).as_py() or 0)


def point_corpus_at_newest(store: Store) -> None:
    """Set the link `corpus` to the newest snapshot, in case a run died before it did so."""
    newest = latest_snapshot(store)
    if newest is not None:
        point_corpus_at(store, newest)


def point_corpus_at(store: Store, snapshot: Snapshot) -> None:
    """Replace the link `corpus` in one step; an object store has no links, only LATEST.

    Raises ConfigError if `corpus` is not a link, for example a copied folder.
    """
    if not store.local:
        return
    link, temporary = store.path("corpus"), store.path(".corpus.tmp")
    if link.is_symlink() and str(link.readlink()) == snapshot.folder:
        return
    if link.exists() and not link.is_symlink():
        raise ConfigError(f"{link} is not a link to the newest snapshot; move it away")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(snapshot.folder)
    temporary.replace(link)
