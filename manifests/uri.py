"""Names of recordings, and opening them.

A name is a path or a URL (see `manifests.filesystems`), or a member of a tar shard under either:
`path/to/shard.tar#member.flac`, `s3://bucket/shard.tar#member.flac`.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from manifests.filesystems import (
    BUFFER_BYTES,
    Stamp,
    is_url,
    open_file,
    open_raw,
    split_options,
    stamp_of_url,
    state_of_url,
)
from manifests.tar_index import tar_index

# Endings that a folder scan takes for audio, video containers among them. Anything else can
# still be named directly, or by a manifest.
# fmt: off
AUDIO_ENDINGS = frozenset({
    "aac", "ac3", "aif", "aifc", "aiff", "amr", "ape", "au", "caf", "flac", "m4a",
    "m4b", "mka", "mp2", "mp3", "oga", "ogg", "opus", "snd", "sph", "spx", "tta", "w64",
    "wav", "wma", "wv", "3gp", "avi", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "ogv",
    "webm", "wmv",
})
# fmt: on
MANIFEST_ENDINGS = (".jsonl", ".json", ".jsonl.gz", ".json.gz")
TAR_ENDING = ".tar"

_TAR_MARK = TAR_ENDING + "#"
_REMOTE_MEMBER = re.compile(r"(.*?\.tar(?:\?[^#]*)?)#(.*)", re.IGNORECASE | re.DOTALL)
_LOCAL_BUFFER = 1 << 16

State = tuple[int | str, ...]  # equal: nobody has written to the file in between


def has_audio_ending(name: str) -> bool:
    """Whether the name ends like audio, in any case of letters."""
    return name[name.rfind(".") + 1 :].lower() in AUDIO_ENDINGS and "." in name


def member_uri(shard: str, member: str) -> str:
    """Return the name of one member of a tar shard."""
    return f"{shard}#{member}"


def split_uri(uri: str) -> tuple[str, str | None]:
    """Return (path, None) for a file and (path of the shard, member) for a member of a tar shard.

    A local file may itself have `.tar#` in its path: what exists as a file is one. In a URL the
    first `.tar#` is always taken for a shard's.
    """
    if is_url(uri):
        found = _REMOTE_MEMBER.fullmatch(uri)
        return (found.group(1), found.group(2)) if found else (uri, None)
    at = uri.lower().find(_TAR_MARK)
    if at < 0 or Path(uri).is_file():
        return uri, None
    while at >= 0:
        shard = uri[: at + len(TAR_ENDING)]
        if Path(shard).is_file():
            return shard, uri[at + len(_TAR_MARK) :]
        at = uri.lower().find(_TAR_MARK, at + 1)
    return uri, None


def open_uri(uri: str) -> BinaryIO:
    """Open a recording for reading, seekable, its first byte at 0.

    Raises OSError; FileNotFoundError also where the shard has no such member.
    """
    path, member = split_uri(uri)
    if member is None:
        return open_file(path)
    span = tar_index(path, *_stamp(path)).members.get(member)
    if span is None:
        raise FileNotFoundError(2, "no such member of the tar shard", uri)
    buffer_bytes = BUFFER_BYTES if is_url(path) else _LOCAL_BUFFER
    return cast(BinaryIO, io.BufferedReader(_Window(open_raw(path), *span), buffer_bytes))


def state_of(uri: str) -> State:
    """Return what no writing to a file leaves as it is; for a member, that of its shard.

    That is more than a `Stamp`: programs can set the time of modification back, but not when the
    inode, or an object's ETag, changed. Raises OSError.
    """
    path, _ = split_uri(uri)
    if is_url(path):
        return state_of_url(path)
    state = Path(path).stat()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


def stamp_of_uri(uri: str) -> Stamp:
    """Return size and mtime of a file; for a member, those of its shard. Raises OSError."""
    return _stamp(split_uri(uri)[0])


def base_name(uri: str) -> str:
    """Return the file name of a recording: of the member, where it is one of a tar shard."""
    return PurePosixPath(split_options(uri)[0].replace("#", "/")).name


def _stamp(path: str) -> Stamp:
    if is_url(path):
        return stamp_of_url(path) or (0, 0)
    state = Path(path).stat()
    return state.st_size, state.st_mtime_ns


class _Window(io.RawIOBase):
    """The bytes [offset, offset + size) of a file, as a file of their own."""

    def __init__(self, file: io.RawIOBase, offset: int, size: int) -> None:
        self._file = file
        self._offset = offset
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        view = memoryview(buffer)[: max(0, self._size - self._at)]
        self._file.seek(self._offset + self._at)
        count = self._file.readinto(view) or 0
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
