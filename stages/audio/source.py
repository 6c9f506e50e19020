"""Opening what a recording's uri names, and turning the system's errors into reasons."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from manifests.uri import open_uri
from stages.recording_stage import RecordingError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def open_source(uri: str) -> Iterator[IO[bytes]]:
    """Open a file or a member of a tar shard (see `manifests.uri`) for reading and seeking.

    Raises RecordingError with reason `file_missing`, `permission_denied`, `unreadable` or
    `empty_file`.
    """
    with reading(uri), open_uri(uri) as file:
        if not file.read(1):
            raise RecordingError("empty_file", f"{uri}: the file has no bytes")
        file.seek(0)
        yield file


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Turn errors of the operating system while `uri` is read into RecordingError."""
    try:
        yield
    except FileNotFoundError as error:
        raise RecordingError("file_missing", f"{uri}: there is no such file") from error
    except PermissionError as error:
        raise RecordingError("permission_denied", f"{uri}: no permission to read it") from error
    except OSError as error:
        raise RecordingError("unreadable", f"{uri}: {error.strerror or error}") from error
