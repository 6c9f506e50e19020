"""A WORKDIR in an object store: uploads in one call, and many requests in parallel."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pyarrow import fs

from wavemill.manifests.filesystems import BUCKETS, LocationError, locate, os_errors

THREADS = 32  # requests at a time: each mostly waits

T = TypeVar("T")
R = TypeVar("R")


def locate_workdir(url: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a WORKDIR, and its path there.

    Raises LocationError if the URL cannot be used, its bucket is missing or access is denied.
    """
    filesystem, path = locate(url)
    try:
        with os_errors(url):
            begun = filesystem.get_file_info(path).type != fs.FileType.NotFound
    except OSError as error:
        raise LocationError(f"{url}: {error.strerror or error}") from error
    in_bucket = url.partition("://")[0] in BUCKETS
    if not begun and in_bucket and not _may_have_bucket(filesystem, path.partition("/")[0]):
        raise LocationError(f"{url}: there is no such bucket")
    return filesystem, path


def _may_have_bucket(filesystem: fs.FileSystem, bucket: str) -> bool:
    try:
        return filesystem.get_file_info(bucket).type != fs.FileType.NotFound
    except OSError:  # a user may have access to a part of the bucket only
        return True


@contextmanager
def uploading(filesystem: fs.FileSystem, path: str) -> Iterator[Path]:
    """Yield a local path to write to; the file is uploaded to `path` if the block succeeds.

    The upload is one call. With several calls, an exception between them would make pyarrow close
    the stream, which completes the object with what was written so far.
    """
    with tempfile.TemporaryDirectory(prefix="wavemill-") as folder:
        temporary = Path(folder) / "file"
        yield temporary
        with pa.memory_map(str(temporary)) as source:
            content = source.read_buffer()
            target = filesystem.open_output_stream(path, compression=None)
            target.write(content)
            target.close()


def in_parallel(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return the results in the order of the items. Raises the first exception."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="wavemill-store") as pool:
        return list(pool.map(function, items))
