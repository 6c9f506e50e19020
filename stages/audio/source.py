"""Opening what a recording's uri names: a file, or one member of a tar shard."""

from __future__ import annotations

import tarfile
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from stages.recording_stage import RecordingError

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMBER_MARK = "#"


@contextmanager
def open_source(uri: str) -> Iterator[IO[bytes]]:
    """Open `uri` for reading and seeking; a tar member is read in place, never extracted.

    `path/to/shard.tar#member.flac` names a member exactly as the tar does; a path that holds a
    '#' and exists as a file is that file. Raises RecordingError with reason `file_missing`,
    `permission_denied`, `unreadable`, `member_missing`, `not_a_tar` or `empty_file`.
    """
    with reading(uri):
        path, member = split_uri(uri)
        if member is None:
            with path.open("rb") as file:
                yield _not_empty(uri, file)
        else:
            with tarfile.open(path, "r:*") as tar:
                yield _not_empty(uri, _member(uri, tar, path, member))


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Turn errors of the operating system while `uri` is read into RecordingError."""
    try:
        yield
    except FileNotFoundError as error:
        raise RecordingError("file_missing", f"{uri}: there is no such file") from error
    except PermissionError as error:
        raise RecordingError("permission_denied", f"{uri}: no permission to read it") from error
    except tarfile.TarError as error:
        raise RecordingError(
            "not_a_tar", f"{uri}: cannot be read as a tar file: {error}"
        ) from error
    except OSError as error:
        raise RecordingError("unreadable", f"{uri}: {error.strerror or error}") from error


def split_uri(uri: str) -> tuple[Path, str | None]:
    """Return the file that `uri` names, and the member in it (None: the file itself).

    Raises OSError when a folder on the way may not be searched.
    """
    whole = Path(uri)
    if MEMBER_MARK not in uri or whole.is_file():
        return whole, None
    at = uri.find(MEMBER_MARK)
    while at >= 0:
        if Path(uri[:at]).is_file():
            return Path(uri[:at]), uri[at + 1 :]
        at = uri.find(MEMBER_MARK, at + 1)
    return whole, None


def _not_empty(uri: str, file: IO[bytes]) -> IO[bytes]:
    if not file.read(1):
        raise RecordingError("empty_file", f"{uri}: the file has no bytes")
    file.seek(0)
    return file


def _member(uri: str, tar: tarfile.TarFile, path: Path, name: str) -> IO[bytes]:
    status = path.stat()
    info = _index(path, status.st_mtime_ns, status.st_size).get(name)
    file = tar.extractfile(info) if info is not None and info.isfile() else None
    if file is None:
        raise RecordingError("member_missing", f"{uri}: the tar has no file of this name")
    return file


@lru_cache(maxsize=16)
def _index(path: Path, mtime_ns: int, size: int) -> dict[str, tarfile.TarInfo]:  # noqa: ARG001
    # A shard has thousands of members, each opened by name: without this memo (whose key changes
    # with the file) every opening would scan the headers again.
    with tarfile.open(path, "r:*") as tar:
        return {info.name: info for info in tar}
