"""Names of recordings: a path, or `path/to/shard.tar#member.flac`; and opening them."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import BinaryIO, cast

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
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def has_audio_ending(name: str) -> bool:
    """Whether the name ends like audio, in any case of letters."""
    return name[name.rfind(".") + 1 :].lower() in AUDIO_ENDINGS and "." in name


def is_url(path: str) -> bool:
    """Whether it names something that is no local file, such as s3://bucket/key."""
    return _SCHEME.match(path) is not None


def member_uri(shard: str, member: str) -> str:
    """Return the name of one member of a tar shard."""
    return f"{shard}#{member}"


def split_uri(uri: str) -> tuple[str, str | None]:
    """Return (path, None) for a file and (path of the shard, member) for a member of a tar shard.

    A file may itself have `.tar#` in its path: what exists as a file is one.
    """
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
        return Path(path).open("rb")
    state = Path(path).stat()
    span = tar_index(path, state.st_size, state.st_mtime_ns).members.get(member)
    if span is None:
        raise FileNotFoundError(2, "no such member of the tar shard", uri)
    return cast(BinaryIO, io.BufferedReader(_Window(path, *span), buffer_size=1 << 16))


class _Window(io.RawIOBase):
    """The bytes [offset, offset + size) of a file, as a file of their own."""

    def __init__(self, path: str, offset: int, size: int) -> None:
        self._file = io.FileIO(path)
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
        count = self._file.readinto(view)
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
