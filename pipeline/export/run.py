"""Writing an export: a part for each table of the corpus, then data.jsonl of all of them.

A part is finished when its lines are there, which are written last. So a killed export goes on
where it stood, and one of a new snapshot writes what changed and removes what is gone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.export.format import AudioOptions, Folder, Format
from wavemill.pipeline.quality.database import outputs_of
from wavemill.pipeline.snapshots import Snapshot
from wavemill.pipeline.store import Store, is_temporary

DESCRIPTION = "export.json"
DATA = "data.jsonl"
LINES = "parts"  # the folder of the lines of finished parts
AUDIO = "audio"  # the folder of all other files
BATCH_ROWS = 16  # of a corpus, whose audio is in memory at once


@dataclass(frozen=True)
class Selection:
    """Which rows are exported."""

    split: str | None = None  # train, validation, test, or as the sources name it


@dataclass(frozen=True)
class Exported:
    """What an export has written and left."""

    rows: int  # lines of data.jsonl
    left_out: int  # rows that have no place in the format
    written: int  # parts
    kept: int  # parts that were there
    removed: int


def _silent(_done: int, _of: int) -> None:
    pass


def export(
    store: Store,
    snapshot: Snapshot,
    made: Format,
    to: Store,
    options: AudioOptions,
    selection: Selection,
    on_part: Callable[[int, int], None] = _silent,
) -> Exported:
    """Write the corpora of a snapshot that `made` takes into `to`; a second call goes on.

    `on_part` is told how many parts are done. Raises ConfigError where `to` holds something else,
    or the snapshot has no rows for the format.
    """
    parts = _parts(store, snapshot, made)
    if not parts:
        wanted = " or ".join(made.corpora)
        raise ConfigError(
            f"snapshot {snapshot.number} has no rows in {wanted}, of which {made.name} is made"
        )
    _claim(to, {"format": made.name, "audio": asdict(options), "selection": asdict(selection)})
    there = {name.removesuffix(".jsonl") for name in to.names(LINES) if not is_temporary(name)}
    gone = sorted(there - parts.keys())
    for name in gone:
        to.delete(f"{LINES}/{name}.jsonl")  # first: without it the part is not finished
        to.delete_folder(f"{AUDIO}/{name}")
    todo = [name for name in parts if name not in there]
    for done, name in enumerate(todo):
        on_part(done, len(todo))
        _write_part(store, parts[name], made, to, name, options, selection)
    on_part(len(todo), len(todo))
    rows, left_out = _join(to, list(parts))
    return Exported(rows, left_out, len(todo), len(parts) - len(todo), len(gone))


def _parts(store: Store, snapshot: Snapshot, made: Format) -> dict[str, str]:
    """Return the keys of tables by the names of their parts, which change with the content."""
    corpora = [name for name in made.corpora if snapshot.rows.get(name)]
    outputs = outputs_of(store, snapshot, corpora)
    found = {}
    for corpus in corpora:
        for key in outputs.get(corpus, ()):
            # The size too: a purge replaces a table in its place.
            identity = f"{key} {store.size(key)}"
            found[f"{corpus}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"] = key
    return dict(sorted(found.items()))


def _claim(to: Store, description: Mapping[str, Any]) -> None:
    """Say what the folder holds, or see that it holds the same."""
    text = to.read_text(DESCRIPTION)
    if text is None:
        if any(True for _ in to.keys("")):
            raise ConfigError(f"{to.root} holds other files; name a new or empty folder")
        to.write_text(DESCRIPTION, json.dumps(description, indent=2) + "\n")
        return
    try:
        held = json.loads(text)
    except ValueError:
        held = None
    if held != json.loads(json.dumps(description)):
        raise ConfigError(
            f"{to.root} holds an export with other settings ({DESCRIPTION}); name another folder, "
            "or the same settings"
        )


def _write_part(
    store: Store,
    key: str,
    made: Format,
    to: Store,
    name: str,
    options: AudioOptions,
    selection: Selection,
) -> None:
    folder = Folder(to, f"{AUDIO}/{name}", options)
    lines: list[dict[str, Any]] = []
    left_out = 0
    for row in _rows(store, key):
        if selection.split is not None and row["split"] != selection.split:
            continue
        found = list(made.lines(row, folder))
        left_out += not found
        lines += found
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    to.write_text(f"{LINES}/{name}.jsonl", json.dumps({"left_out": left_out}) + "\n" + text)


def _rows(store: Store, key: str) -> Iterator[dict[str, Any]]:
    with store.opened(key) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            yield from batch.to_pylist()


def _join(to: Store, names: list[str]) -> tuple[int, int]:
    """Write data.jsonl of all parts; return its lines, and the rows that are left out."""
    rows = left_out = 0
    with to.replacing(DATA) as path, path.open("w", encoding="utf-8") as data:
        for name in names:
            head, _, lines = (to.read_text(f"{LINES}/{name}.jsonl") or "{}\n").partition("\n")
            left_out += json.loads(head).get("left_out", 0)
            rows += lines.count("\n")
            data.write(lines)
    return rows, left_out
