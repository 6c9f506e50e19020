"""Replacing files of a WORKDIR by files without the rows of some recordings.

`manifest/purge.json` is written first. It lists the files that will be replaced and their hashes,
so that a run which continues after an interruption knows which recorded hashes must be renewed, and
that the files were sound. For a file that was damaged before, the recorded hash stays, and `verify`
goes on reporting it.
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
    """The list of files that a purge replaces; it exists until the purge is proven."""

    def __init__(self, store: Store) -> None:
        """Read the list of an interrupted purge, if there is one."""
        self._store = store
        self._replaced: dict[str, str | None] = {}  # key -> recorded hash; None: unknown, damaged
        self._elsewhere: set[str] = set()
        try:
            found = json.loads(store.read_text(JOURNAL) or "{}")
            self._replaced.update(found.get("replaced", {}))
            self._elsewhere.update(found.get("elsewhere", ()))
        except (ValueError, AttributeError, TypeError):
            pass  # damaged: `verify` reports what it would have told

    @property
    def keys(self) -> Iterable[str]:
        """The files that are replaced."""
        return self._replaced.keys()

    @property
    def elsewhere(self) -> int:
        """How many of the files had a hard link outside the WORKDIR."""
        return len(self._elsewhere)

    def begin(self, keys: Iterable[str], recorded: Mapping[str, str | None]) -> None:
        """Store which files will be replaced; `recorded` are the hashes known of files."""
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
        """Return the hash to record for a file: a new one if the file was replaced."""
        if recorded is None or self._replaced.get(key) != recorded:
            return recorded
        return self._store.sha256(key) if self._store.exists(key) else None

    def end(self) -> None:
        """Remove the list: the purge is done."""
        self._store.delete(JOURNAL)

    def _linked_elsewhere(self, keys: Iterable[str]) -> Iterable[str]:
        """Return one key of each file that has more hard links than `keys` names."""
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
    """Ignore a table that is missing or cannot be read: the proof reports it."""
    try:
        yield
    except (pa.ArrowException, FileNotFoundError):
        pass
    except OSError as error:
        if error.errno is not None:  # an error of the disk, not of the table
            raise


def rewrite(store: Store, key: str, traces: Traces, changes: Mapping[str, Any]) -> None:
    """Rewrite a table without the rows of the recordings, one row group at a time.

    `changes` are new values for the task result in its metadata.
    """
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
