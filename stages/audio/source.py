"""Opening what a recording's uri names, and turning the system's errors into reasons.

A file may be replaced, or still be written, between the scan that hashed it and a stage that
decodes it. So where the recording is known its bytes are hashed again, and only what has its hash
is decoded: a small file is read once and decoded from memory; a larger one is hashed first, and
must then stay as it is (size, times, inode; an object's ETag) until it has been decoded. Hashing
reads 1.5 GB a second, hundreds of times as fast as any stage works.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from wavemill.manifests.identify import ID_DIGITS
from wavemill.manifests.reasons import Reason
from wavemill.manifests.uri import State, open_uri, state_of
from wavemill.stages.recording_stage import RecordingError

if TYPE_CHECKING:
    from collections.abc import Iterator

WHOLE_BYTES = 32 << 20  # a file of up to so many is held in memory
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Checked:
    """The file that was found to be its recording last: stages open one several times on end."""

    uri: str = ""
    recording_id: str = ""
    content: bytes | None = None  # all of it, where it is small
    state: State = ()  # else: when it was hashed


_last = _Checked()


@contextmanager
def open_source(uri: str, recording_id: str | None = None) -> Iterator[IO[bytes]]:
    """Open a file or a member of a tar file (see `manifests.uri`) for reading and seeking.

    With `recording_id` (hash of the content), its bytes are those of that recording for as long
    as it is open. Raises RecordingError with reason `file_missing`, `permission_denied`,
    `unreadable`, `empty_file` or, at the end as well, `source_changed`.
    """
    with reading(uri):
        if recording_id is None:
            with open_uri(uri) as file:
                if not file.read(1):
                    raise RecordingError("empty_file", f"{uri}: the file has no bytes")
                file.seek(0)
                yield file
        else:
            with _open_checked(uri, recording_id) as file:
                yield file


def check_unchanged(uri: str, recording_id: str) -> None:
    """Raise RecordingError (`source_changed`) if what `open_source` opened last is another now.

    For readers that stop before the end of a file, where `open_source` looks itself.
    """
    if (_last.uri, _last.recording_id) != (uri, recording_id) or _last.content is not None:
        return
    with reading(uri):
        if state_of(uri) != _last.state:
            raise _changed(uri)


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


@contextmanager
def _open_checked(uri: str, recording_id: str) -> Iterator[IO[bytes]]:
    if _last.recording_id == recording_id and _last.content is not None:
        yield io.BytesIO(_last.content)
        return
    with open_uri(uri) as file:
        content = _check(uri, recording_id, file)
        if content is not None:
            yield io.BytesIO(content)
            return
        file.seek(0)
        try:
            yield file
        except GeneratorExit:  # thrown away half read
            raise
        except BaseException:  # it may be what a change in the middle looks like
            check_unchanged(uri, recording_id)
            raise
        check_unchanged(uri, recording_id)


def _check(uri: str, recording_id: str, file: IO[bytes]) -> bytes | None:
    """Make an open file `_last` if it is the recording; return all of it where it is small.

    Raises RecordingError if it is another.
    """
    global _last
    state = state_of(uri)
    if _last == _Checked(uri, recording_id, None, state):
        return None
    _last = _Checked()  # before reading: two files need not be in memory
    head = file.read(WHOLE_BYTES + 1)
    content = head if len(head) <= WHOLE_BYTES else None
    digest = hashlib.sha256(head)
    if content is None:
        del head
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    if digest.hexdigest()[:ID_DIGITS] != recording_id:
        raise _changed(uri)
    _last = _Checked(uri, recording_id, content, state)
    return content


def _changed(uri: str) -> RecordingError:
    return RecordingError(
        Reason.SOURCE_CHANGED,
        f"{uri}: it is not the file that the scan read; the next run takes it as it then is",
    )
