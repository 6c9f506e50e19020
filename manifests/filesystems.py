"""Finding, describing and opening files on this machine and in object stores.

A name is a local path or a URL: `s3://bucket/key` and `gs://bucket/key` through pyarrow, with
credentials from the usual environment, and any other scheme through the fsspec package for it. A
key is written in its URL as it is, without percent-encoding. An s3 or gs URL may end with the
options that pyarrow's `FileSystem.from_uri` takes, such as
`s3://bucket/key?endpoint_override=localhost:9000&scheme=http`; a name that is derived from a URL
(a file of a folder, a path in a manifest) keeps them, so that it opens anywhere by itself.
"""

from __future__ import annotations

import errno
import io
import os
import posixpath
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs

BUCKETS = ("s3", "gs", "gcs")  # schemes that pyarrow itself knows; a name starts with a bucket
BUFFER_BYTES = 1 << 20  # read from a remote file at once, however little is asked for

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_OPTIONS = re.compile(r"\?\w+=[^?#&]*(&\w+=[^?#&]*)*$")
_DENIED = ("ACCESS_DENIED", "HTTP status 403", "PERMISSION_DENIED", "permission_denied")

# Size in bytes and mtime in ns; if both are unchanged, so is the content. If the file system has no
# time of modification, the time is below 0 and different in each call.
Stamp = tuple[int, int]


class LocationError(ValueError):
    """A URL cannot be used; the message says what to change or to install."""


class RemoteFile(NamedTuple):
    """A file below a remote folder, with the attributes of os.DirEntry that a scan uses."""

    name: str  # last part of its name
    path: str  # URL
    stamp: Stamp


def is_url(name: str) -> bool:
    """Whether a name is a URL, such as s3://bucket/key."""
    return _URL.match(name) is not None


def without_file_scheme(name: str) -> str:
    """Return the path that a file:// URL names; any other name as it is."""
    if name[:7].lower() != "file://":
        return name
    _, slash, path = name[7:].partition("/")  # after the host, which is this machine
    return unquote(slash + path)  # ? and # are part of the name


def anchored(name: str) -> str:
    """Return an absolute path, with `~` expanded, or the URL as it is.

    file:// becomes the path. Links are not followed.
    """
    local = without_file_scheme(name)
    if is_url(local):
        return local
    try:
        return str(Path(local).expanduser().absolute())
    except RuntimeError:  # there is no home folder
        return str(Path(local).absolute())


def split_options(name: str) -> tuple[str, str]:
    """Return a URL without its options, and the options with their question mark or ""."""
    found = _OPTIONS.search(name) if name.partition("://")[0] in BUCKETS else None
    return (name[: found.start()], found.group()) if found else (name, "")


def join_url(folder: str, path: str) -> str:
    """Return the URL of a path relative to a folder; `..` does not lead above the bucket."""
    stem, options = split_options(folder)
    scheme, _, place = stem.partition("://")
    bucket, _, key = place.partition("/")
    return f"{scheme}://{bucket}{posixpath.normpath(f'/{key}/{path}')}{options}"


def parent(name: str) -> str:
    """Return the folder that a file is in."""
    return join_url(name, "..") if is_url(name) else str(Path(name).parent)


def locate(url: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a URL, and its path there. Raises LocationError."""
    stem, options = split_options(url)
    scheme, _, place = stem.partition("://")
    if scheme not in BUCKETS:
        return _by_fsspec(scheme, url)
    bucket, _, key = place.partition("/")
    filesystem, path = _bucket(scheme, bucket, options)
    return filesystem, f"{path}/{key}".rstrip("/")


_BUCKET = re.compile(r"[^?#%\\\s]*")  # no character with a meaning in the URL that pyarrow reads


@lru_cache(maxsize=64)
def _bucket(scheme: str, bucket: str, options: str) -> tuple[fs.FileSystem, str]:
    if ":" in bucket.partition("@")[0] and "@" in bucket:
        # It would be in every row of the corpus.
        raise LocationError(
            f"a URL must not hold credentials ({scheme}://...@...); set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or whatever else the storage's own tools read"
        )
    if not _BUCKET.fullmatch(bucket):
        raise LocationError(f"{bucket!r} is not the name of a bucket")
    if scheme == "s3" and "allow_delayed_open" not in options:
        # A small object is then sent by one request instead of three.
        options += ("&" if options else "?") + "allow_delayed_open=true"
    try:
        return cast(
            "tuple[fs.FileSystem, str]", fs.FileSystem.from_uri(f"{scheme}://{bucket}{options}")
        )
    except (pa.ArrowException, OSError) as error:
        raise LocationError(f"{scheme}://{bucket}: {error}") from error


def _by_fsspec(scheme: str, url: str) -> tuple[fs.FileSystem, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise LocationError(f"{url}: pip install fsspec, and its package for {scheme}") from error
    try:
        files, path = url_to_fs(url, use_listings_cache=False)
    except Exception as error:  # any package may implement a scheme
        raise LocationError(f"{url}: {error}") from error
    return fs.PyFileSystem(fs.FSSpecHandler(files)), path.rstrip("/")


def is_folder(url: str) -> bool:
    """Whether there are files below a URL. Raises OSError."""
    return _info(url).type == fs.FileType.Directory


def exists(url: str) -> bool:
    """Whether there is a file or folder; one without permission counts."""
    try:
        return _info(url).type != fs.FileType.NotFound
    except OSError:
        return True


def stamp_of_url(url: str) -> Stamp | None:
    """Return size and mtime of a file, None for a folder. Raises OSError."""
    info = _info(url)
    if info.type == fs.FileType.NotFound:
        raise FileNotFoundError(errno.ENOENT, "it does not exist", url)
    return _stamp(locate(url)[0], info) if info.is_file else None


def state_of_url(url: str) -> tuple[int | str, ...]:
    """Return a file's size, its mtime, and its ETag where the store gives one. Raises OSError."""
    filesystem, path = locate(url)
    with os_errors(url):
        size, changed = _stamp(filesystem, filesystem.get_file_info(path))
        with filesystem.open_input_file(path) as file:
            etag = file.metadata().get("ETag", b"")
    return size, max(changed, 0), etag.decode()


def _info(url: str) -> fs.FileInfo:
    filesystem, path = locate(url)
    with os_errors(url):
        return filesystem.get_file_info(path)


def _stamp(filesystem: fs.FileSystem, info: fs.FileInfo) -> Stamp:
    if info.mtime_ns is not None:
        return int(info.size), int(info.mtime_ns)
    try:
        changed = filesystem.handler.fs.modified(info.path)
        return int(info.size), int(changed.timestamp() * 1e9)
    except Exception:
        return int(info.size), -time.time_ns()  # changes cannot be noticed: it is read every time


def walk(url: str) -> Iterator[RemoteFile]:
    """Yield all files below a folder, except hidden ones and those in hidden folders.

    Raises OSError.
    """
    filesystem, root = locate(url)
    stem, options = split_options(url.rstrip("/"))
    with os_errors(url):
        found = filesystem.get_file_info(fs.FileSelector(root, recursive=True))
    for info in sorted(found, key=lambda info: info.path):
        below = info.path[len(root) :]
        if info.is_file and "/." not in below:
            name = f"{stem}{below}{options}"
            yield RemoteFile(info.base_name, name, _stamp(filesystem, info))


def open_file(name: str, buffer_bytes: int = BUFFER_BYTES) -> BinaryIO:
    """Open a file for reading, seekable; of a remote one `buffer_bytes` are fetched at a time.

    Raises OSError, also for what is not a regular file, since reading a pipe could block forever.
    """
    if not is_url(name):
        _check_regular(name)
        return Path(name).open("rb")
    return cast(BinaryIO, io.BufferedReader(open_raw(name), buffer_bytes))


def open_raw(name: str) -> io.RawIOBase:
    """Open a file like `open_file`, but without a buffer. Raises OSError."""
    if is_url(name):
        return _RawUrl(name)
    _check_regular(name)
    return io.FileIO(name)


def _check_regular(path: str) -> None:
    mode = os.stat(path).st_mode  # noqa: PTH116 (a million calls: no Path objects)
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a folder fails by itself
        raise OSError(errno.EINVAL, "it is not a regular file", path)


class _RawUrl(io.RawIOBase):
    def __init__(self, url: str) -> None:
        filesystem, path = locate(url)
        self._url = url
        with os_errors(url):
            self._file = filesystem.open_input_file(path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        with os_errors(self._url):
            return int(self._file.readinto(buffer))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


@contextmanager
def os_errors(url: str) -> Iterator[None]:
    """Turn errors of a file system into the exceptions that the operating system raises."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # of pyarrow, or of any fsspec package
        text = str(error) or type(error).__name__
        if any(mark in text for mark in _DENIED):
            raise PermissionError(errno.EACCES, "no permission", url) from error
        raise OSError(errno.EIO, text, url) from error
