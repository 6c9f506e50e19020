"""The WORKDIR: immutable files under keys, each complete from the moment it exists."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from wavemill.manifests.filesystems import LocationError, is_url, split_options, without_file_scheme
from wavemill.pipeline.damage import Recorded, WorkdirDamaged, difference, parsing
from wavemill.pipeline.remote import in_parallel, locate_workdir, uploading
from wavemill.pipeline.table_file import TableFile

SMALL_BYTES = 1 << 20  # a remote table up to this size is read whole
_READ_BYTES = 4 << 20
_PATTERN = re.compile(r"[*?[]")  # DuckDB reads a path with these as a pattern


@dataclass(frozen=True)
class StoredFile:
    """A file in a listing."""

    key: str
    bytes: int
    modified_ms: int  # since 1970


@dataclass(frozen=True)
class Store:
    """Files under one root, named by keys such as `stages/denoise/0f3a.../7c21....parquet`.

    On a local file system, a file is written under a temporary name beside its place and then
    renamed. For an object store, a file is written on this machine and uploaded when it is
    complete; the object appears, or replaces the older one, when its upload completes. In both
    cases a reader never sees half of a file, and two writers of the same key leave one complete
    file. Files that must change together are named by one small file, LATEST, which is replaced
    last. To survive a loss of power, the bytes of a local file are synced to the disk before it is
    renamed, and its folder is synced before a call returns.

    A killed upload leaves no object. It leaves its file in the machine's temporary folder and,
    above a few MB, parts that S3 keeps unseen until a lifecycle rule of the bucket
    (AbortIncompleteMultipartUpload) removes them.
    """

    root: str  # as the user names it, without options
    filesystem: fs.FileSystem = field(default_factory=fs.LocalFileSystem)
    base: str = ""  # the root as the file system names it, if that differs
    # key -> SHA-256, size and time at the last `check` that found no difference
    _sound: dict[str, tuple[str, int | None, int | None]] = field(
        default_factory=dict, compare=False, repr=False
    )

    @classmethod
    def open(cls, location: str | Path) -> Store:
        """Return the store at a path or URL (see `wavemill.manifests.filesystems`).

        Raises LocationError if the URL cannot be used, its bucket does not exist, or the path is
        a file.
        """
        name = without_file_scheme(str(location))
        if not is_url(name):
            if Path(name).is_file():
                raise LocationError(
                    f"{name} is a file; name the folder of a build (--out of wavemill curate)"
                )
            return cls(str(Path(name).absolute()))
        filesystem, base = locate_workdir(name)
        return cls(split_options(name)[0].rstrip("/"), filesystem, base)

    @property
    def local(self) -> bool:
        """Whether it is on a local file system."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def path(self, key: str) -> Path:
        """Return the local path of a key. Raises ValueError for a store that is not local."""
        if not self.local:
            raise ValueError(f"{self.root} is not on a local file system")
        return Path(self.root) / key

    def exists(self, key: str) -> bool:
        """Whether there is a file with this key."""
        return self._info(key).type == fs.FileType.File

    def size(self, key: str) -> int:
        """Return the bytes of a file. Raises FileNotFoundError."""
        info = self._info(key)
        if info.type != fs.FileType.File:
            raise FileNotFoundError(self._full(key))
        return int(info.size)

    def names(self, prefix: str) -> set[str]:
        """Return the names of the complete files and folders directly under `prefix`."""
        if self.filesystem.type_name == "gcs":  # pyarrow does not list folders there
            skip = len(prefix) + 1 if prefix else 0
            return {key[skip:].partition("/")[0] for key in self.keys(prefix)}
        selector = fs.FileSelector(self._full(prefix), allow_not_found=True)
        found = (info.base_name for info in self.filesystem.get_file_info(selector))
        return {name for name in found if not name.startswith(".")}

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys of all complete files below `prefix`."""
        selector = fs.FileSelector(self._full(prefix), allow_not_found=True, recursive=True)
        for info in self.filesystem.get_file_info(selector):
            if info.type == fs.FileType.File and not info.base_name.startswith("."):
                yield info.path[len(self._full("")) :].lstrip("/")

    def files(self, prefix: str, recursive: bool = True) -> Iterator[StoredFile]:
        """Yield every file below `prefix` (or directly in it), unfinished ones as well."""
        root = self._full("")
        selector = fs.FileSelector(self._full(prefix), allow_not_found=True, recursive=recursive)
        for info in self.filesystem.get_file_info(selector):
            if info.type == fs.FileType.File:
                key = info.path[len(root) :].lstrip("/")
                modified_ms = (info.mtime_ns or 0) // 1_000_000
                yield StoredFile(key, int(info.size), modified_ms)

    @contextmanager
    def replacing(self, key: str) -> Iterator[Path]:
        """Yield a temporary local path; the file becomes `key` if the block succeeds."""
        if not self.local:
            with uploading(self.filesystem, self._full(key)) as temporary:
                yield temporary
            return
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
        except OSError as error:
            names = (None, str(temporary))
            if error.filename in names or error.filename2 in names[1:]:
                error.filename, error.filename2 = str(path), None
            raise
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def write_text(self, key: str, text: str) -> None:
        """Write a UTF-8 text file."""
        with self.replacing(key) as path:
            path.write_text(text, encoding="utf-8")

    def read_text(self, key: str) -> str | None:
        """Return the text of a file, or None if it does not exist. Raises WorkdirDamaged."""
        try:
            with self.open_file(key) as file:
                return file.read().decode("utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise self.damaged(key, "is not text") from None

    def open_file(self, key: str) -> pa.NativeFile:
        """Open a file for reading, seekable. Raises FileNotFoundError."""
        return self.filesystem.open_input_file(self._full(key))

    def write_table(self, key: str, table: pa.Table, row_group_size: int | None = None) -> None:
        """Write a Parquet file; None: row groups of a million rows."""
        with self.replacing(key) as path:
            pq.write_table(
                table, path, row_group_size, compression="zstd", write_page_checksum=True
            )

    def read_table(self, key: str, columns: list[str] | None = None) -> pa.Table:
        """Return a table. Raises FileNotFoundError, and WorkdirDamaged."""
        with parsing(self.root, key), self._parquet(key) as file:
            table = file.read(columns=columns)
            if table.num_rows != file.metadata.num_rows:  # checksums cover pages, not the footer
                raise self.damaged(key, "holds another number of rows than it says")
            return table

    def read_tables(self, keys: Iterable[str], columns: list[str] | None = None) -> list[pa.Table]:
        """Return what `read_table` does for each key; remote tables are read in parallel."""
        if self.local:
            return [self.read_table(key, columns) for key in keys]
        return in_parallel(lambda key: self.read_table(key, columns), keys)

    def opened(self, key: str) -> pq.ParquetFile:
        """Open a Parquet file; the caller closes it.

        Raises FileNotFoundError, and WorkdirDamaged.
        """
        with parsing(self.root, key):
            return self._parquet(key)

    def open_table(self, key: str) -> TableFile:
        """Open the table of a stage, to read the rows of one recording at a time.

        Raises FileNotFoundError and WorkdirDamaged; reading from it raises WorkdirDamaged too.
        """
        with parsing(self.root, key):
            file = self._parquet(key, memory_map=True)
        return TableFile(file, partial(parsing, self.root, key))

    def check(self, key: str, recorded: Recorded) -> None:
        """Raise WorkdirDamaged if a file differs from what the ledger has recorded.

        Its bytes are hashed once, and again if its size or time has changed.
        """
        info = self._info(key)
        now = (recorded.sha256, info.size, info.mtime_ns)
        if self._sound.get(key) == now:
            return
        if problem := difference(self, key, recorded):
            raise self.damaged(key, problem)
        self._sound[key] = now

    def damaged(self, key: str, problem: str) -> WorkdirDamaged:
        """Return the exception that names a file of this WORKDIR and the remedy."""
        return WorkdirDamaged(self.root, key, problem)

    def facts(self, key: str) -> dict[str, str] | None:
        """Return the key-value metadata of a Parquet file; None if it is missing or damaged."""
        try:
            with self._parquet(key) as file:
                found = file.metadata.metadata or {}
        except (OSError, ValueError):
            return None
        return {k.decode(): v.decode() for k, v in found.items()}

    def view(
        self, database: duckdb.DuckDBPyConnection, name: str, keys: Sequence[str], schema: pa.Schema
    ) -> None:
        """Make Parquet files a view of a DuckDB connection; without files it is empty.

        Of remote files, all columns in `schema` are read now, so it should have few.
        """
        database.unregister(name)
        database.execute(f'drop view if exists "{name}"')
        if not keys:
            database.register(name, schema.empty_table())
        elif (scan := self.scan(keys)) is not None:
            database.execute(f'create temp view "{name}" as from {scan}')
        else:
            database.register(name, pa.concat_tables(self.read_tables(keys, schema.names)))

    def scan(self, keys: Sequence[str], filename: bool = False) -> str | None:
        """Return SQL with which DuckDB reads Parquet files, with their `filename` if asked for.

        None if there are no files, or DuckDB cannot read them: on another file system, or below a
        folder whose name has both a backslash and a pattern character.
        """
        paths = [str(self.path(key)) for key in keys] if self.local else []
        if not paths or any("\\" in path and _PATTERN.search(path) for path in paths):
            return None
        files = ", ".join(_sql_text(_PATTERN.sub(r"[\g<0>]", path)) for path in paths)
        # A folder `language=en` above the WORKDIR is not a column of the rows.
        return f"read_parquet([{files}], filename = {filename}, hive_partitioning = false)"

    def sha256(self, key: str) -> str:
        """Return the SHA-256 (64 hex digits) of a file's bytes. Raises FileNotFoundError."""
        with self.open_file(key) as file:
            return _sha256(file)

    def link(self, source: str, target: str) -> None:
        """Make `target` the same file as `source`: a hard link, or a copy if links do not work."""
        if not self.local:
            self.filesystem.copy_file(self._full(source), self._full(target))
            return
        destination = self.path(target)
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(self.path(source), destination)
        except FileExistsError:
            return
        except OSError:  # another file system, or one without hard links
            with self.replacing(target) as path:
                path.write_bytes(self.path(source).read_bytes())

    def relink(self, source: str, target: str) -> None:
        """Replace an existing `target` by a link to `source`, in one step."""
        if not self.local:
            self.link(source, target)  # a copy replaces what was there
            return
        with self.replacing(target) as path:
            try:
                os.link(self.path(source), path)
            except OSError:  # another file system, or one without hard links
                path.write_bytes(self.path(source).read_bytes())

    def link_all(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Call `link` for each (source, target)."""
        if self.local:
            for source, target in pairs:
                self.link(source, target)
        else:
            in_parallel(lambda pair: self.link(*pair), pairs)

    def delete(self, key: str) -> None:
        """Remove a file, if it exists."""
        with suppress(FileNotFoundError):
            self.filesystem.delete_file(self._full(key))

    def delete_all(self, keys: Iterable[str]) -> None:
        """Call `delete` for each key."""
        if self.local:
            for key in keys:
                self.delete(key)
        else:
            in_parallel(self.delete, keys)

    def delete_folder(self, prefix: str) -> None:
        """Remove everything below `prefix`, and `prefix` itself."""
        if self._info(prefix).type == fs.FileType.Directory:
            with suppress(FileNotFoundError):
                self.filesystem.delete_dir(self._full(prefix))

    def _parquet(self, key: str, memory_map: bool = False) -> pq.ParquetFile:
        verified = partial(pq.ParquetFile, page_checksum_verification=True)
        if self.local:
            return verified(self.path(key), memory_map=memory_map)
        file = self.open_file(key)
        if file.size() <= SMALL_BYTES:  # one request instead of two or more
            return verified(pa.BufferReader(file.read_buffer()))
        return verified(file, pre_buffer=True)

    def _full(self, key: str) -> str:
        base = self.base or self.root
        return f"{base}/{key}" if key else base

    def _info(self, key: str) -> fs.FileInfo:
        return self.filesystem.get_file_info(self._full(key))


def is_temporary(key: str) -> bool:
    """Whether a file, or a folder above it, is temporary and left over from a write.

    Such names are `.<name>.<anything>.tmp`, and those that DuckDB adds beside or in `.tmp`.
    """
    return any(part.startswith(".") and ".tmp" in part for part in key.split("/"))


def _sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # the file system has no fsync
            raise
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 (64 hex digits) of a local file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _sha256(file: pa.NativeFile) -> str:
    state = hashlib.sha256()
    while chunk := file.read(_READ_BYTES):
        state.update(chunk)
    return state.hexdigest()
