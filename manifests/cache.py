"""The hash cache: hash and length of files that have not changed since they were last read.

It is one Parquet file. A scan that reads many files adds parts to it as it goes, files of the rows
that are new, so that a scan that is killed loses little; the next save joins them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from wavemill.manifests.filesystems import Stamp
from wavemill.manifests.gc_pause import paused_gc

_VERSION = "1"
_VERSION_KEY = b"wavemill.hash_cache"
_PROBE_KEY = b"wavemill.probe"
MAX_PARTS = 64  # before they are joined


def _field(name: str, kind: pa.DataType, description: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


SCHEMA = pa.schema(
    [
        _field("uri", pa.string(), "path, or shard.tar#member"),
        _field("size", pa.int64(), "bytes of the file (of the tar file, for a member)"),
        _field("mtime_ns", pa.int64(), "modification time of that file, ns since 1970"),
        _field(
            "recording_id",
            pa.string(),
            "hash of the content; empty for a file that is not a recording",
        ),
        _field("duration_ms", pa.int64(), "length that the probe found; 0 if there is none"),
        _field("reason", pa.string(), "why it is not a recording, else null", nullable=True),
        _field("message", pa.string(), "the same for a person", nullable=True),
        _field("channels", pa.int16(), "that the probe found; null: not noted", nullable=True),
    ]
)


class Known(NamedTuple):
    """What is known of one file; if `reason` is set, it is not a recording."""

    size: int
    mtime_ns: int
    recording_id: str  # empty if it is not a recording
    duration_ms: int  # 0 likewise
    reason: str | None = None
    message: str | None = None
    channels: int | None = None  # None if it is not a recording


class CacheFiles(Protocol):
    """What stores the file of the cache: the store of a WORKDIR."""

    def open_file(self, key: str) -> pa.NativeFile:
        """Open a file for reading. Raises OSError."""

    def replacing(self, key: str) -> AbstractContextManager[Path]:
        """Yield a local path to write to; the file becomes `key` if the block succeeds."""

    def delete_all(self, keys: Iterable[str]) -> None:
        """Remove files, if they exist."""


class HashCache:
    """Known files by uri, in memory and, if `files` is given, in one Parquet file.

    A file that cannot be read as a cache counts as an empty one: everything is hashed again. The
    cache keeps files that a scan does not find, so that scans of different sources can share it.
    """

    def __init__(
        self,
        files: CacheFiles | None = None,
        key: str = "",
        probe_version: str = "",
        forgotten: Callable[[], Set[str]] = frozenset,
    ) -> None:
        """`save` does not write the recordings whose ids `forgotten` returns."""
        self._files, self._key = files, key
        self._forgotten = forgotten
        self._probe_version = probe_version
        self._known: dict[str, Known] = {}
        self._changed = False
        self._new: dict[str, Known] = {}  # in no file yet
        self._parts = 0

    @classmethod
    def load(
        cls,
        files: CacheFiles,
        key: str,
        probe_version: str = "",
        forgotten: Callable[[], Set[str]] = frozenset,
    ) -> HashCache:
        """Read the cache that `files` hold under `key`.

        A cache of another `probe_version` is ignored: the probe may support more formats by now, or
        measure differently.
        """
        cache = cls(files, key, probe_version, forgotten)
        cache._read(key)
        for number in count():
            if not cache._read(cache._part(number)):
                cache._parts = number
                break
        cache._changed = cache._parts > 0
        return cache

    def _read(self, key: str) -> bool:
        """Add what a file says, if it can be read; returns whether it is there."""
        if self._files is None:
            return False
        try:
            # The checksums keep a flipped bit from changing the id of a recording.
            with (
                self._files.open_file(key) as source,
                pq.ParquetFile(source, page_checksum_verification=True) as file,
            ):
                table = file.read()
        except FileNotFoundError:
            return False
        except (OSError, pa.ArrowException):
            return True
        about = table.schema.metadata or {}
        if table.schema.equals(SCHEMA) and self._metadata().items() <= about.items():
            with paused_gc():
                columns = [table.column(name).to_pylist() for name in SCHEMA.names[1:]]
                rows = map(Known._make, zip(*columns, strict=True))
                self._known.update(zip(table.column("uri").to_pylist(), rows, strict=True))
        return True

    def _part(self, number: int) -> str:
        return f"{self._key.removesuffix('.parquet')}-{number:04d}.parquet"

    def get(self, uri: str, stamp: Stamp) -> Known | None:
        """Return what is known of a file, or None if it is new or has changed."""
        known = self._known.get(uri)
        if known is None or known[0] != stamp[0] or known[1] != stamp[1]:
            return None
        return known

    def put(self, uri: str, known: Known) -> None:
        """Store what is known of a file."""
        self._known[uri] = self._new[uri] = known
        self._changed = True

    def forget(self, uri: str) -> None:
        """Remove a file, so that it is read again."""
        self._changed |= self._known.pop(uri, None) is not None
        self._new.pop(uri, None)

    def save(self) -> None:
        """Write the cache file if anything changed, in one step. Raises OSError."""
        if self._files is None or not self._changed:
            return
        self._known = self._write(self._key, self._known)
        self._files.delete_all(self._part(number) for number in range(self._parts))
        self._new, self._parts, self._changed = {}, 0, False

    @property
    def unsaved(self) -> int:
        """How many files were put since the last save, of all or of what is new."""
        return len(self._new)

    def save_new(self) -> None:
        """Write what was put since the last call as one more part. Raises OSError."""
        if self._files is None or not self._new:
            return
        if self._parts >= MAX_PARTS:
            self.save()
            return
        self._write(self._part(self._parts), self._new)
        self._new, self._parts = {}, self._parts + 1

    def _write(self, key: str, known: Mapping[str, Known]) -> dict[str, Known]:
        """Write a file of the cache; returns what of `known` it has."""
        assert self._files is not None
        with self._files.replacing(key) as path:
            forgotten = self._forgotten()
            kept = {uri: one for uri, one in known.items() if one.recording_id not in forgotten}
            pq.write_table(self._table(kept), path, write_page_checksum=True)
        return kept

    def _metadata(self) -> dict[bytes, bytes]:
        return {_VERSION_KEY: _VERSION.encode(), _PROBE_KEY: self._probe_version.encode()}

    def _table(self, known: Mapping[str, Known]) -> pa.Table:
        rows = list(known.values())
        columns = [list(known), *zip(*rows, strict=True)] if rows else [[] for _ in SCHEMA]
        return pa.table(
            [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)],
            schema=SCHEMA.with_metadata(self._metadata()),
        )
