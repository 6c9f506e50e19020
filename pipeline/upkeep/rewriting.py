"""Replacing files of a WORKDIR by files without the rows of some recordings.

What is going to be replaced is written down before, in `manifest/purge.json`, with the hashes that
the files had: so whoever goes on after an interruption knows which recorded hashes are to be
renewed, and that the files were sound. The hash of a file that was damaged before stays as it was
recorded, and `verify` goes on to name it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wavemill.pipeline.store import Store
from wavemill.pipeline.table_file import TableWriter
from wavemill.pipeline.task import TASK_RESULT
from wavemill.pipeline.upkeep.proof import Traces, mask_of

JOURNAL = "manifest/purge.json"


class Journal:
    """The files that a purge replaces, from before the first until all is proven."""

    def __init__(self, store: Store) -> None:
        """Go on with what an interrupted purge wrote, if there is something."""
        self._store = store
        self._replaced: dict[str, str | None] = {}  # key -> recorded hash; None: unknown, damaged
        self._elsewhere: set[str] = set()
        try:
            found = json.loads(store.read_text(JOURNAL) or "{}")
            self._replaced.update(found.get("replaced", {}))
            self._elsewhere.update(found.get("elsewhere", ()))
        except (ValueError, AttributeError, TypeError):
            pass  # damaged: `verify` names what it would have told of

    @property
    def keys(self) -> Iterable[str]:
        return self._replaced.keys()

    @property
    def elsewhere(self) -> int:
        """How many files that are replaced had a name outside the WORKDIR as well."""
        return len(self._elsewhere)

    def begin(self, keys: Iterable[str], recorded: Mapping[str, str | None]) -> None:
        """Write down what will be replaced; `recorded`: the hashes that are known of files."""
        keys = sorted(keys)
        for key in keys:
            if self._replaced.get(key) is None:
                sha256 = recorded.get(key)
                sound = sha256 is not None and self._store.sha256(key) == sha256
                self._replaced[key] = sha256 if sound else None
        self._elsewhere.update(self._linked_elsewhere(keys))
        content = {"replaced": self._replaced, "elsewhere": sorted(self._elsewhere)}
        self._store.write_text(JOURNAL, json.dumps(content, indent=2) + "\n")

    def renewed(self, key: str, recorded: str | None) -> str | None:
        """Return what is to be recorded as the hash of a file: a new one where it was replaced."""
        if recorded is None or self._replaced.get(key) != recorded:
            return recorded
        return self._store.sha256(key) if self._store.exists(key) else None

    def end(self) -> None:
        self._store.delete(JOURNAL)

    def _linked_elsewhere(self, keys: Iterable[str]) -> Iterable[str]:
        """Return one key of each file that has more names than the WORKDIR knows."""
        if not self._store.local:
            return []
        names: dict[tuple[int, int], list[str]] = {}
        links: dict[tuple[int, int], int] = {}
        for key in keys:
            stat = self._store.path(key).stat()
            names.setdefault((stat.st_dev, stat.st_ino), []).append(key)
            links[stat.st_dev, stat.st_ino] = stat.st_nlink
        return [names[file][0] for file, count in links.items() if count > len(names[file])]


def is_begun(store: Store) -> bool:
    """Whether a purge was interrupted."""
    return store.exists(JOURNAL)


@contextmanager
def leaving_damaged() -> Iterator[None]:
    """Go on after a table that is missing or cannot be read: the proof names what is left."""
    try:
        yield
    except (pa.ArrowException, FileNotFoundError):
        pass
    except OSError as error:
        if error.errno is not None:  # the disk's trouble, say, not that of the table
            raise


def rewrite(store: Store, key: str, traces: Traces, changes: Mapping[str, Any]) -> None:
    """Write a table anew without the recordings' rows, a row group at a time."""
    facts = {k: v for k, v in (store.facts(key) or {}).items() if k != "ARROW:schema"}
    with store.opened(key) as file, store.replacing(key) as path:
        writer = TableWriter(path, file.schema_arrow.remove_metadata())
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            for batch in table.filter(pc.invert(mask_of(table, traces))).to_batches():
                writer.write(batch)
        if TASK_RESULT in facts:
            result = {**json.loads(facts[TASK_RESULT]), **changes, "rows": writer.rows}
            facts[TASK_RESULT] = json.dumps(result)
        writer.close(facts)


def rewrite_small(store: Store, key: str, traces: Traces) -> pa.Table:
    """Rewrite a table that fits into memory, and return it."""
    table = store.read_table(key)
    left = table.filter(pc.invert(mask_of(table, traces)))
    store.write_table(key, left)
    return left
