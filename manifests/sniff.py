"""Finding the kind of files whose names do not show it, by their first bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from wavemill.manifests.config import ScanConfig
from wavemill.manifests.filesystems import open_file
from wavemill.manifests.jsonl import parse_object, read_lines
from wavemill.manifests.kinds import HEAD_BYTES, FileKind, kind_by_head, kind_by_name
from wavemill.manifests.manifest import looks_like_manifest
from wavemill.manifests.reasons import EntryError, Reason, os_error
from wavemill.manifests.threads import Beat, Stalled, in_threads
from wavemill.manifests.uri import base_name

_THREADS = 32  # requests at a time


def kinds_of(
    names: Sequence[str], look: Callable[[str], FileKind], config: ScanConfig
) -> Iterator[tuple[str, FileKind | EntryError]]:
    """Yield (name, result of `look` or its error) in order; many names are tried in parallel."""
    seconds = config.stalled_after_s
    for name, found in in_threads(partial(_kind_or_error, look), names, _THREADS, seconds):
        if isinstance(found, Stalled):
            found = EntryError(Reason.TIMED_OUT, f"it could not be opened within {seconds:g} s")
        yield name, found


def _kind_or_error(
    look: Callable[[str], FileKind], name: str, _beat: Beat
) -> FileKind | EntryError:
    try:
        return look(name)
    except EntryError as error:
        return error
    except OSError as error:
        return os_error(error)


def kind_of_file(path: str) -> FileKind:
    """Return the kind of a file by its content; MANIFEST only if its first line can be read.

    Raises EntryError and OSError.
    """
    with open_file(path, HEAD_BYTES) as file:
        kind = kind_by_head(file.read(HEAD_BYTES))
    named_so = kind_by_name(base_name(path)) is FileKind.MANIFEST
    if kind is FileKind.AUDIO or not (named_so or kind is FileKind.MANIFEST):
        return kind
    if _is_manifest(path):
        return FileKind.MANIFEST
    return FileKind.TEXT if named_so else FileKind.OTHER


def _is_manifest(path: str) -> bool:
    try:
        _, line = next(read_lines(path, steady=False))
        return looks_like_manifest(parse_object(line))
    except (EntryError, StopIteration):
        return False
