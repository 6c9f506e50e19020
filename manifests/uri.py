"""Names of recordings, and opening them.

A name is a path or a URL (see `manifests.filesystems`), or a member of a tar file under either:
`path/to/file.tar#member.flac`, `s3://bucket/file.tar#member.flac`.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from wavemill.manifests.filesystems import (
    BUFFER_BYTES,
    Stamp,
    is_url,
    open_file,
    open_raw,
    split_options,
    stamp_of_url,
    state_of_url,
)
from wavemill.manifests.reasons import EntryError, Reason
from wavemill.manifests.tar_index import Member, tar_index

TAR_ENDING = ".tar"

_TAR_MARK = TAR_ENDING + "#"
_TAR_MARKS = re.compile(re.escape(_TAR_MARK), re.IGNORECASE)
_REMOTE_MEMBER = re.compile(r"(.*?\.tar(?:\?[^#]*)?)#(.*)", re.IGNORECASE | re.DOTALL)
_LOCAL_BUFFER = 1 << 16
HELD_BYTES = 16 << 20  # of a copy in memory; a longer one is a temporary file
CHANGED = "it changed while it was read, and may still be written; the next run reads it again"

State = tuple[int | str, ...]  # equal before and after: nobody has written to the file


def member_uri(tar_file: str, member: str) -> str:
    """Return the name of one member of a tar file."""
    return f"{tar_file}#{member}"


def split_uri(uri: str) -> tuple[str, str | None]:
    """Return (path, None) for a file and (path of the tar file, member) for a member of one.

    A local path with `.tar#` in it may also be that of a file, if that exists. In a URL, the first
    `.tar#` always ends the name of a tar file.
    """
    if is_url(uri):
        found = _REMOTE_MEMBER.fullmatch(uri)
        return (found.group(1), found.group(2)) if found else (uri, None)
    at = uri.lower().find(_TAR_MARK)
    if at < 0 or os.path.isfile(uri):  # noqa: PTH113 (Path.is_file raises for odd names)
        return uri, None
    while at >= 0:
        tar_file = uri[: at + len(TAR_ENDING)]
        if os.path.isfile(tar_file):  # noqa: PTH113
            return tar_file, uri[at + len(_TAR_MARK) :]
        at = uri.lower().find(_TAR_MARK, at + 1)
    return uri, None


def open_uri(uri: str) -> BinaryIO:
    """Open a recording for reading, seekable, with its first byte at 0.

    Raises OSError; FileNotFoundError also if the tar file has no such member.
    """
    path, member = split_uri(uri)
    if member is None:
        return open_file(path)
    known = tar_index(path, *_stamp(path)).members.get(member)
    if known is None:
        raise FileNotFoundError(2, "no such member of the tar file", uri)
    return open_member(path, known)


def open_member(tar_file: str, member: Member) -> BinaryIO:
    """Open one member of a tar file like a file of its own. Raises OSError."""
    buffer_bytes = BUFFER_BYTES if is_url(tar_file) else _LOCAL_BUFFER
    return cast(BinaryIO, io.BufferedReader(_Window(open_raw(tar_file), member), buffer_bytes))


def state_of(uri: str) -> State:
    """Return values of which one changes with every write; for a member, those of its tar file.

    Programs can reset the time of modification in a `Stamp`, but not the times of the inode and
    not the ETag of an object. Raises OSError.
    """
    path, _ = split_uri(uri)
    if is_url(path):
        return state_of_url(path)
    state = Path(path).stat()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


def stamp_of_uri(uri: str) -> Stamp:
    """Return size and mtime of a file; for a member, of its tar file. Raises OSError."""
    return _stamp(split_uri(uri)[0])


@contextmanager
def open_stable_copy(path: str) -> Iterator[BinaryIO]:
    """Yield a copy of a file, so that no line of it is half old and half new.

    Raises EntryError (`source_changed`) if the file changes while it is copied, and OSError.
    """
    before = state_of(path)
    with open_file(path) as file, tempfile.SpooledTemporaryFile(HELD_BYTES) as copy:
        shutil.copyfileobj(file, copy)
        if state_of(path) != before:
            raise EntryError(Reason.SOURCE_CHANGED, CHANGED)
        copy.seek(0)
        yield cast(BinaryIO, copy)


def base_name(uri: str) -> str:
    """Return the file name of a recording, or of the member of a tar file."""
    path, member = split_uri(uri)
    name = split_options(path)[0] if member is None else member
    return PurePosixPath(_TAR_MARKS.sub(".tar/", name)).name


def _stamp(path: str) -> Stamp:
    if is_url(path):
        return stamp_of_url(path) or (0, 0)
    state = Path(path).stat()
    return state.st_size, state.st_mtime_ns


class _Window(io.RawIOBase):
    """A member of a tar file as a file; parts that a sparse member does not store are zeros."""

    def __init__(self, file: io.RawIOBase, member: Member) -> None:
        self._file = file
        self._size = member.size
        self._at = 0
        extents = ((0, member.size),) if member.extents is None else member.extents
        self._begins = [begin for begin, _ in extents]
        self._counts = [count for _, count in extents]
        # Where in the tar file each part lies.
        self._offsets = list(accumulate(self._counts[:-1], initial=member.offset))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        view = memoryview(buffer)[: max(0, self._size - self._at)]
        part = bisect_right(self._begins, self._at) - 1
        within = self._at - self._begins[part] if part >= 0 else 0
        if part >= 0 and within < self._counts[part]:
            view = view[: self._counts[part] - within]
            self._file.seek(self._offsets[part] + within)
            count = self._file.readinto(view) or 0
        else:
            if part + 1 < len(self._begins):
                view = view[: self._begins[part + 1] - self._at]
            count = len(view)
            view[:] = bytes(count)
        self._at += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(22, "seek before the start")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self._file.close()
        super().close()
