"""What withdrawn recordings are known by, and the places that name them without their ids.

Those are rows of errors in the sources, which may quote a name or a transcript, and the sources
that the next `refresh` would ask for.
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
SHORTEST_TEXT, LONGEST_TEXT = 8, 16  # characters of a transcript looked for in messages
_QUOTING = ("uri", "source", "message")  # columns of an errors table that may name a recording


def find_traces(store: Store, ids: pa.Array) -> Traces:
    """Return what recordings are known by, as far as the tables still tell."""
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
    """Return a table of errors in which no row of a source names one of the recordings.

    Such a row stays, with its reason: what it tells of the source is still true.
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
    """Return the tables that tell of recordings."""
    tables = [f"{snapshot.folder}/recordings.parquet" for snapshot in all_snapshots(store)]
    return [*tables, CATALOGUE] if store.exists(CATALOGUE) else tables


def _pattern(traces: Traces) -> re.Pattern[str] | None:
    """Return what finds an id, a name or the beginning of a text; a quoted one may be cut."""
    names = {*traces.ids.to_pylist(), *traces.uris, *map(base_name, traces.uris)}
    begins = {form[:LONGEST_TEXT] for text in traces.texts for form in (text, repr(text)[1:-1])}
    parts = [
        *(rf"(?<!\w){re.escape(name)}(?!\w)" for name in sorted(names)),
        *map(re.escape, sorted(begins)),
    ]
    return re.compile("|".join(parts)) if parts else None
