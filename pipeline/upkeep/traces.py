"""What identifies withdrawn recordings, and errors that name them without their ids.

Errors in the sources may quote the name or the transcript of a recording.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from wavemill.manifests.uri import base_name
from wavemill.pipeline.catalogue import CATALOGUE
from wavemill.pipeline.snapshots import MANIFEST_STAGE, all_snapshots
from wavemill.pipeline.store import Store
from wavemill.pipeline.upkeep.proof import Traces
from wavemill.pipeline.upkeep.rewriting import leaving_damaged

WITHHELD = "(of a recording that was purged)"
SHORTEST_TEXT, LONGEST_TEXT = 8, 16  # characters of a transcript that are searched for in messages
_QUOTING = ("uri", "source", "message")  # columns of an errors table that may name a recording


def find_traces(store: Store, ids: pa.Array) -> Traces:
    """Return what identifies the recordings, as far as the tables still have it."""
    mine: set[str] = set()
    others: set[str] = set()
    texts: set[str] = set()
    for key in _tables(store):
        with leaving_damaged():
            table = store.read_table(key, ["recording_id", "uri", "items"])
            of_them = pc.is_in(table["recording_id"], ids)
            others.update(table.filter(pc.invert(of_them))["uri"].to_pylist())
            for row in table.filter(of_them).to_pylist():
                mine.add(row["uri"])
                for item in row["items"]:
                    texts.update(item[name] or "" for name in ("text", "question", "answer"))
    long_enough = frozenset(text for text in texts if len(text) >= SHORTEST_TEXT)
    return Traces(ids, frozenset(mine - others - {""}), long_enough)


def withhold(errors: pa.Table, traces: Traces) -> pa.Table:
    """Return a table of errors in which no error of the sources names one of the recordings.

    The rows and their reasons stay, since they are still true of the source.
    """
    pattern = _pattern(traces)
    if pattern is None:
        return errors
    rows = errors.to_pylist()
    for row in rows:
        if row["stage"] == MANIFEST_STAGE:
            for name in _QUOTING:
                if pattern.search(row.get(name) or ""):
                    row[name] = WITHHELD
    return pa.Table.from_pylist(rows, schema=errors.schema)


def _tables(store: Store) -> Iterable[str]:
    """Return the tables that list recordings."""
    tables = [f"{snapshot.folder}/recordings.parquet" for snapshot in all_snapshots(store)]
    return [*tables, CATALOGUE] if store.exists(CATALOGUE) else tables


def _pattern(traces: Traces) -> re.Pattern[str] | None:
    """Return a pattern for ids, names and beginnings of texts, since quotes may be cut."""
    names = {*traces.ids.to_pylist(), *traces.uris, *map(base_name, traces.uris)}
    begins = {form[:LONGEST_TEXT] for text in traces.texts for form in (text, repr(text)[1:-1])}
    parts = [
        *(rf"(?<!\w){re.escape(name)}(?!\w)" for name in sorted(names)),
        *map(re.escape, sorted(begins)),
    ]
    return re.compile("|".join(parts)) if parts else None
