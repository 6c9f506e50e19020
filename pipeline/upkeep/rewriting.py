"""Replacing files of a WORKDIR by files without the rows of some recordings."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.store import Store
from pipeline.table_file import TableWriter
from pipeline.task import REPORT
from pipeline.upkeep.proof import mask_of


class Links:
    """Names of the files that are replaced: the WORKDIR has to have them all."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: dict[tuple[int, int], list[int]] = {}  # inode -> names left when replaced

    def note(self, key: str) -> None:
        """Call before a name is given to another file."""
        if self._store.local:
            stat = self._store.path(key).stat()
            self._names.setdefault((stat.st_dev, stat.st_ino), []).append(stat.st_nlink)

    def elsewhere(self) -> int:
        """Return how many files still have a name after all."""
        return sum(min(names) > 1 for names in self._names.values())


def rewrite(store: Store, key: str, ids: pa.Array, changes: dict[str, Any]) -> None:
    """Write a table anew without the recordings' rows, a row group at a time."""
    facts = {k: v for k, v in (store.facts(key) or {}).items() if k != "ARROW:schema"}
    with store.opened(key) as file, store.replacing(key) as path:
        writer = TableWriter(path, file.schema_arrow.remove_metadata())
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            for batch in table.filter(pc.invert(mask_of(table, ids))).to_batches():
                writer.write(batch)
        if REPORT in facts:
            report = {**json.loads(facts[REPORT]), **changes, "rows": writer.rows}
            facts[REPORT] = json.dumps(report)
        writer.close(facts)


def rewrite_small(store: Store, key: str, ids: pa.Array, links: Links) -> bool:
    """Rewrite a table that fits into memory, if it holds rows; return whether it did."""
    table = store.read_table(key)
    mask = mask_of(table, ids)
    if not pc.any(mask).as_py():
        return False
    links.note(key)
    store.write_table(key, table.filter(pc.invert(mask)))
    return True
