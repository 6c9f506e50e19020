"""Dying at any single operation on files, and looking for what is left of a recording."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import pyarrow.parquet as pq

from wavemill.pipeline.store import Store


class Death(BaseException):
    """The process is killed: from here on it changes nothing any more."""


class Fate:
    """Lets so many operations succeed; each one after that raises Death, also while cleaning up."""

    def __init__(self, operations: int) -> None:
        self.left = operations
        self.dead = False

    def step(self) -> None:
        self.dead = self.dead or self.left == 0
        if self.dead:
            raise Death
        self.left -= 1

    def bound(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.step()
            return function(*arguments, **options)

        return call


@contextmanager
def dying_after(operations: int) -> Iterator[Fate]:
    """Kill what runs in the block after so many operations that change files.

    Gives the fate: whether it struck. Death does not leave the block.
    """
    fate = Fate(operations)
    delete_folder = Store.delete_folder

    def one_by_one(store: Store, prefix: str) -> None:
        for file in list(store.files(prefix)):
            store.delete(file.key)
        delete_folder(store, prefix)

    places: list[tuple[Any, str]] = [
        *((Path, name) for name in ("replace", "unlink", "symlink_to", "write_bytes")),
        (os, "link"),
        (Store, "delete"),
    ]
    patches = [
        mock.patch.object(place, name, fate.bound(getattr(place, name))) for place, name in places
    ]
    patches.append(mock.patch.object(Store, "delete_folder", one_by_one))
    for patch in patches:
        patch.start()
    try:
        yield fate
    except Death:
        pass
    finally:
        for patch in patches:
            patch.stop()


def files_that_name(folder: Path, words: Iterable[str]) -> dict[str, str]:
    """Return file -> the word that stands in its bytes, its tables or its name."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.name != "withdrawn.parquet":
            said = f"{path.name}\n{_content(path)}"
            found.update({str(path.relative_to(folder)): word for word in words if word in said})
    return found


def _content(path: Path) -> str:
    if path.suffix == ".parquet":
        return str(pq.read_table(path, partitioning=None).to_pylist())
    if path.suffix == ".duckdb":
        with duckdb.connect(path, read_only=True) as database:
            tables = database.sql("select schema_name, table_name from duckdb_tables()").fetchall()
            return str([database.sql(f'from "{a}"."{b}"').fetchall() for a, b in tables])
    return path.read_bytes().decode("utf-8", "replace")
